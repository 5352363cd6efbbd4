-- name: load_leaves
-- The states of leaves of one shard.
SELECT leaf_id, state FROM leaf WHERE shard = $1 AND leaf_id = ANY ($2::bytea[])

-- name: add_leaves
-- Inserts new leaves.
INSERT INTO leaf (shard, leaf_id, workspace_id, state)
SELECT $1, * FROM unnest($2::bytea[], $3::text[], $4::bytea[])

-- name: save_leaves
-- Updates the states of existing leaves. OFFSET joins the shard to each leaf first; without it the
-- planner reads all leaves of the shard and searches each among the given ones.
UPDATE leaf SET state = t.state
FROM (
    SELECT $1::int AS shard, * FROM unnest($2::bytea[], $3::bytea[]) AS u (leaf_id, state) OFFSET 0
) AS t
WHERE leaf.shard = t.shard AND leaf.leaf_id = t.leaf_id

-- name: leaf_page
-- The next leaves of a shard in some workspaces.
SELECT leaf_id, workspace_id FROM leaf
WHERE shard = $1 AND leaf_id > $2 AND workspace_id = ANY ($3::text[]) ORDER BY leaf_id LIMIT $4

-- name: leaf_states
-- The states of all leaves of some profiles.
SELECT l.state
FROM assignment a JOIN leaf l ON l.shard = a.shard AND l.leaf_id = a.identifier_id
WHERE a.workspace_id = $1 AND a.profile_id = ANY ($2::bytea[])

-- name: all_profile_leaves
-- The leaves of all profiles, those of one profile together.
SELECT a.profile_id, a.workspace_id, l.leaf_id, l.state
FROM assignment a JOIN leaf l ON l.shard = a.shard AND l.leaf_id = a.identifier_id
ORDER BY a.profile_id
