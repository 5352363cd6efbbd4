-- name: save_broadcast_facts
-- Inserts facts without a leaf.
INSERT INTO broadcast_fact (shard, log_offset, workspace_id, kind, fact)
SELECT $1, * FROM unnest($2::bigint[], $3::text[], $4::text[], $5::bytea[])
ON CONFLICT DO NOTHING

-- name: load_definitions
-- Facts of some kinds in order, of one shard or (null) of all.
SELECT shard, fact FROM broadcast_fact
WHERE ($1::int IS NULL OR shard = $1) AND kind = ANY ($2::text[]) ORDER BY log_offset, shard

-- name: workspace_definitions
-- Facts of some kinds in one workspace, from all shards.
SELECT shard, log_offset, kind, fact FROM broadcast_fact
WHERE workspace_id = $1 AND kind = ANY ($2::text[]) ORDER BY log_offset, shard

-- name: workspace_state
-- Facts of some kinds in one workspace, each once, and the predicates that are backfilled in a
-- number of shards, as rows without a kind.
SELECT DISTINCT kind, fact FROM broadcast_fact
WHERE workspace_id = $1 AND kind = ANY ($2::text[])
UNION ALL
(SELECT '', int8send(predicate_id) FROM predicate WHERE workspace_id = $1 AND stage = 2
 GROUP BY predicate_id HAVING count(*) >= $3)

-- name: shard_broadcast_facts
-- All facts of a shard in order, from an offset on.
SELECT fact FROM broadcast_fact WHERE shard = $1 AND log_offset >= $2 ORDER BY log_offset

-- name: load_fold_state
-- The versions of a shard's caches, and whether any profile is due by an instant.
SELECT v.predicates, v.leaves,
       EXISTS (SELECT FROM evaluation WHERE evaluating_shard = $1 AND next_due <= $2) AS has_due
FROM (SELECT $1::int AS shard) AS given LEFT JOIN cache_version v ON v.shard = given.shard

-- name: load_predicates_versions
-- The version of the predicates of each shard.
SELECT shard, predicates FROM cache_version ORDER BY shard

-- name: change_predicates_version
-- Makes the caches of a shard's predicates stale.
INSERT INTO cache_version (shard, predicates) VALUES ($1, pg_current_xact_id()::text::bigint)
ON CONFLICT (shard) DO UPDATE SET predicates = excluded.predicates
RETURNING predicates

-- name: change_leaves_version
-- Makes the caches of a shard's leaves stale.
UPDATE cache_version SET leaves = pg_current_xact_id()::text::bigint WHERE shard = $1

-- name: lock_registration
-- Lets one shard at a time change what it needs.
SELECT pg_advisory_xact_lock($1::int, 0)

-- name: save_stages
-- Inserts predicates of a shard at a stage, or moves them there.
INSERT INTO predicate (shard, workspace_id, predicate_id, stage)
SELECT $1, *, $4 FROM unnest($2::text[], $3::bigint[])
ON CONFLICT (shard, workspace_id, predicate_id) DO UPDATE SET stage = excluded.stage

-- name: drop_everywhere
-- Marks predicates that no shard needs as dropped in some shards, also where a sweep has erased them
-- before; a shard that needs one again keeps it.
INSERT INTO predicate (shard, workspace_id, predicate_id, stage)
SELECT shard, t.workspace_id, t.predicate_id, 3
FROM unnest($1::int[]) AS shard
    CROSS JOIN unnest($2::text[], $3::bigint[]) AS t (workspace_id, predicate_id)
ORDER BY 1, 2, 3
ON CONFLICT (shard, workspace_id, predicate_id) DO UPDATE SET stage = excluded.stage
WHERE predicate.stage > 2

-- name: erase_predicates
-- Deletes the predicates of a shard that a sweep has erased, unless they were dropped once more.
DELETE FROM predicate p
USING unnest($2::text[], $3::bigint[]) AS t (workspace_id, predicate_id)
WHERE p.shard = $1 AND p.workspace_id = t.workspace_id AND p.predicate_id = t.predicate_id
    AND p.stage = 4

-- name: delete_predicates
-- Deletes all predicates.
DELETE FROM predicate

-- name: load_stages
-- The predicates of one workspace in a shard.
SELECT predicate_id, stage FROM predicate WHERE shard = $1 AND workspace_id = $2

-- name: needed_predicates
-- Those of some predicates that any shard needs.
SELECT DISTINCT p.workspace_id, p.predicate_id
FROM predicate p JOIN unnest($1::text[], $2::bigint[]) AS t (workspace_id, predicate_id)
    ON p.workspace_id = t.workspace_id AND p.predicate_id = t.predicate_id
WHERE p.stage < 3

-- name: backfilled_predicates
-- The predicates of a workspace that are backfilled in a number of shards.
SELECT predicate_id FROM predicate WHERE workspace_id = $1 AND stage = 2
GROUP BY predicate_id HAVING count(*) >= $2

-- name: shard_backfilled_predicates
-- The predicates that are backfilled in a shard.
SELECT workspace_id, predicate_id FROM predicate WHERE shard = $1 AND stage = 2
