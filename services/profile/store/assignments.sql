-- name: load_assignments
-- The assignments of some identifiers.
SELECT workspace_id, identifier_id, profile_id, version
FROM assignment WHERE identifier_id = ANY ($1::bytea[])

-- name: save_assignments
-- Updates existing assignments.
UPDATE assignment a
SET profile_id = t.profile_id, version = t.version,
    namespace = coalesce(t.namespace, a.namespace), value = coalesce(t.value, a.value)
FROM unnest($1::int[], $2::bytea[], $3::bytea[], $4::bigint[], $5::text[], $6::text[])
    AS t (shard, identifier_id, profile_id, version, namespace, value)
WHERE a.identifier_id = t.identifier_id AND a.shard = t.shard

-- name: profiles_of
-- The profiles of some identifiers in one workspace.
SELECT identifier_id, profile_id FROM assignment
WHERE workspace_id = $1 AND identifier_id = ANY ($2::bytea[])
