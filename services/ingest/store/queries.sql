-- name: keep
-- Keeps refused events; those that are there already stay as they are.
INSERT INTO quarantine (
    shard, quarantine_id, workspace_id, source_id, door, reason, field, message, form, raw, received_at
)
SELECT * FROM unnest(
    $1::smallint [], $2::bytea [], $3::text [], $4::text [], $5::text [], $6::text [], $7::text [],
    $8::text [], $9::text [], $10::bytea [], $11::bigint []
)
ON CONFLICT DO NOTHING

-- name: find
-- One entry of a workspace.
SELECT * FROM quarantine WHERE shard = $1 AND quarantine_id = $2 AND workspace_id = $3

-- name: page
-- Entries of a workspace, newest first, after a place in that order.
SELECT * FROM quarantine
WHERE workspace_id = $1 AND (received_at, quarantine_id) < ($2, $3)
    AND ($4 OR released_fact_id IS NULL)
ORDER BY received_at DESC, quarantine_id DESC
LIMIT $5

-- name: release
-- Notes the fact that an entry became.
UPDATE quarantine SET released_fact_id = $3 WHERE shard = $1 AND quarantine_id = $2

-- name: channel_of
-- The channel of a source.
SELECT channel FROM source WHERE workspace_id = $1 AND source_id = $2

-- name: lock_folded
-- How far the definitions were folded, for one folder at a time.
SELECT next FROM folded FOR UPDATE

-- name: definitions_from
-- Definitions of the log from an offset of shard 0 on.
SELECT f."offset", f.workspace_id, k.name AS kind, f.payload
FROM fact AS f INNER JOIN kind AS k USING (kind_id)
WHERE f.shard = 0 AND f."offset" >= $1 AND f.leaf_id IS NULL AND k.name = any($2::text [])
ORDER BY f."offset"
LIMIT $3

-- name: end_of_shard
-- The offset after the last fact of shard 0.
SELECT next FROM head WHERE shard = 0

-- name: save_folded
-- Moves the place up to which definitions were folded.
UPDATE folded SET next = $1

-- name: fold_workspaces
-- The first title and region hold.
INSERT INTO workspace (workspace_id, title, default_region)
SELECT * FROM unnest($1::text [], $2::text [], $3::text [])
ON CONFLICT DO NOTHING

-- name: fold_sources
-- The highest version of a source holds.
INSERT INTO source AS old (workspace_id, source_id, title, channel, version, disabled)
SELECT * FROM unnest(
    $1::text [], $2::text [], $3::text [], $4::text [], $5::bigint [], $6::boolean []
)
ON CONFLICT (workspace_id, source_id) DO UPDATE
    SET title = excluded.title, channel = excluded.channel,
    version = excluded.version, disabled = excluded.disabled
    WHERE old.version < excluded.version

-- name: fold_keys
-- The highest version of a key holds.
INSERT INTO issued_key AS old (
    workspace_id, key_id, key_hash, role, source_id, title, version, disabled
)
SELECT * FROM unnest(
    $1::text [], $2::text [], $3::bytea [], $4::smallint [], $5::text [], $6::text [],
    $7::bigint [], $8::boolean []
)
ON CONFLICT (workspace_id, key_id) DO UPDATE
    SET version = excluded.version, disabled = excluded.disabled
    WHERE old.version < excluded.version

-- name: workspace
-- One workspace.
SELECT workspace_id, title, default_region FROM workspace WHERE workspace_id = $1

-- name: sources
-- The sources of a workspace.
SELECT workspace_id, source_id, title, channel, version, disabled FROM source
WHERE workspace_id = $1 ORDER BY source_id

-- name: source
-- One source.
SELECT workspace_id, source_id, title, channel, version, disabled FROM source
WHERE workspace_id = $1 AND source_id = $2

-- name: keys
-- The keys of a workspace.
SELECT workspace_id, key_id, key_hash, role, source_id, title, version, disabled FROM issued_key
WHERE workspace_id = $1 ORDER BY key_id

-- name: key
-- One key.
SELECT workspace_id, key_id, key_hash, role, source_id, title, version, disabled FROM issued_key
WHERE workspace_id = $1 AND key_id = $2
