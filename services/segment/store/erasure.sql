-- name: delete_memberships
-- Deletes the memberships of profiles.
DELETE FROM membership WHERE profile_id = ANY ($1::bytea[])
RETURNING workspace_id, segment_id, segment_version, profile_id, since_us;

-- name: delete_history
-- Deletes the history of profiles up to an instant, searched in each segment of the workspace.
WITH RECURSIVE segment AS (
    (SELECT segment_id FROM history WHERE workspace_id = $1 ORDER BY segment_id LIMIT 1)
    UNION ALL
    SELECT next.segment_id FROM segment CROSS JOIN LATERAL (
        SELECT h.segment_id FROM history h
        WHERE h.workspace_id = $1 AND h.segment_id > segment.segment_id
        ORDER BY h.segment_id LIMIT 1
    ) AS next
)
DELETE FROM history h USING segment, unnest($2::bytea[]) AS gone (profile_id)
WHERE h.workspace_id = $1 AND h.segment_id = segment.segment_id
    AND h.profile_id = gone.profile_id AND h.changed_at_us <= $3;

-- name: load_passed_with
-- What a shard has passed on that contains one of some ids.
SELECT sequence, payload FROM passed_on
WHERE shard = $1 AND EXISTS (
    SELECT FROM unnest($2::bytea[]) AS id WHERE position(id IN payload) > 0
);

-- name: replace_passed
-- Replaces what a message has passed on.
UPDATE passed_on SET payload = $3 WHERE shard = $1 AND sequence = $2;
