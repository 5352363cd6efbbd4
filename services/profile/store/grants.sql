-- name: state
-- Callers read profiles, accounts, their tags, and how far these are backfilled.
GRANT SELECT ON leaf, account, name, assignment, evaluation, broadcast_fact, predicate TO {api}
