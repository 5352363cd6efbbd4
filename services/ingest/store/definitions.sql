-- name: lock_checkpoint
-- Reads the offset up to which definitions are folded, and locks it until the transaction ends.
SELECT next FROM definition_checkpoint FOR UPDATE

-- name: end_of_shard
-- Reads the offset after the last fact of shard 0.
SELECT next FROM head WHERE shard = 0

-- name: facts_from
-- Reads facts of some kinds from an offset of shard 0 on.
SELECT f."offset", f.workspace_id, k.name AS kind, f.payload, f.actor,
    f.recorded_at AS recorded_at_us
FROM fact AS f INNER JOIN kind AS k USING (kind_id)
WHERE f.shard = 0 AND f."offset" >= $1 AND f.leaf_id IS NULL AND k.name = any($2::text [])
ORDER BY f."offset"
LIMIT $3

-- name: save_checkpoint
-- Stores the offset up to which definitions are folded.
UPDATE definition_checkpoint SET next = $1

-- name: save_workspaces
-- Stores workspaces; the first title and region of each stay.
INSERT INTO workspace (workspace_id, title, default_region)
SELECT * FROM unnest($1::text [], $2::text [], $3::text [])
ON CONFLICT DO NOTHING

-- name: save_sources
-- Stores a source; its highest version wins.
INSERT INTO source AS old (
    workspace_id, source_id, title, channel, version, disabled,
    trust, allowed_namespaces, allowed_event_names, allowed_traits, max_age_days, party
)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)
ON CONFLICT (workspace_id, source_id) DO UPDATE
    SET title = excluded.title, channel = excluded.channel,
    version = excluded.version, disabled = excluded.disabled, trust = excluded.trust,
    allowed_namespaces = excluded.allowed_namespaces,
    allowed_event_names = excluded.allowed_event_names,
    allowed_traits = excluded.allowed_traits, max_age_days = excluded.max_age_days,
    party = excluded.party
    WHERE old.version < excluded.version

-- name: save_keys
-- Stores keys; the highest version of each wins.
INSERT INTO api_key AS old (
    workspace_id, key_id, key_hash, role, source_id, title, version, disabled,
    created_at_us, expires_at_us, allowed_origins, allowed_addresses, bootstrap
)
SELECT * FROM unnest(
    $1::text [], $2::text [], $3::bytea [], $4::smallint [], $5::text [], $6::text [],
    $7::bigint [], $8::boolean [], $9::bigint [], $10::bigint [], $11::text [], $12::text [],
    $13::boolean []
)
ON CONFLICT (workspace_id, key_id) DO UPDATE
    SET version = excluded.version, disabled = excluded.disabled,
    expires_at_us = excluded.expires_at_us, bootstrap = excluded.bootstrap
    WHERE old.version < excluded.version

-- name: workspace
-- Reads one workspace.
SELECT workspace_id, title, default_region FROM workspace WHERE workspace_id = $1

-- name: sources
-- Reads the sources of a workspace.
SELECT
    workspace_id, source_id, title, channel, version, disabled,
    trust, allowed_namespaces, allowed_event_names, allowed_traits, max_age_days, party
FROM source
WHERE workspace_id = $1 ORDER BY source_id

-- name: source
-- Reads one source.
SELECT
    workspace_id, source_id, title, channel, version, disabled,
    trust, allowed_namespaces, allowed_event_names, allowed_traits, max_age_days, party
FROM source
WHERE workspace_id = $1 AND source_id = $2

-- name: keys
-- Reads the keys of a workspace.
SELECT
    workspace_id, key_id, key_hash, role, source_id, title, version, disabled,
    created_at_us, expires_at_us, string_to_array(allowed_origins, ' ') AS allowed_origins,
    string_to_array(allowed_addresses, ' ') AS allowed_addresses, bootstrap
FROM api_key
WHERE workspace_id = $1 ORDER BY key_id

-- name: key
-- Reads one key.
SELECT
    workspace_id, key_id, key_hash, role, source_id, title, version, disabled,
    created_at_us, expires_at_us, string_to_array(allowed_origins, ' ') AS allowed_origins,
    string_to_array(allowed_addresses, ' ') AS allowed_addresses, bootstrap
FROM api_key
WHERE workspace_id = $1 AND key_id = $2
