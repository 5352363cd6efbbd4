-- What a service published, in order, until it expires: the source of its relay and of ReadOutbox.
CREATE TABLE outbox (
    shard int NOT NULL,
    first bigint NOT NULL,
    next bigint NOT NULL,
    -- What is published; of identity without the facts, which are read from the log.
    payload bytea NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (shard, first)
);
-- Protobuf that holds facts; compressing it saves too little space for its cost.
ALTER TABLE outbox ALTER COLUMN payload SET STORAGE EXTERNAL;
-- No statement filters by it, so ANALYZE need not sample it.
ALTER TABLE outbox ALTER COLUMN payload SET STATISTICS 0;
