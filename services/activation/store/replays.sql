-- name: list_leaves
-- The leaves of a workspace with facts, or with runs of a journey, after one, by id.
SELECT leaf_id FROM (
    (SELECT DISTINCT leaf_id FROM journey_fact
     WHERE workspace_id = $1 AND leaf_id > $3 ORDER BY leaf_id LIMIT $4)
    UNION
    (SELECT DISTINCT leaf_id FROM run
     WHERE workspace_id = $1 AND journey_id = $2 AND leaf_id > $3 ORDER BY leaf_id LIMIT $4)
) own ORDER BY leaf_id LIMIT $4;

-- name: list_group_leaves
-- All leaves that have ever belonged to one person with one of some leaves that have moved.
WITH RECURSIVE own (leaf_id, has_moved) AS (
    SELECT unnest($2::bytea[]), false
    UNION
    SELECT near.leaf_id, true FROM own CROSS JOIN LATERAL (
        SELECT other.leaf_id FROM leaf_profile l JOIN leaf_profile other USING (profile_id)
        WHERE l.workspace_id = $1 AND other.workspace_id = $1 AND l.leaf_id = own.leaf_id
        UNION ALL
        SELECT l.profile_id FROM leaf_profile l
        WHERE l.workspace_id = $1 AND l.leaf_id = own.leaf_id
        UNION ALL
        SELECT l.leaf_id FROM leaf_profile l
        WHERE l.workspace_id = $1 AND l.profile_id = own.leaf_id
    ) near
)
SELECT leaf_id FROM own WHERE has_moved;

-- name: load_moves
-- The profiles of leaves over time.
SELECT leaf_id, profile_id, version, since_us FROM leaf_profile
WHERE workspace_id = $1 AND leaf_id = ANY ($2::bytea[]);
