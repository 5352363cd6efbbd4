-- name: lock_usage
-- Reads how much of its quota a source uses, and locks that until the end of the transaction.
INSERT INTO quarantine_usage AS old (workspace_id, source_id, entries, size_bytes)
VALUES ($1, $2, 0, 0)
ON CONFLICT (workspace_id, source_id) DO UPDATE SET entries = old.entries
RETURNING entries, size_bytes

-- name: stored_ids
-- Reads which of some events of a workspace are stored.
SELECT quarantine_id
FROM quarantine
INNER JOIN unnest($2::smallint [], $3::bytea []) AS sent (shard, quarantine_id)
    USING (shard, quarantine_id)
WHERE workspace_id = $1

-- name: save
-- Stores refused events of one source, and counts those that were not stored yet.
WITH saved AS (
    INSERT INTO quarantine (
        shard, quarantine_id, workspace_id, source_id, endpoint, reason, field, message, format,
        raw, received_at
    )
    SELECT * FROM unnest(
        $3::smallint [], $4::bytea [], $5::text [], $6::text [], $7::text [], $8::text [],
        $9::text [], $10::text [], $11::text [], $12::bytea [], $13::bigint []
    )
    ON CONFLICT DO NOTHING
    RETURNING octet_length(raw) AS size_bytes
)
UPDATE quarantine_usage
SET entries = entries + (SELECT count(*) FROM saved),
    size_bytes = quarantine_usage.size_bytes
        + (SELECT coalesce(sum(saved.size_bytes), 0) FROM saved)
WHERE workspace_id = $1 AND source_id = $2

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
-- Stores the id of the fact that an event became; the event counts for the quota no more.
WITH released AS (
    UPDATE quarantine SET released_fact_id = $5
    WHERE shard = $1 AND quarantine_id = $2 AND workspace_id = $3 AND released_fact_id IS NULL
    RETURNING octet_length(raw) AS size_bytes
)
UPDATE quarantine_usage
SET entries = entries - 1, size_bytes = quarantine_usage.size_bytes - released.size_bytes
FROM released
WHERE workspace_id = $3 AND source_id = $4

-- name: expired
-- Reads which events of all workspaces are older than an instant, the oldest first.
SELECT shard, quarantine_id, workspace_id, source_id
FROM quarantine
WHERE received_at < $1
ORDER BY received_at
LIMIT $2

-- name: lock_usages
-- Locks how much of their quotas some sources use, in the order in which all replicas do.
SELECT entries
FROM quarantine_usage
INNER JOIN unnest($1::text [], $2::text []) AS due (workspace_id, source_id)
    USING (workspace_id, source_id)
ORDER BY workspace_id, source_id
FOR UPDATE OF quarantine_usage

-- name: delete_entries
-- Deletes events, and counts those for their quotas no more that were not released.
WITH deleted AS (
    DELETE FROM quarantine
    USING unnest($1::smallint [], $2::bytea []) AS due (shard, quarantine_id)
    WHERE quarantine.shard = due.shard AND quarantine.quarantine_id = due.quarantine_id
    RETURNING workspace_id, source_id, octet_length(raw) AS size_bytes, released_fact_id
), freed AS (
    SELECT workspace_id, source_id, count(*) AS entries, sum(size_bytes) AS size_bytes
    FROM deleted
    WHERE released_fact_id IS NULL
    GROUP BY workspace_id, source_id
)
UPDATE quarantine_usage AS old
SET entries = old.entries - freed.entries, size_bytes = old.size_bytes - freed.size_bytes
FROM freed
WHERE old.workspace_id = freed.workspace_id AND old.source_id = freed.source_id
