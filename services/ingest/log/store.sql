-- name: make_heads
-- Creates the heads of a new log; does nothing where the log has heads.
INSERT INTO head (shard)
SELECT generate_series(0, $1::int - 1) WHERE NOT EXISTS (SELECT 1 FROM head)
ON CONFLICT DO NOTHING;

-- name: begin_life
-- Begins a life of the log in all shards; see the table stream_life.
WITH locked AS (
    SELECT shard FROM head ORDER BY shard FOR UPDATE
), begun AS (
    UPDATE head SET life = $1 FROM locked WHERE head.shard = locked.shard
    RETURNING head.shard, head.next
)
INSERT INTO stream_life (shard, life, first, timeline)
SELECT shard, $1, next, database_timeline() FROM begun ORDER BY shard;

-- name: load_heads
-- Reads the end of each shard, when the shard that is idle for longest had its last fact, and the clock.
SELECT
    array_agg(h.next ORDER BY h.shard) AS nexts,
    min(h.recorded_at) AS oldest_us,
    greatest(
        max(h.recorded_at),
        least((extract(EPOCH FROM clock_timestamp()) * 1000000)::bigint, $1) + max(c.offset_us)
    ) AS now_us
FROM head AS h CROSS JOIN clock AS c;

-- name: lock_heads
-- Locks the heads of some shards; see the function.
SELECT instant, nexts, life FROM lock_heads($1, $2);

-- name: existing_facts
-- Finds the keys that are in the log already, by their index in the arrays, from 1.
SELECT n.index, f.kind_id, f.content_tag
FROM unnest($1::smallint [], $2::bytea []) WITH ORDINALITY AS n (shard, fact_id, index)
INNER JOIN fact AS f ON n.shard = f.shard AND n.fact_id = f.fact_id;

-- name: append_in_one_call
-- Appends new facts in one round trip; see the function.
SELECT instant, nexts, life FROM append_in_one_call(
    $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14
);

-- name: advance_clock
-- Moves the log's clock ahead.
UPDATE clock SET offset_us = offset_us + $1;

-- name: load_kinds
-- Reads all kinds.
SELECT kind_id, name FROM kind;

-- name: add_kinds
-- Adds the kinds that are missing.
INSERT INTO kind (name) SELECT unnest($1::text []) ON CONFLICT DO NOTHING;

-- name: page
-- Reads a range of a shard up to a total size of payloads in bytes, but at least one row.
SELECT
    "offset", occurred_at, recorded_at, shard, kind_id, fact_id, leaf_id,
    workspace_id, source_id, actor, payload, content_tag
FROM (
    SELECT
        *, sum(octet_length(payload)) OVER (ORDER BY "offset" ROWS UNBOUNDED PRECEDING) AS size
    FROM fact
    WHERE shard = $1 AND "offset" >= $2 AND "offset" < $3
) AS f
WHERE size - octet_length(payload) < $4
ORDER BY "offset";

-- name: page_of_kinds
-- Reads the facts of some kinds in a range of a shard, up to a number of rows; of one workspace, if it is
-- named.
SELECT
    "offset", occurred_at, recorded_at, shard, kind_id, fact_id, leaf_id,
    workspace_id, source_id, actor, payload, content_tag
FROM fact
WHERE shard = $1 AND "offset" >= $2 AND "offset" < $3 AND kind_id = ANY ($4::smallint [])
    AND ($6::text = '' OR workspace_id = $6)
ORDER BY "offset"
LIMIT $5;

-- name: newest_facts
-- Reads the newest facts of a kind and workspace in the ends of some shards, so many of each.
SELECT f.*
FROM unnest($3::bigint [], $4::bigint []) WITH ORDINALITY AS l (first, ending, position)
CROSS JOIN LATERAL (
    SELECT
        "offset", occurred_at, recorded_at, shard, kind_id, fact_id, leaf_id,
        workspace_id, source_id, actor, payload, content_tag
    FROM fact
    WHERE
        shard = l.position - 1 AND "offset" >= l.first AND "offset" < l.ending
        AND workspace_id = $1 AND kind_id = $2
        AND (cardinality($5::text []) = 0 OR source_id = ANY ($5::text []))
    ORDER BY "offset" DESC
    LIMIT $6
) AS f
ORDER BY f.recorded_at, f.shard, f."offset";

-- name: leaf_facts
-- Reads the facts of some leaves of a workspace, newest occurrence first, as of a token and an instant.
-- The sums keep the planner from the indexes by shard, which would read a whole shard for each leaf.
SELECT f.*
FROM unnest($2::smallint [], $3::bytea [], $4::bigint []) AS l (shard, leaf_id, end_offset)
CROSS JOIN LATERAL (
    SELECT
        "offset", occurred_at, recorded_at, shard, kind_id, fact_id, fact.leaf_id,
        workspace_id, source_id, actor, payload, content_tag
    FROM fact
    WHERE
        fact.leaf_id = l.leaf_id
        AND fact.shard + 0 = l.shard AND fact."offset" + 0 < l.end_offset
        AND workspace_id = $1 AND occurred_at < $5 AND recorded_at <= $6
        AND recorded_at > $8
    ORDER BY occurred_at DESC, fact_id DESC
    LIMIT $7
) AS f
ORDER BY f.occurred_at DESC, f.fact_id DESC
LIMIT $7;
