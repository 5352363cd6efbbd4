-- name: pass_shard
-- Saves that a shard of the log has come to the erasure of a person; returns how many have.
INSERT INTO erasure AS old
    (workspace_id, request_id, identifier_ids, changed_ids, recorded_at_us, passed)
VALUES ($1, $2, $3, $4, $5, ARRAY[$6::integer])
ON CONFLICT (workspace_id, request_id) DO UPDATE
SET passed = ARRAY(SELECT unnest(old.passed) UNION SELECT $6::integer)
RETURNING cardinality(passed)

-- name: take
-- Deletes and returns the erasure of a request.
DELETE FROM erasure WHERE workspace_id = $1 AND request_id = $2
RETURNING identifier_ids, changed_ids, recorded_at_us

-- name: stop_folds
-- Waits for the folds of all shards that are under way, and lets none begin until the transaction ends.
SELECT FROM checkpoint ORDER BY shard FOR NO KEY UPDATE

-- name: mark_caches_outdated
-- Notes that what the workers of all shards have cached may be deleted.
INSERT INTO outdated_cache (shard) SELECT shard FROM checkpoint ON CONFLICT DO NOTHING

-- name: delete_identifiers
-- Deletes identifiers.
DELETE FROM identifier WHERE identifier_id = ANY ($2::bytea[]) AND workspace_id = $1
RETURNING identifier_id, profile_id, first_seen_us, first_fact

-- name: part
-- Makes the identifiers of profiles profiles of their own, and returns them with the profiles before.
UPDATE identifier AS new SET profile_id = new.identifier_id, version = $3
FROM identifier AS old
WHERE old.workspace_id = $1 AND old.profile_id = ANY ($2::bytea[])
  AND new.identifier_id = old.identifier_id AND new.shard = old.shard
RETURNING new.identifier_id, old.profile_id, new.workspace_id, new.namespace, new.value,
    new.first_seen_us, new.first_fact

-- name: delete_edges
-- Deletes the edges of identifiers.
DELETE FROM edge
WHERE workspace_id = $1 AND (a = ANY ($2::bytea[]) OR b = ANY ($2::bytea[]))
RETURNING a, b, kind, first_seen_us, first_fact, last_seen_day, held_reason, held_namespace

-- name: delete_decisions
-- Deletes the decisions about identifiers.
DELETE FROM decision
WHERE workspace_id = $1 AND (a = ANY ($2::bytea[]) OR b = ANY ($2::bytea[]))
RETURNING a, b, occurred_at_us, fact_id, kind, actor, reason

-- name: delete_matches
-- Deletes the assessments of matches of identifiers.
DELETE FROM match
WHERE workspace_id = $1 AND (a = ANY ($2::bytea[]) OR b = ANY ($2::bytea[]))
RETURNING a, b, occurred_at_us, fact_id, message

-- name: load_profile_ids
-- The profiles of identifiers of a workspace.
SELECT DISTINCT profile_id FROM identifier
WHERE identifier_id = ANY ($2::bytea[]) AND workspace_id = $1

-- name: identifiers_of
-- The identifiers of a profile of a workspace, also those of which only the id is known.
SELECT identifier_id FROM identifier WHERE workspace_id = $1 AND profile_id = $2
ORDER BY identifier_id

-- name: load_related
-- The identifiers of others that an edge, a decision or a match connects with some of a workspace.
SELECT DISTINCT id FROM (
    SELECT b AS id FROM edge WHERE workspace_id = $1 AND a = ANY ($2::bytea[])
    UNION ALL SELECT a FROM edge WHERE workspace_id = $1 AND b = ANY ($2::bytea[])
    UNION ALL SELECT b FROM decision WHERE workspace_id = $1 AND a = ANY ($2::bytea[])
    UNION ALL SELECT a FROM decision WHERE workspace_id = $1 AND b = ANY ($2::bytea[])
    UNION ALL SELECT b FROM match WHERE workspace_id = $1 AND a = ANY ($2::bytea[])
    UNION ALL SELECT a FROM match WHERE workspace_id = $1 AND b = ANY ($2::bytea[])
) AS other
WHERE id <> ALL ($2::bytea[])
ORDER BY id
