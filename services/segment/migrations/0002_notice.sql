-- Facts that concern no person (ticks left out), as they were passed on: with the history, all that
-- those downstream must hear who come back after the outbox has forgotten it.
CREATE TABLE notice (
    shard    integer NOT NULL,
    sequence bigint  NOT NULL,
    position integer NOT NULL,
    -- A serialised onefold.log.v1.Fact.
    fact     bytea   NOT NULL,
    PRIMARY KEY (shard, sequence, position)
);
