-- name: migrations
-- Callers read the ledger, queue dead effects again, and read runs and what they rest on.
GRANT SELECT, UPDATE (state, due_at, ended_at, outcome_published, unanswered) ON effect TO {api};
GRANT SELECT ON run, journey_due, journey_fact, leaf_profile, entry_answer TO {api}

-- name: state
-- Callers read destinations, templates, journeys, pauses and contact policies.
GRANT SELECT ON destination, template, journey, flow_change, contact_policy TO {api}
