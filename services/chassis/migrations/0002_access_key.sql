-- Who may call: the keys and sources of all workspaces, folded from the log by every service.
CREATE TABLE access_key (
    key_hash bytea PRIMARY KEY,
    key_id text NOT NULL,
    workspace_id text NOT NULL,
    role smallint NOT NULL,
    source_id text NOT NULL,
    version bigint NOT NULL,
    disabled boolean NOT NULL
);
-- Sources can be disabled as a whole; their keys then open nothing.
CREATE TABLE access_source (
    workspace_id text NOT NULL,
    source_id text NOT NULL,
    version bigint NOT NULL,
    disabled boolean NOT NULL,
    PRIMARY KEY (workspace_id, source_id)
);
