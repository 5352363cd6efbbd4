-- What a service said, in order, until it is old: the source of its relay and of its Read.
CREATE TABLE outbox (
    shard int NOT NULL,
    first bigint NOT NULL,
    next bigint NOT NULL,
    payload bytea NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (shard, first)
);
-- Protobuf with facts in it: the work of compressing it again is not worth the room.
ALTER TABLE outbox ALTER COLUMN payload SET STORAGE EXTERNAL;
-- Nothing is looked up by it: what ANALYZE would learn of it is of no use.
ALTER TABLE outbox ALTER COLUMN payload SET STATISTICS 0;
