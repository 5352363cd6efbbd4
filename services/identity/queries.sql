-- name: load_profiles
-- The profiles of the identifiers that are known among some.
SELECT identifier_id, profile_id FROM identifier WHERE identifier_id = ANY ($1::bytea[])

-- name: look
-- What is known of identifiers and edges; a row without a strength is an identifier.
SELECT identifier_id AS a, profile_id AS b, NULL::smallint AS strength, first_seen_us, first_fact
FROM identifier WHERE identifier_id = ANY ($1::bytea[])
UNION ALL
SELECT edge.a, edge.b, edge.strength, edge.first_seen_us, edge.first_fact
FROM unnest($2::bytea[], $3::bytea[], $4::smallint[]) AS asked (a, b, strength)
JOIN edge ON edge.a = asked.a AND edge.b = asked.b AND edge.strength = asked.strength

-- name: look_again
-- As look, with the identifiers that profiles are named by; and one row without ids, whose number is
-- the version of what is assigned now: later ones are higher. Ask under the locks.
WITH named AS MATERIALIZED (
    SELECT identifier_id, profile_id, first_seen_us, first_fact
    FROM identifier WHERE identifier_id = ANY ($1::bytea[])
)
SELECT identifier_id AS a, profile_id AS b, NULL::smallint AS strength, first_seen_us, first_fact
FROM named
UNION ALL
SELECT identifier_id, profile_id, NULL, first_seen_us, first_fact
FROM identifier WHERE identifier_id IN (
    SELECT profile_id FROM named EXCEPT SELECT identifier_id FROM named
)
UNION ALL
SELECT edge.a, edge.b, edge.strength, edge.first_seen_us, edge.first_fact
FROM unnest($2::bytea[], $3::bytea[], $4::smallint[]) AS asked (a, b, strength)
JOIN edge ON edge.a = asked.a AND edge.b = asked.b AND edge.strength = asked.strength
UNION ALL
SELECT NULL, NULL, NULL, nextval('assignment_version'), NULL

-- name: lock
-- Takes the first lock shared and the others alone, one after the other.
SELECT CASE WHEN place = 1 THEN pg_advisory_xact_lock_shared(key) ELSE pg_advisory_xact_lock(key) END
FROM unnest($1::bigint[]) WITH ORDINALITY AS wanted (key, place)

-- name: lock_all
-- Takes the first lock alone: nobody else holds any of the others then.
SELECT pg_advisory_xact_lock($1)

-- name: see_earlier
-- Keeps earlier evidence of known identifiers.
UPDATE identifier
SET first_seen_us = seen.first_seen_us, first_fact = seen.first_fact
FROM unnest($1::bytea[], $2::bigint[], $3::bytea[])
    AS seen (identifier_id, first_seen_us, first_fact)
WHERE identifier.identifier_id = seen.identifier_id

-- name: see_edges_earlier
-- Keeps earlier evidence of known edges.
UPDATE edge
SET first_seen_us = seen.first_seen_us, first_fact = seen.first_fact
FROM unnest($1::bytea[], $2::bytea[], $3::smallint[], $4::bigint[], $5::bytea[])
    AS seen (a, b, strength, first_seen_us, first_fact)
WHERE edge.a = seen.a AND edge.b = seen.b AND edge.strength = seen.strength

-- name: move
-- Gives all identifiers of some profiles to others.
UPDATE identifier
SET profile_id = moved.after, version = $1
FROM unnest($2::bytea[], $3::bytea[]) AS moved (before, after)
WHERE identifier.profile_id = moved.before
RETURNING identifier_id, moved.before, profile_id, workspace_id, namespace, value,
    first_seen_us, first_fact

-- name: resolve
-- The profiles of the identifiers that are known among some of a workspace.
SELECT identifier_id, profile_id
FROM identifier WHERE identifier_id = ANY ($1::bytea[]) AND workspace_id = $2

-- name: list_identifiers
-- The identifiers of the profile that holds one of them, oldest first.
SELECT other.profile_id, other.namespace, other.value, other.first_seen_us, other.first_fact
FROM identifier AS one
JOIN identifier AS other ON other.profile_id = one.profile_id
WHERE one.identifier_id = $1 AND one.workspace_id = $2
ORDER BY other.first_seen_us, other.first_fact, other.identifier_id

-- name: read_assignments
-- Which profile every identifier belongs to.
SELECT workspace_id, identifier_id, profile_id, version, namespace, value FROM identifier

-- name: count_rows
-- How much is known.
SELECT
    (SELECT count(*) FROM identifier) AS identifiers,
    (SELECT count(*) FROM identifier WHERE identifier_id = profile_id) AS profiles,
    (SELECT count(*) FROM edge) AS edges
