-- The lives of each shard of what the service publishes, in order. One begins when a process begins to
-- write: behind its connection there may be a database that went back.
CREATE TABLE stream_life (
    shard int NOT NULL,
    number bigint NOT NULL GENERATED ALWAYS AS IDENTITY,
    -- Random, so no other history of the stream has it.
    life bigint NOT NULL,
    -- The sequence number at which it began; the life before it has nothing from there on.
    first bigint NOT NULL,
    -- The timeline of PostgreSQL on which it began.
    timeline text NOT NULL,
    PRIMARY KEY (shard, number)
);
CREATE INDEX stream_life_by_life ON stream_life (shard, life);

-- Names the cluster of PostgreSQL and its timeline, which changes when a standby is promoted and when a
-- backup is restored to a moment.
CREATE FUNCTION database_timeline() RETURNS text LANGUAGE sql AS $$
    SELECT system_identifier || '-' || left(pg_walfile_name(pg_current_wal_lsn()), 8)
    FROM pg_control_system()
$$;
