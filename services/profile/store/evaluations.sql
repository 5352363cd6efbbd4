-- name: load_profile_leaves
-- The leaves of some profiles.
SELECT a.profile_id, a.workspace_id, l.leaf_id, l.state
FROM assignment a JOIN leaf l ON l.shard = a.shard AND l.leaf_id = a.identifier_id
WHERE a.profile_id = ANY ($1::bytea[])

-- name: load_evaluations
-- The evaluations of some profiles.
SELECT profile_id, workspace_id, version, true_predicates, next_due, changed_at, merged_into
FROM evaluation WHERE profile_id = ANY ($1::bytea[])

-- name: update_evaluations
-- Updates evaluations that are stored, at half the cost of the next one, and returns their new versions.
UPDATE evaluation e
SET version = nextval('evaluation_version'), true_predicates = t.true_predicates,
    next_due = t.next_due, evaluating_shard = $1, changed_at = t.changed_at,
    merged_into = t.merged_into
FROM unnest($2::bytea[], $3::bytea[], $4::bigint[], $5::bigint[], $6::bytea[])
    AS t (profile_id, true_predicates, next_due, changed_at, merged_into)
WHERE e.profile_id = t.profile_id
RETURNING e.profile_id, e.version

-- name: save_evaluations
-- Inserts or updates evaluations, and returns their new versions.
INSERT INTO evaluation (shard, profile_id, workspace_id, version, true_predicates, next_due,
                        evaluating_shard, changed_at, merged_into)
SELECT shard, profile_id, workspace_id, nextval('evaluation_version'), true_predicates, next_due,
       $1, changed_at, merged_into
FROM unnest($2::int[], $3::bytea[], $4::text[], $5::bytea[], $6::bigint[], $7::bigint[],
            $8::bytea[])
    AS t (shard, profile_id, workspace_id, true_predicates, next_due, changed_at, merged_into)
ON CONFLICT (profile_id, shard) DO UPDATE
SET version = excluded.version, true_predicates = excluded.true_predicates,
    next_due = excluded.next_due, evaluating_shard = excluded.evaluating_shard,
    changed_at = excluded.changed_at, merged_into = excluded.merged_into
RETURNING profile_id, version

-- name: reschedule_evaluations
-- Updates when time alone may change evaluations.
UPDATE evaluation e SET next_due = t.next_due, evaluating_shard = $1
FROM unnest($2::int[], $3::bytea[], $4::bigint[]) AS t (shard, profile_id, next_due)
WHERE e.profile_id = t.profile_id AND e.shard = t.shard

-- name: load_due
-- The first profiles due by an instant, of those that the worker of a shard evaluated last.
SELECT next_due, profile_id FROM evaluation
WHERE evaluating_shard = $1 AND next_due <= $2 ORDER BY next_due LIMIT $3

-- name: evaluating_shards
-- The shards whose workers evaluate some profiles when they are due.
SELECT profile_id, evaluating_shard FROM evaluation WHERE profile_id = ANY ($1::bytea[])

-- name: shard_evaluations
-- The evaluations of all profiles of a shard that have leaves.
SELECT profile_id, workspace_id, version, true_predicates, next_due, changed_at, merged_into
FROM evaluation WHERE shard = $1 AND merged_into IS NULL

-- name: next_version
-- A version above all that were given.
SELECT nextval('evaluation_version')

-- name: renew_changed
-- Gives a new version to the evaluations that differ from those of another schema.
UPDATE evaluation e SET version = $1
WHERE e.merged_into IS NULL AND NOT EXISTS (
    SELECT FROM {live}.current_evaluation l
    WHERE l.profile_id = e.profile_id AND l.true_predicates = e.true_predicates
)
RETURNING profile_id, workspace_id, version, true_predicates, next_due, changed_at, merged_into

-- name: bury_missing
-- Inserts evaluations without leaves for the profiles that only another schema has, each with the
-- profile that took over its id.
INSERT INTO evaluation (shard, profile_id, workspace_id, version, true_predicates, next_due,
                        evaluating_shard, changed_at, merged_into)
SELECT l.shard, l.profile_id, l.workspace_id, $1, '\x', NULL, l.shard, $2,
       coalesce(nullif(a.profile_id, l.profile_id), $3)
FROM {live}.evaluation l LEFT JOIN assignment a ON a.identifier_id = l.profile_id
WHERE l.merged_into IS NULL AND NOT EXISTS (
    SELECT FROM evaluation e WHERE e.profile_id = l.profile_id
)
RETURNING profile_id, workspace_id, version, true_predicates, next_due, changed_at, merged_into

-- name: later_timers
-- The next profiles whose timer in one schema is later than in another one, or missing.
SELECT l.profile_id FROM {live}.evaluation l JOIN {new}.evaluation n ON n.profile_id = l.profile_id
WHERE l.merged_into IS NULL AND n.merged_into IS NULL AND l.profile_id > $1 AND n.next_due > $2
    AND (l.next_due IS NULL OR l.next_due > n.next_due)
ORDER BY l.profile_id LIMIT $3

-- name: unowned_timers
-- Profiles whose timer no worker fires, as the log has no such shard.
SELECT profile_id FROM evaluation
WHERE merged_into IS NULL AND next_due IS NOT NULL
    AND evaluating_shard NOT IN (SELECT shard FROM checkpoint)
ORDER BY profile_id LIMIT $1

-- name: lock
-- Locks keys in the order given, so that no two workers wait for each other in a cycle.
SELECT count(pg_advisory_xact_lock(key)) FROM unnest($1::bigint[]) AS key

-- name: try_lock
-- Locks keys unless another transaction holds one of them.
SELECT coalesce(bool_and(pg_try_advisory_xact_lock(key)), true) FROM unnest($1::bigint[]) AS key

-- name: count_persons
-- The number of persons of a workspace.
SELECT workspace_id, count(*) FROM evaluation WHERE workspace_id = $1 AND merged_into IS NULL
GROUP BY workspace_id

-- name: sample_page
-- The next persons of a sample: one in so many, the same ones each time.
SELECT profile_id FROM evaluation
WHERE workspace_id = $1 AND merged_into IS NULL AND profile_id > $2
    AND hashtextextended(encode(profile_id, 'hex'), 0) % $3::bigint = 0
ORDER BY profile_id LIMIT $4
