-- name: load_decision
-- The fact and the kind of the decision on a pair.
SELECT fact_id, kind FROM decision WHERE a = $1 AND b = $2 AND workspace_id = $3

-- name: load_link
-- The decision on a pair.
SELECT occurred_at_us, fact_id, kind, actor, reason FROM decision WHERE a = $1 AND b = $2

-- name: load_separation
-- The earliest decision that separates two profiles.
SELECT decision.occurred_at_us, decision.fact_id, decision.kind, decision.actor, decision.reason
FROM identifier AS one
JOIN decision ON decision.kind = 2 AND one.identifier_id IN (decision.a, decision.b)
JOIN identifier AS other ON other.identifier_id IN (decision.a, decision.b)
    AND other.profile_id = $2
WHERE one.profile_id = $1 AND one.flags & 1 = 1
ORDER BY decision.occurred_at_us, decision.fact_id
LIMIT 1

-- name: list_decisions
-- The decisions about some identifiers, the latest first, with the identifiers.
SELECT decision.occurred_at_us, decision.fact_id, decision.kind, decision.actor, decision.reason,
    one.namespace AS a_namespace, one.value AS a_value,
    other.namespace AS b_namespace, other.value AS b_value
FROM decision
JOIN identifier AS one ON one.identifier_id = decision.a
JOIN identifier AS other ON other.identifier_id = decision.b
WHERE decision.workspace_id = $1 AND decision.kind <> 3
    AND (decision.a = ANY ($2::bytea[]) OR decision.b = ANY ($2::bytea[]))
ORDER BY decision.occurred_at_us DESC, decision.fact_id LIMIT $3

-- name: load_decided_pairs
-- The pairs with one of these identifiers that have a decision.
SELECT a, b FROM decision WHERE a = ANY ($1::bytea[]) OR b = ANY ($1::bytea[])
