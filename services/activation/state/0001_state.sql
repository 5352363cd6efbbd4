-- The newest version of each destination, as the fact's message. Each shard keeps its own: what
-- follows from a change depends on what was defined before it in its shard, and not on how far
-- other shards are. So a shard that is behind makes no effects of what came before a definition.
CREATE TABLE destination (
    shard          integer NOT NULL,
    workspace_id   text    NOT NULL,
    destination_id text    NOT NULL,
    version        integer NOT NULL,
    message        bytea   NOT NULL,
    PRIMARY KEY (workspace_id, destination_id, shard)
);
