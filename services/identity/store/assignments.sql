-- name: load_leaf_profiles
-- The profiles of the leaves that are stored, as arrays; whether a shard has assignments to publish,
-- and whether its cache is outdated.
SELECT array_agg(identifier_id) AS ids, array_agg(profile_id) AS profile_ids,
    EXISTS (SELECT FROM unpublished_assignment WHERE shard = $2) AS has_unpublished,
    EXISTS (SELECT FROM outdated_cache WHERE shard = $2) AS is_cache_outdated
FROM identifier WHERE identifier_id = ANY ($1::bytea[])

-- name: save_unpublished
-- Saves assignments to publish with the shard's next batch.
INSERT INTO unpublished_assignment
    (shard, version, identifier_id, workspace_id, namespace, value, profile_id, before_profile_id)
SELECT $1, * FROM unnest($2::bigint[], $3::bytea[], $4::text[], $5::text[], $6::text[],
    $7::bytea[], $8::bytea[])

-- name: take_unpublished
-- Deletes and returns the oldest assignments that a shard has to publish.
WITH oldest AS (
    SELECT version, identifier_id FROM unpublished_assignment
    WHERE shard = $1 ORDER BY version, identifier_id LIMIT $2
)
DELETE FROM unpublished_assignment AS unpublished USING oldest
WHERE unpublished.shard = $1 AND unpublished.version = oldest.version
  AND unpublished.identifier_id = oldest.identifier_id
RETURNING unpublished.version, unpublished.identifier_id, workspace_id, namespace, value,
    profile_id, before_profile_id

-- name: note_cache_emptied
-- Removes the note that the cache of a shard is outdated.
DELETE FROM outdated_cache WHERE shard = $1

-- name: has_unpublished
-- Whether a workspace has assignments that are not published.
SELECT EXISTS (SELECT FROM unpublished_assignment WHERE workspace_id = $1)

-- name: read_assignments
-- The profile of every identifier.
SELECT workspace_id, identifier_id, profile_id, version, namespace, value FROM identifier
