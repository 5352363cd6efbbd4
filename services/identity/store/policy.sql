-- name: save_policy
-- Saves a policy; a row means that it is new, and tells whether it is the newest.
INSERT INTO policy (workspace_id, version, message, shard, log_offset, recorded_at_us)
VALUES ($1, $2, $3, $4, $5, $6)
ON CONFLICT DO NOTHING
RETURNING version > coalesce((SELECT max(version) FROM policy WHERE workspace_id = $1), 0)

-- name: load_policies
-- The policies of a workspace, the newest first, and where each was first read.
SELECT message, version, shard, log_offset FROM policy
WHERE workspace_id = $1 ORDER BY version DESC

-- name: load_rollout_page
-- The next identifiers of a shard (null = of all), and whether each names a profile of a workspace.
SELECT identifier_id, identifier_id = profile_id AND workspace_id = $3 AS is_profile
FROM identifier WHERE identifier_id > $2 AND ($1::integer IS NULL OR shard = $1)
ORDER BY identifier_id LIMIT $4
