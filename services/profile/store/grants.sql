-- name: state
-- Callers read profiles, accounts, their tags, and how far these are backfilled. PostgreSQL uses no
-- index behind a policy for an operator that is not leakproof, such as @@; so the policy of names
-- has the search itself: it shows the names that begin with what the statement searches for.
GRANT SELECT ON leaf, account, name, assignment, evaluation, broadcast_fact, predicate TO {api};
DROP POLICY IF EXISTS caller ON name;
CREATE POLICY caller ON name TO {api} USING (
    workspace_id = current_setting('onefold.workspace', true)
    AND forms @@ (
        '''' || current_setting('onefold.workspace', true) || '/'
        || current_setting('onefold.beginning', true) || ''':*'
    )::tsquery
)
