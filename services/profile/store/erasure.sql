-- name: pass_shard
-- Saves that a shard has deleted its leaves of a person; returns how many have.
INSERT INTO erasing AS old (workspace_id, request_id, identifier_ids, passed)
VALUES ($1, $2, $3, ARRAY[$4::integer])
ON CONFLICT (workspace_id, request_id) DO UPDATE
SET passed = ARRAY(SELECT unnest(old.passed) UNION SELECT $4::integer)
RETURNING cardinality(passed)

-- name: end_erasure
-- Saves that a person is erased.
DELETE FROM erasing WHERE workspace_id = $1 AND request_id = $2

-- name: load_erasing
-- The identifiers of the persons that are being erased.
SELECT identifier_ids FROM erasing

-- name: delete_leaves
-- Deletes leaves of a shard.
DELETE FROM leaf WHERE shard = $2 AND leaf_id = ANY ($3::bytea[]) AND workspace_id = $1
RETURNING leaf_id, state

-- name: delete_names
-- Deletes the forms of the names of leaves of a shard.
DELETE FROM name WHERE shard = $2 AND leaf_id = ANY ($3::bytea[]) AND workspace_id = $1

-- name: bury
-- Empties the evaluations of profiles, each with a new version, and returns them as they were.
UPDATE evaluation AS new
SET version = nextval('evaluation_version'), true_predicates = '\x', next_due = NULL,
    changed_at = $3, merged_into = $4
FROM (
    SELECT * FROM evaluation WHERE profile_id = ANY ($2::bytea[]) AND workspace_id = $1
) AS old
WHERE new.profile_id = old.profile_id AND new.shard = old.shard
RETURNING old.profile_id, old.workspace_id, new.version, old.true_predicates, old.next_due,
    old.changed_at, old.merged_into

-- name: delete_assignments
-- Deletes assignments that are older than those by which their identifiers are gone.
DELETE FROM assignment AS old
USING unnest($1::bytea[], $2::bigint[]) AS gone (identifier_id, version)
WHERE old.identifier_id = gone.identifier_id AND old.version < gone.version
RETURNING old.workspace_id, old.identifier_id, old.profile_id
