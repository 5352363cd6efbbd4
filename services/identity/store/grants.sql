-- name: state
-- Callers read profiles, their evidence, decisions, policies and matches.
GRANT SELECT ON identifier, edge, decision, policy, match, unpublished_assignment TO {api}
