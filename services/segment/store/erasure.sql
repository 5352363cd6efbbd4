-- name: delete_memberships
-- Deletes the memberships of profiles.
DELETE FROM membership WHERE profile_id = ANY ($1::bytea[])
RETURNING workspace_id, segment_id, segment_version, profile_id, since_us;

-- name: delete_history
-- Deletes the history of profiles up to an instant, searched in each segment of the workspace, and counts
-- it; stores after which ordinal the changes of a new life are counted: an even one, as entries are odd.
WITH searched AS MATERIALIZED (
    SELECT s.segment_key, s.segment_id, gone.profile_id
    FROM changed_segment s CROSS JOIN unnest($2::bytea[]) AS gone (profile_id)
    WHERE s.workspace_id = $1
), deleted AS (
    DELETE FROM history h USING searched s
    WHERE h.segment_key = s.segment_key AND h.profile_id = s.profile_id
        AND h.workspace_id || '' = $1 AND h.segment_id = s.segment_id AND h.changed_at_us <= $3
    RETURNING h.profile_id, h.ordinal
), numbered AS (
    INSERT INTO erased_profile AS old (workspace_id, profile_id, ordinal)
    SELECT $1, profile_id, max(ordinal) + max(ordinal) % 2 FROM deleted GROUP BY profile_id
    ON CONFLICT (workspace_id, profile_id)
        DO UPDATE SET ordinal = greatest(old.ordinal, excluded.ordinal)
)
SELECT count(*) FROM deleted;

-- name: load_passed_with
-- What a shard has passed on that contains one of some ids.
SELECT sequence, payload FROM passed_on
WHERE shard = $1 AND EXISTS (
    SELECT FROM unnest($2::bytea[]) AS id WHERE position(id IN payload) > 0
);

-- name: replace_passed
-- Replaces what a message has passed on.
UPDATE passed_on SET payload = $3 WHERE shard = $1 AND sequence = $2;
