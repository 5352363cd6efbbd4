-- name: record
-- Stores the day of the last use of keys; rows are sorted, so that two replicas cannot deadlock.
INSERT INTO key_use AS old (workspace_id, key_id, last_day)
SELECT new.workspace_id, new.key_id, max(new.day)
FROM unnest($1::text [], $2::text [], $3::integer []) AS new (workspace_id, key_id, day)
INNER JOIN api_key USING (workspace_id, key_id)
GROUP BY new.workspace_id, new.key_id
ORDER BY new.workspace_id, new.key_id
ON CONFLICT (workspace_id, key_id) DO UPDATE
    SET last_day = excluded.last_day
    WHERE old.last_day < excluded.last_day

-- name: last_days
-- Reads the day of the last use of each key of a workspace that was used.
SELECT key_id, last_day FROM key_use WHERE workspace_id = $1
