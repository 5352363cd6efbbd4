-- name: save
-- Stores refused events; an event that is stored already stays as it is.
INSERT INTO quarantine (
    shard, quarantine_id, workspace_id, source_id, endpoint, reason, field, message, format, raw,
    received_at
)
SELECT * FROM unnest(
    $1::smallint [], $2::bytea [], $3::text [], $4::text [], $5::text [], $6::text [], $7::text [],
    $8::text [], $9::text [], $10::bytea [], $11::bigint []
)
ON CONFLICT DO NOTHING

-- name: get
-- Reads one event of a workspace.
SELECT * FROM quarantine WHERE shard = $1 AND quarantine_id = $2 AND workspace_id = $3

-- name: page
-- Reads events of a workspace, newest first, after a sort key.
SELECT * FROM quarantine
WHERE workspace_id = $1 AND (received_at, quarantine_id) < ($2, $3)
    AND ($4 OR released_fact_id IS NULL)
ORDER BY received_at DESC, quarantine_id DESC
LIMIT $5

-- name: mark_released
-- Stores the id of the fact that an event became.
UPDATE quarantine SET released_fact_id = $3 WHERE shard = $1 AND quarantine_id = $2
