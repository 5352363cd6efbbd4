-- name: migrations
-- Callers read the ledger, and queue dead effects again.
GRANT SELECT, UPDATE (state, due_at, ended_at, outcome_published, unanswered) ON effect TO {api}

-- name: state
-- Callers read destinations, templates, journeys, pauses and contact policies.
GRANT SELECT ON destination, template, journey, flow_change, contact_policy TO {api}
