-- What was passed on for journeys, as it was published: matched events and moves of leaves. With the
-- history it is all that a consumer needs that is behind the outbox.
CREATE TABLE passed_on (
    shard    integer NOT NULL,
    sequence bigint  NOT NULL,
    -- A serialised onefold.segment.v1.MembershipsChanged.
    payload  bytea   NOT NULL,
    PRIMARY KEY (shard, sequence)
);
