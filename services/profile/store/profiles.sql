-- name: load_profiles
-- The identifiers of some profiles of one workspace, with the states of those that are leaves.
SELECT a.profile_id, a.identifier_id, a.namespace, a.value, l.state
FROM assignment a LEFT JOIN leaf l ON l.shard = a.shard AND l.leaf_id = a.identifier_id
WHERE a.workspace_id = $1 AND a.profile_id = ANY ($2::bytea[])
ORDER BY a.profile_id, a.namespace, a.value, a.identifier_id

-- name: list_profiles
-- The same columns of the next persons. Accounts have no evaluation, so they are left out.
SELECT a.profile_id, a.identifier_id, a.namespace, a.value, l.state
FROM (
    SELECT profile_id FROM evaluation
    WHERE workspace_id = $1 AND merged_into IS NULL AND profile_id > $2
    ORDER BY profile_id LIMIT $3
) AS e JOIN assignment a ON a.profile_id = e.profile_id AND a.workspace_id = $1
LEFT JOIN leaf l ON l.shard = a.shard AND l.leaf_id = a.identifier_id
ORDER BY a.profile_id, a.namespace, a.value, a.identifier_id

-- name: count_rows
-- Named counts for the status.
SELECT
    (SELECT count(*) FROM leaf) AS leaves,
    (SELECT count(*) FROM assignment) AS identifiers,
    (SELECT count(*) FROM evaluation WHERE merged_into IS NULL) AS profiles,
    (SELECT count(DISTINCT (workspace_id, predicate_id)) FROM predicate) AS predicates,
    (SELECT count(DISTINCT shard) FROM backfill) AS backfilling_shards
