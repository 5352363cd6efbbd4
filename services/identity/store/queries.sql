-- name: load_profiles
-- The profiles of the identifiers that are known among some. A row of `work`: people of the shard
-- have to be looked at anew.
SELECT identifier_id, profile_id FROM identifier WHERE identifier_id = ANY ($1::bytea[])
UNION ALL
(SELECT 'work'::bytea, 'work'::bytea FROM resettle WHERE shard = $2 LIMIT 1)

-- name: look
-- What is known of identifiers (kind 0), edges (1) and decisions (2).
SELECT 0 AS kind, identifier_id AS a, profile_id AS b, marks AS n, first_seen_us, first_fact,
    0 AS last_day, '' AS text, '' AS reason
FROM identifier WHERE identifier_id = ANY ($1::bytea[])
UNION ALL
SELECT 1, edge.a, edge.b, edge.strength, edge.first_seen_us, edge.first_fact,
    edge.last_day * 8 + edge.held, edge.held_namespace, ''
FROM unnest($2::bytea[], $3::bytea[], $4::smallint[]) AS asked (a, b, strength)
JOIN edge ON edge.a = asked.a AND edge.b = asked.b AND edge.strength = asked.strength
UNION ALL
SELECT 2, decision.a, decision.b, verdict, occurred_at_us, fact_id, 0, actor, reason
FROM unnest($5::bytea[], $6::bytea[]) AS asked (a, b)
JOIN decision ON decision.a = asked.a AND decision.b = asked.b

-- name: look_again
-- As look, with the identifiers that profiles are named by; the version of what is assigned now,
-- later ones are higher (3); policies, and whether people still have to be looked at by them (4);
-- and the profiles between which and others something is held (5). Ask under the locks.
WITH named AS MATERIALIZED (
    SELECT identifier_id, profile_id, marks, first_seen_us, first_fact
    FROM identifier WHERE identifier_id = ANY ($1::bytea[])
)
SELECT 0 AS kind, identifier_id AS a, profile_id AS b, marks AS n, first_seen_us, first_fact,
    0 AS last_day, '' AS text, '' AS reason
FROM named
UNION ALL
SELECT 0, identifier_id, profile_id, marks, first_seen_us, first_fact, 0, '', ''
FROM identifier WHERE identifier_id IN (
    SELECT profile_id FROM named EXCEPT SELECT identifier_id FROM named
)
UNION ALL
SELECT 1, edge.a, edge.b, edge.strength, edge.first_seen_us, edge.first_fact,
    edge.last_day * 8 + edge.held, edge.held_namespace, ''
FROM unnest($2::bytea[], $3::bytea[], $4::smallint[]) AS asked (a, b, strength)
JOIN edge ON edge.a = asked.a AND edge.b = asked.b AND edge.strength = asked.strength
UNION ALL
SELECT 2, decision.a, decision.b, verdict, occurred_at_us, fact_id, 0, actor, reason
FROM unnest($5::bytea[], $6::bytea[]) AS asked (a, b)
JOIN decision ON decision.a = asked.a AND decision.b = asked.b
UNION ALL
SELECT 3, NULL, NULL, NULL, nextval('assignment_version'), NULL, 0, '', ''
UNION ALL
SELECT 4, newest.message, NULL, (
    EXISTS (SELECT FROM resettle WHERE resettle.workspace_id = asked.workspace_id)
)::int, newest.version, NULL, 0, asked.workspace_id, ''
FROM unnest($7::text[]) AS asked (workspace_id)
JOIN LATERAL (
    SELECT message, version FROM policy WHERE policy.workspace_id = asked.workspace_id
    ORDER BY version DESC LIMIT 1
) AS newest ON true
UNION ALL
SELECT DISTINCT 5, identifier.profile_id, NULL::bytea, NULL::int, NULL::bigint, NULL::bytea, 0, '', ''
FROM (SELECT DISTINCT profile_id FROM named) AS asked
JOIN identifier ON identifier.profile_id = asked.profile_id AND identifier.marks & 1 = 1

-- name: load_company
-- Whom identifiers were seen with at some strengths, some namespaces left out; of each so many.
SELECT asked.id, met.other, coalesce(met.namespace, ''), met.first_seen_us, met.first_fact,
    met.last_day
FROM unnest($1::bytea[]) AS asked (id)
CROSS JOIN LATERAL (
    SELECT near.*, identifier.namespace
    FROM (
        SELECT b AS other, first_seen_us, first_fact, last_day FROM edge
        WHERE edge.a = asked.id AND strength = ANY ($3::smallint[])
        UNION ALL
        SELECT a, first_seen_us, first_fact, last_day FROM edge
        WHERE edge.b = asked.id AND strength = ANY ($3::smallint[])
    ) AS near
    JOIN identifier ON identifier.identifier_id = near.other
    WHERE identifier.namespace IS NULL OR identifier.namespace <> ALL ($2::text[])
    LIMIT $4
) AS met

-- name: count_identifiers
-- How many identifiers profiles have of some namespaces, of their scoped forms and digests.
SELECT asked.profile_id, held.namespace, count(DISTINCT held.identifier_id)
FROM unnest($1::bytea[], $2::text[]) AS asked (profile_id, name)
CROSS JOIN LATERAL (
    SELECT namespace, identifier_id FROM identifier
    WHERE identifier.profile_id = asked.profile_id AND namespace = asked.name
    UNION ALL
    SELECT namespace, identifier_id FROM identifier
    WHERE identifier.profile_id = asked.profile_id
      AND namespace > asked.name || '.' AND namespace < asked.name || '/'
    UNION ALL
    SELECT namespace, identifier_id FROM identifier
    WHERE identifier.profile_id = asked.profile_id
      AND namespace > asked.name || '_' AND namespace < asked.name || '`'
) AS held
GROUP BY 1, 2

-- name: load_members
-- The identifiers of profiles.
SELECT identifier_id, workspace_id, namespace, value, profile_id, first_seen_us, first_fact, marks
FROM identifier WHERE profile_id = ANY ($1::bytea[])

-- name: load_identifiers
-- Identifiers by their ids.
SELECT identifier_id, workspace_id, namespace, value, profile_id, first_seen_us, first_fact, marks
FROM identifier WHERE identifier_id = ANY ($1::bytea[])

-- name: load_region
-- The edges that bind some identifiers, and those that are held between them and other profiles;
-- and from whom people separated them (strength 0).
SELECT a, b, strength, first_seen_us, first_fact, last_day, held, held_namespace
FROM edge WHERE a = ANY ($1::bytea[]) AND held = 0
UNION
SELECT a, b, strength, first_seen_us, first_fact, last_day, held, held_namespace
FROM edge WHERE a = ANY ($2::bytea[]) AND held >= 5
UNION
SELECT a, b, strength, first_seen_us, first_fact, last_day, held, held_namespace
FROM edge WHERE b = ANY ($2::bytea[]) AND held >= 5
UNION
SELECT a, b, 0, 0, '', 0, 0, '' FROM decision WHERE a = ANY ($2::bytea[]) AND verdict = 2
UNION
SELECT a, b, 0, 0, '', 0, 0, '' FROM decision WHERE b = ANY ($2::bytea[]) AND verdict = 2

-- name: load_around
-- All edges of some identifiers.
SELECT a, b, strength, first_seen_us, first_fact, last_day, held, held_namespace
FROM edge WHERE a = ANY ($1::bytea[])
UNION
SELECT a, b, strength, first_seen_us, first_fact, last_day, held, held_namespace
FROM edge WHERE b = ANY ($1::bytea[])

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

-- name: change_edges
-- Puts edges in the place of older ones.
UPDATE edge
SET first_seen_us = seen.first_seen_us, first_fact = seen.first_fact, last_day = seen.last_day,
    held = seen.held, held_namespace = seen.held_namespace
FROM unnest($1::bytea[], $2::bytea[], $3::smallint[], $4::bigint[], $5::bytea[], $6::integer[],
        $7::smallint[], $8::text[])
    AS seen (a, b, strength, first_seen_us, first_fact, last_day, held, held_namespace)
WHERE edge.a = seen.a AND edge.b = seen.b AND edge.strength = seen.strength

-- name: remove_edges
-- Takes out what is no longer decided.
DELETE FROM edge USING unnest($1::bytea[], $2::bytea[], $3::smallint[]) AS gone (a, b, strength)
WHERE edge.a = gone.a AND edge.b = gone.b AND edge.strength = gone.strength

-- name: save_decisions
-- Puts decisions in the place of older ones.
INSERT INTO decision
    (shard, a, b, workspace_id, occurred_at_us, fact_id, verdict, actor, reason)
SELECT * FROM unnest($1::integer[], $2::bytea[], $3::bytea[], $4::text[], $5::bigint[],
    $6::bytea[], $7::smallint[], $8::text[], $9::text[])
ON CONFLICT (a, b, shard) DO UPDATE
SET occurred_at_us = excluded.occurred_at_us, fact_id = excluded.fact_id,
    verdict = excluded.verdict, actor = excluded.actor, reason = excluded.reason

-- name: move
-- Gives all identifiers of some profiles to others.
UPDATE identifier
SET profile_id = moved.after, version = $1
FROM unnest($2::bytea[], $3::bytea[]) AS moved (before, after)
WHERE identifier.profile_id = moved.before
RETURNING identifier_id, moved.before, profile_id, workspace_id, namespace, value,
    first_seen_us, first_fact

-- name: place
-- Gives identifiers to profiles one by one.
UPDATE identifier SET profile_id = placed.profile_id, version = $1
FROM unnest($2::bytea[], $3::bytea[]) AS placed (identifier_id, profile_id)
WHERE identifier.identifier_id = placed.identifier_id

-- name: mark
-- Notes what is so of identifiers.
UPDATE identifier SET marks = marked.marks
FROM unnest($1::bytea[], $2::smallint[]) AS marked (identifier_id, marks)
WHERE identifier.identifier_id = marked.identifier_id

-- name: save_policy
-- Keeps a policy; a row tells that it is new, and whether it is the newest.
INSERT INTO policy (workspace_id, version, message, shard, log_offset, recorded_at_us)
VALUES ($1, $2, $3, $4, $5, $6)
ON CONFLICT DO NOTHING
RETURNING version > coalesce((SELECT max(version) FROM policy WHERE workspace_id = $1), 0)

-- name: begin_resettling
-- From here on, all shards look at everybody of a workspace anew.
INSERT INTO resettle (shard, workspace_id, version) SELECT generate_series(0, $2::int - 1), $1, $3
ON CONFLICT (shard, workspace_id) DO UPDATE SET version = excluded.version, cursor = ''

-- name: resettling
-- Where a shard stands in looking at people anew.
SELECT workspace_id, version, cursor FROM resettle WHERE shard = $1 ORDER BY workspace_id LIMIT 1

-- name: next_people
-- The next identifiers of a shard, and whether each names a profile of a workspace.
SELECT identifier_id, identifier_id = profile_id AND workspace_id = $3 AS is_one
FROM identifier WHERE identifier_id > $2 AND shard = $1
ORDER BY identifier_id LIMIT $4

-- name: move_cursor
-- Where a shard stands now; unless everybody has to be looked at by a newer policy.
UPDATE resettle SET cursor = $4 WHERE shard = $1 AND workspace_id = $2 AND version = $3

-- name: end_resettling
-- A shard has looked at everybody; unless they have to be by a newer policy.
DELETE FROM resettle WHERE shard = $1 AND workspace_id = $2 AND version = $3

-- name: load_matches
-- Matches of pairs.
SELECT match.a, match.b, occurred_at_us, fact_id, message
FROM unnest($1::bytea[], $2::bytea[]) AS asked (a, b)
JOIN match ON match.a = asked.a AND match.b = asked.b

-- name: save_matches
-- Puts matches in the place of older ones. Only the worker of their shard writes them.
INSERT INTO match
    (shard, a, b, workspace_id, occurred_at_us, fact_id, judgement, purposes, message)
SELECT shard, a, b, workspace_id, occurred_at_us, fact_id, judgement,
    string_to_array(purposes, E'\n'), message
FROM unnest($1::integer[], $2::bytea[], $3::bytea[], $4::text[], $5::bigint[], $6::bytea[],
    $7::smallint[], $8::text[], $9::bytea[])
    AS told (shard, a, b, workspace_id, occurred_at_us, fact_id, judgement, purposes, message)
ON CONFLICT (a, b, shard) DO UPDATE
SET occurred_at_us = excluded.occurred_at_us, fact_id = excluded.fact_id,
    judgement = excluded.judgement, purposes = excluded.purposes, message = excluded.message

-- name: count_resettling
-- How many shards still look at people anew.
SELECT count(*) FROM resettle WHERE $1::text IS NULL OR workspace_id = $1

-- name: policies
-- The policies of a workspace, the newest first, and where each was first seen.
SELECT message, version, shard, log_offset FROM policy
WHERE workspace_id = $1 ORDER BY version DESC

-- name: decisions_of
-- The decisions on some pairs.
SELECT decision.occurred_at_us, decision.fact_id, decision.verdict, decision.actor, decision.reason
FROM unnest($1::bytea[], $2::bytea[]) AS asked (a, b)
JOIN decision ON decision.a = asked.a AND decision.b = asked.b

-- name: separations_between
-- What separates two profiles, the earliest first.
SELECT decision.occurred_at_us, decision.fact_id, decision.verdict, decision.actor, decision.reason
FROM identifier AS one
JOIN decision ON decision.verdict = 2 AND one.identifier_id IN (decision.a, decision.b)
JOIN identifier AS other ON other.identifier_id IN (decision.a, decision.b)
    AND other.profile_id = $2
WHERE one.profile_id = $1 AND one.marks & 1 = 1
ORDER BY decision.occurred_at_us, decision.fact_id

-- name: decided_with
-- Whom people decided about together with some identifiers.
SELECT a, b FROM decision WHERE a = ANY ($1::bytea[]) OR b = ANY ($1::bytea[])

-- name: read_identifiers
-- All identifiers of a workspace.
SELECT identifier_id, namespace, value, profile_id, first_seen_us, first_fact
FROM identifier WHERE workspace_id = $1

-- name: read_edges
-- All edges of a workspace.
SELECT a, b, strength, first_seen_us, first_fact, last_day, held FROM edge WHERE workspace_id = $1

-- name: read_separations
-- All pairs of a workspace that people separated.
SELECT a, b FROM decision WHERE workspace_id = $1 AND verdict = 2

-- name: list_held
-- What is held back for some reasons, after a place, with the profiles it would join.
SELECT edge.a, edge.b, edge.strength, edge.first_seen_us, edge.first_fact, edge.last_day, edge.held,
    edge.held_namespace, one.namespace, one.value, one.profile_id,
    other.namespace, other.value, other.profile_id
FROM edge
JOIN identifier AS one ON one.identifier_id = edge.a
JOIN identifier AS other ON other.identifier_id = edge.b
WHERE edge.workspace_id = $1 AND edge.held = ANY ($2::smallint[])
  AND (edge.a, edge.b, edge.strength) > ($3, $4, $5)
ORDER BY edge.a, edge.b, edge.strength LIMIT $6

-- name: list_matches
-- Probable matches after a place, of one judgement or (null) all.
SELECT a, b, message FROM match
WHERE workspace_id = $1 AND ($2::smallint IS NULL OR judgement = $2) AND (a, b) > ($3, $4)
ORDER BY a, b LIMIT $5

-- name: decision_fact
-- The fact of the decision on a pair.
SELECT fact_id, verdict FROM decision WHERE a = $1 AND b = $2 AND workspace_id = $3

-- name: judgements
-- The judgements of pairs, and their facts.
SELECT match.a, match.b, fact_id, message
FROM unnest($1::bytea[], $2::bytea[]) AS asked (a, b)
JOIN match ON match.a = asked.a AND match.b = asked.b
WHERE workspace_id = $3

-- name: matches_of
-- Accepted matches for a purpose that begin or end at some identifiers.
SELECT a, b, occurred_at_us, fact_id FROM match
WHERE workspace_id = $1 AND judgement = 1 AND $2 = ANY (purposes)
  AND (a = ANY ($3::bytea[]) OR b = ANY ($3::bytea[]))

-- name: digest_of_partition
-- Who is whom.
SELECT identifier_id, profile_id FROM identifier WHERE workspace_id = $1

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
    (SELECT count(*) FROM edge) AS edges,
    (SELECT count(*) FROM edge WHERE held > 0) AS held,
    (SELECT count(*) FROM decision) AS decisions,
    (SELECT count(*) FROM resettle) AS shards_resettling
