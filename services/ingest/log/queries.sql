-- name: make_heads
-- The heads of a new log; nothing where there are some.
INSERT INTO head (shard)
SELECT generate_series(0, $1::int - 1) WHERE NOT EXISTS (SELECT 1 FROM head)
ON CONFLICT DO NOTHING;

-- name: heads
-- Where all shards end, the oldest and the newest end's instant, and the log's clock.
SELECT
    array_agg(h.next ORDER BY h.shard) AS nexts,
    min(h.recorded_at) AS oldest_us,
    greatest(
        max(h.recorded_at),
        (extract(EPOCH FROM clock_timestamp()) * 1000000)::bigint + max(c.offset_us)
    ) AS now_us
FROM head AS h CROSS JOIN clock AS c;

-- name: reserve
-- Locks heads; where they end, what time it is, and which facts are there already.
SELECT instant, nexts, known, known_kinds, known_payloads FROM reserve($1, $2, $3);

-- name: advance_clock
-- Moves the log's clock ahead.
UPDATE clock SET offset_us = offset_us + $1;

-- name: kinds
-- All kinds.
SELECT kind_id, name FROM kind;

-- name: add_kinds
-- Makes the kinds that are not there yet.
INSERT INTO kind (name) SELECT unnest($1::text []) ON CONFLICT DO NOTHING;

-- name: page
-- A range of a shard.
SELECT
    "offset", occurred_at, recorded_at, shard, kind_id, fact_id, leaf_id,
    workspace_id, source_id, actor, payload
FROM fact
WHERE shard = $1 AND "offset" >= $2 AND "offset" < $3
ORDER BY "offset";

-- name: page_of_kinds
-- The facts of some kinds in a range of a shard, at most so many.
SELECT
    "offset", occurred_at, recorded_at, shard, kind_id, fact_id, leaf_id,
    workspace_id, source_id, actor, payload
FROM fact
WHERE shard = $1 AND "offset" >= $2 AND "offset" < $3 AND kind_id = ANY ($4::smallint [])
ORDER BY "offset"
LIMIT $5;

-- name: of_leaves
-- The facts of some leaves of a workspace, newest occurrence first, as of a token and an instant.
SELECT f.*
FROM unnest($2::bytea [], $3::bigint []) AS l (leaf_id, until)
CROSS JOIN LATERAL (
    SELECT
        "offset", occurred_at, recorded_at, shard, kind_id, fact_id, fact.leaf_id,
        workspace_id, source_id, actor, payload
    FROM fact
    WHERE
        fact.leaf_id = l.leaf_id AND fact."offset" < l.until
        AND workspace_id = $1 AND occurred_at < $4 AND recorded_at <= $5
    ORDER BY occurred_at DESC, fact_id DESC
    LIMIT $6
) AS f
ORDER BY f.occurred_at DESC, f.fact_id DESC
LIMIT $6;
