-- What each shard has deleted of an erased person, until the log has the sum of all shards.
CREATE TABLE erased_rows (
    workspace_id text NOT NULL,
    -- 16 bytes.
    request_id bytea NOT NULL,
    shard int NOT NULL,
    kinds text [] NOT NULL,
    -- The number of rows of each of these kinds.
    numbers bigint [] NOT NULL,
    PRIMARY KEY (workspace_id, request_id, shard)
);
