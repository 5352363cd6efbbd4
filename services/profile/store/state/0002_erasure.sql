-- The persons that are being erased: their profiles are not evaluated until all shards have deleted
-- their leaves, so that no half of a person is ever seen.
CREATE TABLE erasing (
    workspace_id   text      NOT NULL,
    -- 16 bytes.
    request_id     bytea     NOT NULL,
    identifier_ids bytea[]   NOT NULL,
    -- The shards that have deleted their leaves.
    passed         integer[] NOT NULL,
    PRIMARY KEY (workspace_id, request_id)
);
