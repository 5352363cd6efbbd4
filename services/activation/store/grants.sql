-- name: migrations
-- Callers read the ledger, and queue dead effects again.
GRANT SELECT, UPDATE (state, due_at, ended_at, outcome_published, unanswered) ON effect TO {api}

-- name: state
-- Callers read destinations and templates.
GRANT SELECT ON destination, template TO {api}
