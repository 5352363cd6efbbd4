-- name: add_heads
-- Begins the chains of workspaces that have none.
INSERT INTO audit_head (workspace_id, number, hash)
SELECT workspace_id, 0, $2 FROM unnest($1::text[]) AS new (workspace_id)
ORDER BY workspace_id
ON CONFLICT DO NOTHING

-- name: lock_heads
-- The ends of chains, locked in a fixed order.
SELECT workspace_id, number, hash FROM audit_head
WHERE workspace_id = any($1::text[]) ORDER BY workspace_id FOR UPDATE

-- name: save_head
-- Stores the end of a chain.
UPDATE audit_head SET number = $2, hash = $3 WHERE workspace_id = $1

-- name: add_entry
-- Adds an entry.
INSERT INTO audit_entry (
    workspace_id, number, at_us, key_id, role, method, outcome, target, profile_ids, names, count,
    visible, reason, hash
)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)

-- name: load_head
-- The end of the chain of a workspace.
SELECT workspace_id, number, hash FROM audit_head WHERE workspace_id = $1

-- name: entries_from
-- The entries from a number on, the earliest first.
SELECT number, at_us, key_id, role, method, outcome, target, profile_ids, names, count, visible,
    reason, hash
FROM audit_entry
WHERE workspace_id = $1 AND number >= $2 ORDER BY number LIMIT $3

-- name: entries_before
-- The entries before a number, the latest first: of a key, about a profile, or that read something.
SELECT number, at_us, key_id, role, method, outcome, target, profile_ids, names, count, visible,
    reason, hash
FROM audit_entry
WHERE
    workspace_id = $1 AND number < $2 AND ($4 = '' OR key_id = $4)
    AND (length($5::bytea) = 0 OR position($5::bytea IN profile_ids) > 0)
    AND (NOT $6::boolean OR visible > 0)
ORDER BY number DESC LIMIT $3
