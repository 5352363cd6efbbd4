-- name: migrations
-- Callers read the ledger, and queue dead effects again.
GRANT SELECT, UPDATE (state, due_at, ended_at, outcome_published) ON effect TO {api}

-- name: state
-- Callers read destinations.
GRANT SELECT ON destination TO {api}
