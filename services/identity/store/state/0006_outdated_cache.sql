-- The shards whose workers may have cached rows that an erasure has deleted since.
CREATE TABLE outdated_cache (
    shard integer PRIMARY KEY
);
