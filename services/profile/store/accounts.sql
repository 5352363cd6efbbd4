-- name: save_accounts
-- Inserts or updates the parents that leaves of accounts state.
INSERT INTO account (shard, leaf_id, workspace_id, parent_at, parent_fact, parent_leaf)
SELECT $1, * FROM unnest($2::bytea[], $3::text[], $4::bigint[], $5::bytea[], $6::bytea[])
ON CONFLICT (leaf_id, shard) DO UPDATE
SET parent_at = excluded.parent_at, parent_fact = excluded.parent_fact,
    parent_leaf = excluded.parent_leaf
WHERE (account.parent_at, account.parent_fact)
    IS DISTINCT FROM (excluded.parent_at, excluded.parent_fact)

-- name: list_accounts
-- Accounts, each by the first of its leaves.
SELECT c.leaf_id, a.profile_id
FROM account c JOIN assignment a ON a.identifier_id = c.leaf_id AND a.shard = c.shard
WHERE c.workspace_id = $1 AND c.leaf_id > $2 AND NOT EXISTS (
    SELECT FROM assignment b JOIN account d ON d.leaf_id = b.identifier_id AND d.shard = b.shard
    WHERE b.profile_id = a.profile_id AND b.identifier_id < c.leaf_id
)
ORDER BY c.leaf_id LIMIT $3

-- name: stated_parents
-- The parents that the leaves of some accounts state. A parent without an assignment has the id of
-- its group id.
SELECT a.profile_id, c.parent_at, c.parent_fact, coalesce(p.profile_id, c.parent_leaf)
FROM assignment a JOIN account c ON c.leaf_id = a.identifier_id AND c.shard = a.shard
LEFT JOIN assignment p ON p.identifier_id = c.parent_leaf AND p.workspace_id = $1
WHERE a.workspace_id = $1 AND a.profile_id = ANY ($2::bytea[]) AND c.parent_at IS NOT NULL

-- name: accounts_with_parent
-- The accounts with a leaf that states one of these as its parent.
SELECT DISTINCT a.profile_id
FROM account c JOIN assignment a ON a.identifier_id = c.leaf_id AND a.shard = c.shard
WHERE c.workspace_id = $1 AND c.parent_leaf IN (
    SELECT identifier_id FROM assignment WHERE workspace_id = $1 AND profile_id = ANY ($2::bytea[])
    UNION SELECT unnest($2::bytea[])
)
ORDER BY a.profile_id

-- name: account_names
-- The group ids of some accounts.
SELECT profile_id, array_agg(value ORDER BY value) FROM assignment
WHERE workspace_id = $1 AND profile_id = ANY ($2::bytea[]) AND namespace = 'account_id'
GROUP BY profile_id

-- name: member_page
-- The next profiles that have one of some leaves.
SELECT DISTINCT profile_id FROM assignment
WHERE workspace_id = $1 AND identifier_id = ANY ($2::bytea[]) AND profile_id > $3
ORDER BY profile_id LIMIT $4
