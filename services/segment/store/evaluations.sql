-- name: lock_profiles
-- Locks profiles, and before them the definitions (shared). The locks are taken in one order, so
-- that two workers never wait for each other in a circle.
WITH definitions AS MATERIALIZED (SELECT pg_advisory_xact_lock_shared($2::int, 0))
SELECT count(pg_advisory_xact_lock(key)) FROM definitions, unnest($1::bigint[]) AS key;

-- name: lock_definitions
-- Locks the definitions, until every transaction that has decided by the old ones has ended.
SELECT pg_advisory_xact_lock($1::int, 0);

-- name: load_evaluations
-- The evaluations of these profiles.
SELECT profile_id, workspace_id, version, true_predicates, merged_into, changed_at_us
FROM evaluation WHERE profile_id = ANY ($1::bytea[]);

-- name: load_versions
-- The versions of the evaluations of these profiles.
SELECT profile_id, version, merged_into FROM evaluation WHERE profile_id = ANY ($1::bytea[]);

-- name: update_evaluations
-- Replaces evaluations of profiles that have one, at half the cost of the next one.
UPDATE evaluation e
SET version = t.version, true_predicates = t.true_predicates, merged_into = t.merged_into,
    changed_at_us = t.changed_at_us
FROM unnest($1::bytea[], $2::bigint[], $3::bytea[], $4::bytea[], $5::bigint[])
    AS t (profile_id, version, true_predicates, merged_into, changed_at_us)
WHERE e.profile_id = t.profile_id;

-- name: save_evaluations
-- Replaces evaluations by newer ones, and numbers new profiles. A sequence gives no number back, so
-- only new profiles take one.
INSERT INTO evaluation
    (shard, profile_id, workspace_id, version, true_predicates, merged_into, changed_at_us, number)
SELECT t.*, coalesce(e.number, nextval('profile_number'))
FROM unnest($1::int[], $2::bytea[], $3::text[], $4::bigint[], $5::bytea[], $6::bytea[],
            $7::bigint[])
    AS t (shard, profile_id, workspace_id, version, true_predicates, merged_into, changed_at_us)
LEFT JOIN evaluation e ON e.profile_id = t.profile_id AND e.shard = t.shard
ON CONFLICT (profile_id, shard) DO UPDATE
SET version = excluded.version, true_predicates = excluded.true_predicates,
    merged_into = excluded.merged_into, changed_at_us = excluded.changed_at_us;

-- name: load_profile_page
-- The next profiles of a shard and workspace after one.
SELECT profile_id FROM evaluation
WHERE shard = $1 AND workspace_id = $2 AND profile_id > $3 ORDER BY profile_id LIMIT $4;

-- name: count_profiles
-- The number of profiles of a shard and workspace, counted up to a limit.
SELECT count(*) FROM (
    SELECT FROM evaluation WHERE shard = $1 AND workspace_id = $2 LIMIT $3
) AS first_profiles;

-- name: load_profiles_after
-- The first profiles after an id that have an evaluation, of all workspaces.
SELECT profile_id FROM evaluation WHERE profile_id > $1 ORDER BY profile_id LIMIT $2;

-- name: count_rows
-- Named counts for the status.
SELECT (SELECT count(*) FROM membership) AS memberships,
       (SELECT count(*) FROM evaluation WHERE merged_into IS NULL) AS profiles,
       (SELECT count(*) FROM definition) AS segments,
       (SELECT count(*) FROM history) AS published_changes;
