-- The persons that were erased from the log, until all shards have come to that fact.
CREATE TABLE erasure (
    workspace_id   text      NOT NULL,
    -- 16 bytes.
    request_id     bytea     NOT NULL,
    identifier_ids bytea[]   NOT NULL,
    -- The leaves of others whose facts have lost identifiers of the person.
    changed_ids    bytea[]   NOT NULL,
    -- The last instant of the old life, Unix microseconds.
    recorded_at_us bigint    NOT NULL,
    -- The shards of the log that have come to it.
    passed         integer[] NOT NULL,
    PRIMARY KEY (workspace_id, request_id)
);
