-- The policies of each workspace; the one with the highest version is in force.
CREATE TABLE policy (
    workspace_id   text    NOT NULL,
    version        bigint  NOT NULL,
    -- A serialised onefold.identity.v1.IdentityPolicy.
    message        bytea   NOT NULL,
    -- The shard and offset where it was first read, and its instant in the log.
    shard          integer NOT NULL,
    log_offset     bigint  NOT NULL,
    recorded_at_us bigint  NOT NULL,
    PRIMARY KEY (workspace_id, version)
);
