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

-- name: hold
-- Locks the ends of some shards; where they end, and what time it is.
SELECT instant, nexts FROM hold($1);

-- name: known
-- Which facts are there already, by their places in the arrays, from 1.
SELECT n.place, f.kind_id, f.payload
FROM unnest($1::smallint [], $2::bytea []) WITH ORDINALITY AS n (shard, fact_id, place)
INNER JOIN fact AS f ON n.shard = f.shard AND n.fact_id = f.fact_id;

-- name: append_few
-- Appends new facts in one call; see the function.
SELECT instant, nexts FROM append_few($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12);

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
-- A range of a shard, cut where the payloads come to so many bytes; the first row is always there.
SELECT
    "offset", occurred_at, recorded_at, shard, kind_id, fact_id, leaf_id,
    workspace_id, source_id, actor, payload
FROM (
    SELECT
        *, sum(octet_length(payload)) OVER (ORDER BY "offset" ROWS UNBOUNDED PRECEDING) AS weight
    FROM fact
    WHERE shard = $1 AND "offset" >= $2 AND "offset" < $3
) AS f
WHERE weight - octet_length(payload) < $4
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
FROM unnest($2::smallint [], $3::bytea [], $4::bigint []) AS l (shard, leaf_id, until)
CROSS JOIN LATERAL (
    SELECT
        "offset", occurred_at, recorded_at, shard, kind_id, fact_id, fact.leaf_id,
        workspace_id, source_id, actor, payload
    FROM fact
    WHERE
        fact.shard = l.shard AND fact.leaf_id = l.leaf_id AND fact."offset" < l.until
        AND workspace_id = $1 AND occurred_at < $5 AND recorded_at <= $6
    ORDER BY occurred_at DESC, fact_id DESC
    LIMIT $7
) AS f
ORDER BY f.occurred_at DESC, f.fact_id DESC
LIMIT $7;
