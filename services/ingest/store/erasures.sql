-- name: save
-- Stores requests; one that is stored stays as it is.
INSERT INTO erasure (
    workspace_id, request_id, requested_at, actor, legal_ground, block, identifier_ids,
    related_ids, known_to
) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
ON CONFLICT DO NOTHING

-- name: mark_erased
-- Stores that nothing of a person is left in the log, and from which state on.
UPDATE erasure SET erased_at = $3, token = $4
WHERE workspace_id = $1 AND request_id = $2 AND erased_at IS NULL

-- name: add_folded
-- Stores what a service has deleted of a person.
UPDATE erasure SET folded = folded || jsonb_build_object($3::text, $4::jsonb)
WHERE workspace_id = $1 AND request_id = $2

-- name: pending
-- Reads the requests of all workspaces that are not carried out, the oldest first.
SELECT * FROM erasure WHERE erased_at IS NULL ORDER BY requested_at, request_id

-- name: newest
-- Reads the erasures of a workspace, the newest first; one of them, if it is named.
SELECT
    request_id, requested_at, actor, legal_ground, block, cardinality(identifier_ids) AS identifiers,
    facts, facts_of_others, refused_events, erased_at, token, folded
FROM erasure
WHERE workspace_id = $1 AND ($2::bytea IS NULL OR request_id = $2)
ORDER BY requested_at DESC, request_id LIMIT $3

-- name: blocked
-- Reads the identifiers of all workspaces whose events are refused.
SELECT workspace_id, identifier_ids FROM erasure WHERE block

-- name: known_requests
-- Reads which of some requests are stored.
SELECT request_id FROM erasure WHERE request_id = ANY ($1::bytea [])

-- name: add_counts
-- Adds what one page has overwritten to the counts of an erasure.
UPDATE erasure
SET facts = facts + $3, facts_of_others = facts_of_others + $4,
    refused_events = refused_events + $5,
    account_ids = ARRAY(SELECT unnest(account_ids) UNION SELECT unnest($6::bytea [])),
    changed_ids = ARRAY(SELECT unnest(changed_ids) UNION SELECT unnest($7::bytea []))
WHERE workspace_id = $1 AND request_id = $2
RETURNING facts, facts_of_others, refused_events, account_ids, changed_ids

-- name: own_facts
-- Reads some facts of the leaves of a person.
SELECT shard, "offset", kind_id, leaf_id, occurred_at, payload FROM fact
WHERE leaf_id = ANY ($2::bytea []) AND workspace_id = $1
LIMIT $3

-- name: erased_facts
-- Reads some facts that an earlier erasure has overwritten and that name a person.
SELECT f.shard, f."offset", f.kind_id, f.leaf_id, f.occurred_at, f.payload
FROM (
    SELECT DISTINCT shard, "offset" FROM erased_name
    WHERE workspace_id = $1 AND identifier_id = ANY ($2::bytea []) LIMIT $3
) AS n
INNER JOIN fact AS f ON f.shard = n.shard AND f."offset" = n."offset"
WHERE f.workspace_id = $1

-- name: add_names
-- Stores which identifiers are left in erased facts.
INSERT INTO erased_name (workspace_id, identifier_id, shard, "offset")
SELECT $1, * FROM unnest($2::bytea [], $3::smallint [], $4::bigint [])
ON CONFLICT DO NOTHING

-- name: delete_names
-- Deletes that erased facts name a person.
DELETE FROM erased_name USING unnest($3::smallint [], $4::bigint []) AS t (shard, "offset")
WHERE workspace_id = $1 AND identifier_id = ANY ($2::bytea [])
    AND erased_name.shard = t.shard AND erased_name."offset" = t."offset"

-- name: facts_of_leaf
-- Reads the next facts of a leaf after one.
SELECT shard, "offset", kind_id, leaf_id, occurred_at, payload FROM fact
WHERE leaf_id = $2 AND workspace_id = $1 AND (occurred_at, "offset") > ($3, $4)
ORDER BY occurred_at, "offset" LIMIT $5

-- name: account_facts
-- Reads the facts of accounts at some instants.
SELECT f.shard, f."offset", f.kind_id, f.leaf_id, f.occurred_at, f.payload
FROM unnest($2::bytea [], $3::bigint []) AS t (leaf_id, occurred_at)
INNER JOIN fact AS f ON f.leaf_id = t.leaf_id AND f.occurred_at = t.occurred_at
WHERE f.workspace_id = $1

-- name: facts_in_range
-- Reads the facts of persons of a workspace in a range of offsets of a shard.
SELECT shard, "offset", kind_id, leaf_id, occurred_at, payload FROM fact
WHERE shard = $2 AND "offset" >= $3 AND "offset" < $4 AND workspace_id = $1 AND leaf_id IS NOT NULL
ORDER BY "offset"

-- name: overwrite
-- Overwrites facts.
UPDATE fact SET kind_id = t.kind_id, leaf_id = t.leaf_id, payload = t.payload
FROM unnest($2::smallint [], $3::bigint [], $4::smallint [], $5::bytea [], $6::bytea [])
    AS t (shard, "offset", kind_id, leaf_id, payload)
WHERE fact.shard = t.shard AND fact."offset" = t."offset" AND fact.workspace_id = $1

-- name: refused_after
-- Reads the next refused events of a workspace after one, the oldest first; not those of whole requests,
-- which name several people.
SELECT * FROM quarantine
WHERE workspace_id = $1 AND (received_at, quarantine_id) > ($2, $3) AND format <> 'body'
ORDER BY received_at, quarantine_id LIMIT $4

-- name: refused_with
-- Reads which refused events of a workspace contain one of some values.
SELECT shard, quarantine_id, workspace_id, source_id FROM quarantine
WHERE workspace_id = $1
    AND EXISTS (SELECT FROM unnest($2::bytea []) AS v WHERE position(v IN raw) > 0)

-- name: try_lock
-- Lets one replica at a time carry erasures out.
SELECT pg_try_advisory_lock($1, 0)

-- name: unlock
-- Lets other replicas carry erasures out.
SELECT pg_advisory_unlock($1, 0)

-- name: erased_after
-- Reads the identifiers of the persons of some workspaces who were erased after an instant.
SELECT workspace_id, identifier_ids FROM erasure
WHERE erased_at > $2 AND workspace_id = ANY ($1::text [])
