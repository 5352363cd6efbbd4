-- name: load_keys
-- The keys with some hashes, the regions of their workspaces, and whether their sources are disabled.
SELECT k.key_hash, k.key_id, k.workspace_id, k.role, k.source_id, k.expires_at_us, k.allowed_origins,
    k.allowed_addresses, w.default_region, c.identifiers, c.names,
    k.disabled OR coalesce(s.disabled, false) AS disabled
FROM access_key AS k
LEFT JOIN access_source AS s USING (workspace_id, source_id)
LEFT JOIN access_workspace AS w USING (workspace_id)
LEFT JOIN access_field_classes AS c USING (workspace_id)
WHERE k.key_hash = any($1::bytea[])

-- name: load_regions
-- The default regions of workspaces.
SELECT workspace_id, default_region FROM access_workspace WHERE workspace_id = any($1::text[])

-- name: fold_workspaces
-- A workspace is defined once; its region never changes, as leaves depend on it.
INSERT INTO access_workspace (workspace_id, default_region)
SELECT * FROM unnest($1::text[], $2::text[]) AS new (workspace_id, default_region)
ORDER BY workspace_id
ON CONFLICT DO NOTHING

-- name: fold_keys
-- The highest version of a key wins; of two equal versions, the disabled one. Rows are sorted here
-- and below, so that workers of several shards that fold the same facts cannot deadlock.
INSERT INTO access_key AS old (
    key_hash, key_id, workspace_id, role, source_id, version, disabled,
    expires_at_us, allowed_origins, allowed_addresses
)
SELECT DISTINCT ON (key_hash) *
FROM unnest(
    $1::bytea[], $2::text[], $3::text[], $4::smallint[], $5::text[], $6::bigint[], $7::bool[],
    $8::bigint[], $9::text[], $10::text[]
) AS new (
    key_hash, key_id, workspace_id, role, source_id, version, disabled,
    expires_at_us, allowed_origins, allowed_addresses
)
ORDER BY key_hash, version DESC, disabled DESC
ON CONFLICT (key_hash) DO UPDATE
SET role = excluded.role, source_id = excluded.source_id, version = excluded.version,
    disabled = excluded.disabled, expires_at_us = excluded.expires_at_us,
    allowed_origins = excluded.allowed_origins, allowed_addresses = excluded.allowed_addresses
WHERE (old.version, old.disabled) < (excluded.version, excluded.disabled)

-- name: fold_sources
-- The highest version of a source wins; of two equal versions, the disabled one.
INSERT INTO access_source AS old (workspace_id, source_id, version, disabled)
SELECT DISTINCT ON (workspace_id, source_id) *
FROM unnest($1::text[], $2::text[], $3::bigint[], $4::bool[])
    AS new (workspace_id, source_id, version, disabled)
ORDER BY workspace_id, source_id, version DESC, disabled DESC
ON CONFLICT (workspace_id, source_id) DO UPDATE
SET version = excluded.version, disabled = excluded.disabled
WHERE (old.version, old.disabled) < (excluded.version, excluded.disabled)

-- name: fold_field_classes
-- The highest version of a workspace wins.
INSERT INTO access_field_classes AS old (workspace_id, version, identifiers, names)
SELECT DISTINCT ON (workspace_id) *
FROM unnest($1::text[], $2::bigint[], $3::text[], $4::text[])
    AS new (workspace_id, version, identifiers, names)
ORDER BY workspace_id, version DESC
ON CONFLICT (workspace_id) DO UPDATE
SET version = excluded.version, identifiers = excluded.identifiers, names = excluded.names
WHERE old.version < excluded.version

-- name: load_field_classes
-- The classes of a workspace.
SELECT version, identifiers, names FROM access_field_classes WHERE workspace_id = $1

-- name: all_workspaces
-- Every row, its columns in the order of the fold.
SELECT workspace_id, default_region FROM access_workspace

-- name: all_keys
-- Every row, its columns in the order of the fold.
SELECT
    key_hash, key_id, workspace_id, role, source_id, version, disabled,
    expires_at_us, allowed_origins, allowed_addresses
FROM access_key

-- name: all_sources
-- Every row, its columns in the order of the fold.
SELECT workspace_id, source_id, version, disabled FROM access_source

-- name: all_field_classes
-- Every row, its columns in the order of the fold.
SELECT workspace_id, version, identifiers, names FROM access_field_classes

-- name: delete_workspace
-- A row as it was read.
DELETE FROM access_workspace WHERE workspace_id = $1 AND default_region = $2

-- name: delete_key
-- A row as it was read.
DELETE FROM access_key
WHERE key_hash = $1 AND key_id = $2 AND workspace_id = $3 AND role = $4 AND source_id = $5
    AND version = $6 AND disabled = $7 AND expires_at_us = $8 AND allowed_origins = $9
    AND allowed_addresses = $10

-- name: delete_source
-- A row as it was read.
DELETE FROM access_source
WHERE workspace_id = $1 AND source_id = $2 AND version = $3 AND disabled = $4

-- name: delete_field_classes
-- A row as it was read.
DELETE FROM access_field_classes
WHERE workspace_id = $1 AND version = $2 AND identifiers = $3 AND names = $4
