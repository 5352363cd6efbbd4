-- Assignments that a policy rollout or a late fact has changed. They are published with the shard's
-- next batch, because a message of the stream covers offsets of the log.
CREATE TABLE unpublished_assignment (
    shard             integer NOT NULL,
    version           bigint  NOT NULL,
    identifier_id     bytea   NOT NULL,
    workspace_id      text    NOT NULL,
    -- Null where only the id of the identifier is known.
    namespace         text,
    value             text,
    profile_id        bytea   NOT NULL,
    -- Null where the identifier is new.
    before_profile_id bytea,
    PRIMARY KEY (shard, version, identifier_id)
);
