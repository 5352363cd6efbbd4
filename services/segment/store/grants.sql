-- name: migrations
-- Callers read the published changes.
GRANT SELECT ON history, changed_segment TO {api}

-- name: state
-- Callers read segments and their members.
GRANT SELECT ON evaluation, membership, definition, ready_predicate, snapshot TO {api}
