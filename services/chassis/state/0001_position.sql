-- How far the state of this generation is, and the fence that lets one worker write it.
CREATE TABLE position (
    shard int PRIMARY KEY,
    -- The place in the upstream after the last message taken in.
    next bigint NOT NULL DEFAULT 0,
    -- The place of the next output.
    next_output bigint NOT NULL DEFAULT 0,
    -- The offset in the log, and the log's clock there, that the state has reached.
    log_offset bigint NOT NULL DEFAULT 0,
    log_time_us bigint NOT NULL DEFAULT 0,
    -- Another generation is live: nobody may fold here any more.
    closed boolean NOT NULL DEFAULT false
) WITH (fillfactor = 50);

-- The digest of the state: the sum of the rows' shares modulo 2^128.
CREATE TABLE digest (
    workspace text NOT NULL,
    shard int NOT NULL,
    value numeric(39) NOT NULL,
    PRIMARY KEY (workspace, shard)
) WITH (fillfactor = 50);
