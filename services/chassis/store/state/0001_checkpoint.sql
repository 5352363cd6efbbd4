-- How far the state of this generation is. The row of a shard is also the fence: a worker locks it for
-- every transaction, so two workers never write the same shard.
CREATE TABLE checkpoint (
    shard int PRIMARY KEY,
    -- The sequence number in the upstream after the last message that was folded.
    next bigint NOT NULL DEFAULT 0,
    -- A life of the upstream that has everything before `next`; 0 where none is known.
    upstream_life bigint NOT NULL DEFAULT 0,
    -- The sequence number of the next output.
    next_output bigint NOT NULL DEFAULT 0,
    -- The offset in the log, and the log's clock there, that the state has reached.
    log_offset bigint NOT NULL DEFAULT 0,
    log_time_us bigint NOT NULL DEFAULT 0,
    -- While a blocking backfill runs: the offset that the folds have reached. It becomes log_offset
    -- when the last one ends.
    withheld_offset bigint,
    -- Another generation is live: no worker may fold here any more.
    retired boolean NOT NULL DEFAULT false,
    -- The upstream was seen to end before `next`: it was restored alone, and what it has appended
    -- since has numbers that were folded already. The shard stands still until a resync.
    is_beyond_upstream boolean NOT NULL DEFAULT false
) WITH (fillfactor = 50);

INSERT INTO checkpoint (shard)
SELECT generate_series(0, current_setting('onefold.shards')::int - 1);

-- The digest of the state: the sum of the rows' shares modulo 2^128.
CREATE TABLE digest (
    workspace_id text NOT NULL,
    shard int NOT NULL,
    value numeric(39) NOT NULL,
    PRIMARY KEY (workspace_id, shard)
) WITH (fillfactor = 50);
