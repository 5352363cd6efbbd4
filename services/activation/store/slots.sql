-- name: save_slot
-- Saves a version of a slot unless there is a newer one.
INSERT INTO slot (workspace_id, slot_id, version, payload) VALUES ($1, $2, $3, $4)
ON CONFLICT (workspace_id, slot_id) DO UPDATE
SET version = excluded.version, payload = excluded.payload
WHERE slot.version < excluded.version;

-- name: load_slots
-- Some slots of a workspace.
SELECT payload FROM slot WHERE workspace_id = $1 AND slot_id = ANY ($2::text[]);

-- name: every_slot
-- The slots of all workspaces.
SELECT workspace_id, payload FROM slot ORDER BY workspace_id, slot_id;

-- name: list_slots
-- The slots of a workspace.
SELECT payload FROM slot WHERE workspace_id = $1 ORDER BY slot_id;
