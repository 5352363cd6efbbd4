-- Broadcast facts (except clock ticks) as they were published. With the history they are all that a
-- consumer needs that is behind the outbox.
CREATE TABLE broadcast_fact (
    shard    integer NOT NULL,
    sequence bigint  NOT NULL,
    position integer NOT NULL,
    -- A serialised onefold.log.v1.Fact.
    fact     bytea   NOT NULL,
    PRIMARY KEY (shard, sequence, position)
);
