-- name: lookup_profiles
-- The profiles of the identifiers of a workspace that are stored, and since which version.
SELECT identifier_id, profile_id, version
FROM identifier WHERE identifier_id = ANY ($1::bytea[]) AND workspace_id = $2

-- name: list_identifiers
-- The identifiers of the profile of an identifier, oldest first.
SELECT other.profile_id, other.identifier_id, other.namespace, other.value, other.first_seen_us,
    other.first_fact
FROM identifier AS one
JOIN identifier AS other ON other.profile_id = one.profile_id
WHERE one.identifier_id = $1 AND one.workspace_id = $2
ORDER BY other.first_seen_us, other.first_fact, other.identifier_id

-- name: list_held
-- The edges of some kinds that are held for some reasons, after an edge, with the identifiers and
-- profiles of their ends: the strongest kind first.
SELECT found.*
FROM unnest($2::smallint[]) AS requested (reason)
CROSS JOIN LATERAL (
SELECT edge.a, edge.b, edge.kind, edge.first_seen_us, edge.first_fact, edge.last_seen_day,
    edge.held_reason, edge.held_namespace,
    one.namespace AS a_namespace, one.value AS a_value, one.profile_id AS a_profile_id,
    other.namespace AS b_namespace, other.value AS b_value, other.profile_id AS b_profile_id
FROM edge
JOIN identifier AS one ON one.identifier_id = edge.a
JOIN identifier AS other ON other.identifier_id = edge.b
WHERE edge.workspace_id = $1 AND edge.held_reason = requested.reason
  AND (edge.kind, edge.a, edge.b) > ($5, $3, $4) AND edge.kind <= $7
  -- SHARED and UNTRUSTED do not depend on the profiles, which other evidence may have joined.
  AND (edge.held_reason NOT IN (3, 8) OR one.profile_id <> other.profile_id)
ORDER BY edge.kind, edge.a, edge.b LIMIT $6
) AS found
ORDER BY kind, a, b LIMIT $6

-- name: list_edges
-- The edges of some identifiers, so many of each, with the identifiers and profiles of their ends.
SELECT DISTINCT edge.a, edge.b, edge.kind, edge.first_seen_us, edge.first_fact, edge.last_seen_day,
    edge.held_reason, edge.held_namespace,
    one.namespace AS a_namespace, one.value AS a_value, one.profile_id AS a_profile_id,
    other.namespace AS b_namespace, other.value AS b_value, other.profile_id AS b_profile_id
FROM unnest($2::bytea[]) AS requested (id)
CROSS JOIN LATERAL (
    SELECT * FROM (
        (SELECT * FROM edge WHERE edge.a = requested.id ORDER BY b, kind LIMIT $3)
        UNION ALL
        (SELECT * FROM edge WHERE edge.b = requested.id LIMIT $3)
    ) AS near LIMIT $3
) AS edge
JOIN identifier AS one ON one.identifier_id = edge.a
JOIN identifier AS other ON other.identifier_id = edge.b
WHERE edge.workspace_id = $1
ORDER BY edge.kind, edge.a, edge.b

-- name: count_held
-- How many edges of each kind are held for some reasons, each counted up to a number; and whose
-- they are.
SELECT reason, kind, counted.number, counted.workspace_id
FROM unnest($2::smallint[]) AS reason
CROSS JOIN unnest($3::smallint[]) AS kind
CROSS JOIN LATERAL (
    SELECT count(*) AS number, max(workspace_id) AS workspace_id FROM (
        SELECT edge.workspace_id FROM edge
        WHERE edge.workspace_id = $1 AND edge.held_reason = reason AND edge.kind = kind.kind
        LIMIT $4
    ) AS found
) AS counted
WHERE counted.number > 0
ORDER BY kind, reason

-- name: list_representatives
-- The first seen identifier of each namespace of profiles.
SELECT DISTINCT ON (profile_id, namespace) profile_id, namespace, value
FROM identifier WHERE profile_id = ANY ($1::bytea[]) AND namespace IS NOT NULL
ORDER BY profile_id, namespace, first_seen_us, first_fact

-- name: list_other_holders
-- Identifiers that have edges of some kinds ($3) with the first of a pair, and no edge of the other
-- kinds ($4) with the second one; so many of each pair.
SELECT pair.shared, pair.holder, found.namespace, found.value
FROM unnest($1::bytea[], $2::bytea[]) AS pair (shared, holder)
CROSS JOIN LATERAL (
    SELECT identifier.namespace, identifier.value
    FROM (
        SELECT b AS id FROM edge WHERE edge.a = pair.shared AND kind = ANY ($3::smallint[])
        UNION ALL
        SELECT a FROM edge WHERE edge.b = pair.shared AND kind = ANY ($3::smallint[])
    ) AS near
    JOIN identifier ON identifier.identifier_id = near.id
    WHERE near.id <> pair.holder AND identifier.namespace IS NOT NULL
      AND NOT EXISTS (
        SELECT FROM edge
        WHERE edge.a = least(near.id, pair.holder) AND edge.b = greatest(near.id, pair.holder)
          AND kind = ANY ($4::smallint[])
      )
    LIMIT $5
) AS found

-- name: read_identifiers
-- All identifiers of a workspace.
SELECT identifier_id, namespace, value, profile_id, first_seen_us, first_fact
FROM identifier WHERE workspace_id = $1

-- name: read_edges
-- All edges of a workspace.
SELECT a, b, kind, first_seen_us, first_fact, last_seen_day, held_reason
FROM edge WHERE workspace_id = $1

-- name: read_separations
-- All pairs of a workspace that decisions separate.
SELECT a, b FROM decision WHERE workspace_id = $1 AND kind = 2

-- name: read_partition
-- The profile of every identifier of a workspace.
SELECT identifier_id, profile_id FROM identifier WHERE workspace_id = $1

-- name: count_rows
-- The numbers of rows for the status of the projection.
SELECT
    (SELECT count(*) FROM identifier) AS identifiers,
    (SELECT count(*) FROM identifier WHERE identifier_id = profile_id) AS profiles,
    (SELECT count(*) FROM edge) AS edges,
    (SELECT count(*) FROM edge WHERE held_reason > 0) AS held,
    (SELECT count(*) FROM decision) AS decisions,
    (SELECT count(*) FROM backfill WHERE name = $1) AS shards_rolling_out
