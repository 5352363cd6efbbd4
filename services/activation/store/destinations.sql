-- name: save_destination
-- Saves a version of a destination unless the shard has a newer one.
INSERT INTO destination (shard, workspace_id, destination_id, version, payload)
VALUES ($1, $2, $3, $4, $5)
ON CONFLICT (workspace_id, destination_id, shard) DO UPDATE
SET version = excluded.version, payload = excluded.payload
WHERE destination.version < excluded.version;

-- name: load_destinations
-- Every destination in the newest version on any shard.
SELECT DISTINCT ON (workspace_id, destination_id) workspace_id, payload FROM destination
ORDER BY workspace_id, destination_id, version DESC;

-- name: load_destinations_of_shard
-- The destinations of some workspaces as defined on one shard.
SELECT workspace_id, payload FROM destination
WHERE shard = $1 AND workspace_id = ANY ($2::text[]) ORDER BY workspace_id, destination_id;

-- name: load_destinations_of_workspace
-- The destinations of a workspace.
SELECT DISTINCT ON (destination_id) workspace_id, payload FROM destination
WHERE workspace_id = $1 ORDER BY destination_id, version DESC;
