-- name: load_evidence
-- The stored rows of identifiers, edges and decisions; the columns of each table as arrays. One
-- row, as an array of columns costs half as much to decode as an array of rows.
SELECT * FROM (
    SELECT array_agg(identifier_id) AS ids, array_agg(profile_id) AS profile_ids,
        array_agg(first_seen_us) AS first_seen_us, array_agg(first_fact) AS first_facts,
        array_agg(flags) AS flags
    FROM identifier WHERE identifier_id = ANY ($1::bytea[])
) AS identifiers, (
    SELECT array_agg(edge.a) AS edge_a, array_agg(edge.b) AS edge_b,
        array_agg(edge.kind) AS edge_kinds, array_agg(edge.first_seen_us) AS edge_first_seen_us,
        array_agg(edge.first_fact) AS edge_first_facts,
        array_agg(edge.last_seen_day) AS edge_last_seen_days,
        array_agg(edge.held_reason) AS edge_held_reasons,
        array_agg(edge.held_namespace) AS edge_held_namespaces
    FROM unnest($2::bytea[], $3::bytea[], $4::smallint[]) AS requested (a, b, kind)
    JOIN edge ON edge.a = requested.a AND edge.b = requested.b AND edge.kind = requested.kind
) AS edges, (
    SELECT array_agg(decision.a) AS decision_a, array_agg(decision.b) AS decision_b,
        array_agg(decision.occurred_at_us) AS decision_times,
        array_agg(decision.fact_id) AS decision_facts, array_agg(decision.kind) AS decision_kinds,
        array_agg(decision.actor) AS decision_actors, array_agg(decision.reason) AS decision_reasons
    FROM unnest($5::bytea[], $6::bytea[]) AS requested (a, b)
    JOIN decision ON decision.a = requested.a AND decision.b = requested.b
) AS decisions

-- name: load_state
-- What evidence meets beside its own rows: the version of what is assigned now, higher than all
-- earlier ones; which profiles have contested identifiers; the identifiers that name profiles; and
-- the newest policies, each with whether its rollout is unfinished. Run it under the locks.
SELECT *, nextval('assignment_version') AS version, ARRAY(
    SELECT DISTINCT profile_id FROM identifier
    WHERE profile_id = ANY ($1::bytea[]) AND flags & 1 = 1
) AS contested
FROM (
    SELECT array_agg(identifier_id) AS ids, array_agg(profile_id) AS profile_ids,
        array_agg(first_seen_us) AS first_seen_us, array_agg(first_fact) AS first_facts,
        array_agg(flags) AS flags
    FROM identifier WHERE identifier_id = ANY ($2::bytea[])
) AS identifiers, (
    SELECT array_agg(newest.workspace_id) AS policy_workspaces,
        array_agg(newest.message) AS policy_messages, array_agg(newest.version) AS policy_versions,
        array_agg(EXISTS (
            SELECT FROM backfill
            WHERE backfill.name = $4 AND backfill.workspace_id = newest.workspace_id
        )) AS policy_rolling_out
    FROM unnest($3::text[]) AS requested (workspace_id)
    CROSS JOIN LATERAL (
        SELECT workspace_id, message, version FROM policy
        WHERE policy.workspace_id = requested.workspace_id ORDER BY version DESC LIMIT 1
    ) AS newest
) AS policies

-- name: next_version
-- A version of assignments, higher than all earlier ones.
SELECT nextval('assignment_version')

-- name: load_neighbours
-- The other ends of the edges of some kinds of identifiers, without some namespaces; so many of
-- each identifier.
SELECT requested.id, found.id AS neighbour_id, coalesce(found.namespace, '') AS namespace,
    found.first_seen_us, found.first_fact, found.last_seen_day, found.kind
FROM unnest($1::bytea[]) AS requested (id)
CROSS JOIN LATERAL (
    SELECT near.*, identifier.namespace
    FROM (
        SELECT b AS id, first_seen_us, first_fact, last_seen_day, kind FROM edge
        WHERE edge.a = requested.id AND kind = ANY ($3::smallint[])
        UNION ALL
        SELECT a, first_seen_us, first_fact, last_seen_day, kind FROM edge
        WHERE edge.b = requested.id AND kind = ANY ($3::smallint[])
    ) AS near
    JOIN identifier ON identifier.identifier_id = near.id
    WHERE identifier.namespace IS NULL OR identifier.namespace <> ALL ($2::text[])
    LIMIT $4
) AS found

-- name: count_identifiers
-- How many identifiers profiles have of some namespaces, of their scoped forms and digests. One range
-- has all of them, as both signs lie before the next letter; a scan for each would cost three times as
-- much, and one of the whole profile grows with its devices.
SELECT requested.profile_id, found.namespace, count(DISTINCT found.identifier_id) AS count
FROM unnest($1::bytea[], $2::text[]) AS requested (profile_id, namespace)
CROSS JOIN LATERAL (
    SELECT namespace, identifier_id FROM identifier
    WHERE identifier.profile_id = requested.profile_id
      AND namespace >= requested.namespace AND namespace < requested.namespace || '`'
      AND substr(namespace, length(requested.namespace) + 1, 1) IN ('', '.', '_')
) AS found
GROUP BY 1, 2

-- name: load_contents
-- Of profiles: whether one has an identifier that is no device, and the id of a person; how many
-- claims link in it, and how many identifiers it has, each up to a number. The limits and OFFSET
-- make every plan look up the identifiers of each profile, and then their edges; a plan that was
-- made for few rows would else read all identifiers, and for each profile all edges.
SELECT requested.profile_id,
    (
        SELECT true FROM identifier
        WHERE identifier.profile_id = requested.profile_id
          AND identifier.namespace <> ALL ($2::text[])
        LIMIT 1
    ) IS NOT NULL AS has_person,
    (
        SELECT true FROM identifier
        WHERE identifier.profile_id = requested.profile_id
          AND identifier.namespace <> ALL ($4::text[])
        LIMIT 1
    ) IS NOT NULL AS has_person_id,
    (SELECT count(*) FROM (
        SELECT FROM identifier CROSS JOIN LATERAL (
            SELECT FROM edge
            WHERE edge.a = identifier.identifier_id AND edge.kind = $3 AND edge.held_reason = 0
            OFFSET 0
        ) AS claim
        WHERE identifier.profile_id = requested.profile_id LIMIT $5
    ) AS found) AS claims,
    (SELECT count(*) FROM (
        SELECT FROM identifier
        WHERE identifier.profile_id = requested.profile_id LIMIT $5
    ) AS found) AS identifiers
FROM unnest($1::bytea[]) AS requested (profile_id)

-- name: load_members
-- The identifiers of profiles.
SELECT identifier_id, workspace_id, namespace, value, profile_id, first_seen_us, first_fact, flags
FROM identifier WHERE profile_id = ANY ($1::bytea[])

-- name: load_identifiers
-- Identifiers by their ids.
SELECT identifier_id, workspace_id, namespace, value, profile_id, first_seen_us, first_fact, flags
FROM identifier WHERE identifier_id = ANY ($1::bytea[])

-- name: load_profile_edges
-- The active edges of identifiers, and the edges held between contested ones and other profiles. An
-- edge may come twice.
SELECT a, b, kind, first_seen_us, first_fact, last_seen_day, held_reason, held_namespace
FROM edge WHERE a = ANY ($1::bytea[]) AND held_reason = 0
UNION ALL
SELECT a, b, kind, first_seen_us, first_fact, last_seen_day, held_reason, held_namespace
FROM edge WHERE a = ANY ($2::bytea[]) AND held_reason BETWEEN 5 AND 7
UNION ALL
SELECT a, b, kind, first_seen_us, first_fact, last_seen_day, held_reason, held_namespace
FROM edge WHERE b = ANY ($2::bytea[]) AND held_reason BETWEEN 5 AND 7

-- name: load_edges
-- All edges of identifiers. An edge may come twice.
SELECT a, b, kind, first_seen_us, first_fact, last_seen_day, held_reason, held_namespace
FROM edge WHERE a = ANY ($1::bytea[])
UNION ALL
SELECT a, b, kind, first_seen_us, first_fact, last_seen_day, held_reason, held_namespace
FROM edge WHERE b = ANY ($1::bytea[])

-- name: load_claims
-- The earliest claims at identifiers that are held as there are too many: so many of each
-- identifier, and those that were first seen at the same time as the last one.
SELECT requested.id, found.*
FROM unnest($1::bytea[]) AS requested (id)
CROSS JOIN LATERAL (
    SELECT * FROM (
        (SELECT a, b, kind, first_seen_us, first_fact, last_seen_day, held_reason, held_namespace
        FROM edge WHERE edge.a = requested.id AND held_reason = 9
        ORDER BY first_seen_us, first_fact FETCH FIRST ($2::bigint) ROWS WITH TIES)
        UNION ALL
        (SELECT a, b, kind, first_seen_us, first_fact, last_seen_day, held_reason, held_namespace
        FROM edge WHERE edge.b = requested.id AND held_reason = 9
        ORDER BY first_seen_us, first_fact FETCH FIRST ($2::bigint) ROWS WITH TIES)
    ) AS near
    ORDER BY first_seen_us, first_fact FETCH FIRST ($2::bigint) ROWS WITH TIES
) AS found

-- name: load_joint
-- The edges of some kinds between identifiers.
SELECT a, b, kind FROM edge
WHERE a = ANY ($1::bytea[]) AND b = ANY ($1::bytea[]) AND kind = ANY ($2::smallint[])

-- name: load_profile_ids
-- The profiles of identifiers.
SELECT DISTINCT profile_id FROM identifier WHERE identifier_id = ANY ($1::bytea[])

-- name: load_between
-- The identifiers that have edges of some kinds with both of a pair; those that are not shared only
-- where the third column says so. The limits make every plan look up what is near; a plan that was
-- made for few edges would else compare each pair with all edges.
SELECT DISTINCT found.identifier_id, found.namespace, found.profile_id
FROM unnest($1::bytea[], $2::bytea[], $3::boolean[]) AS pair (one, other, has_all)
CROSS JOIN LATERAL (
    SELECT b AS id FROM edge WHERE edge.a = pair.one AND kind = ANY ($4::smallint[])
    UNION ALL
    SELECT a FROM edge WHERE edge.b = pair.one AND kind = ANY ($4::smallint[])
    OFFSET 0
) AS near
CROSS JOIN LATERAL (
    SELECT FROM edge
    WHERE edge.a = least(near.id, pair.other) AND edge.b = greatest(near.id, pair.other)
      AND kind = ANY ($4::smallint[])
    LIMIT 1
) AS joint
CROSS JOIN LATERAL (
    SELECT identifier_id, namespace, profile_id FROM identifier
    WHERE identifier_id = near.id AND (pair.has_all OR flags & 2 = 2) AND namespace IS NOT NULL
    LIMIT 1
) AS found

-- name: load_separations
-- The pairs with one of these identifiers that decisions separate.
SELECT a, b FROM decision WHERE a = ANY ($1::bytea[]) AND kind = 2
UNION ALL
SELECT a, b FROM decision WHERE b = ANY ($1::bytea[]) AND kind = 2

-- name: lock
-- Takes the first lock shared and the others exclusively, one after the other.
SELECT CASE WHEN position = 1
    THEN pg_advisory_xact_lock_shared(key) ELSE pg_advisory_xact_lock(key)
END
FROM unnest($1::bigint[]) WITH ORDINALITY AS lock (key, position)

-- name: lock_all
-- Takes the first lock exclusively: then no other transaction holds any of the others.
SELECT pg_advisory_xact_lock($1)

-- name: save_earlier
-- Saves earlier sightings of stored identifiers.
UPDATE identifier
SET first_seen_us = seen.first_seen_us, first_fact = seen.first_fact
FROM unnest($1::bytea[], $2::bigint[], $3::bytea[])
    AS seen (identifier_id, first_seen_us, first_fact)
WHERE identifier.identifier_id = seen.identifier_id

-- name: update_edges
-- Replaces edges.
UPDATE edge
SET first_seen_us = changed.first_seen_us, first_fact = changed.first_fact,
    last_seen_day = changed.last_seen_day, held_reason = changed.held_reason,
    held_namespace = changed.held_namespace
FROM unnest($1::bytea[], $2::bytea[], $3::smallint[], $4::bigint[], $5::bytea[], $6::integer[],
        $7::smallint[], $8::text[])
    AS changed (a, b, kind, first_seen_us, first_fact, last_seen_day, held_reason, held_namespace)
WHERE edge.a = changed.a AND edge.b = changed.b AND edge.kind = changed.kind

-- name: delete_edges
-- Deletes the edges of decisions that no longer link.
DELETE FROM edge USING unnest($1::bytea[], $2::bytea[], $3::smallint[]) AS deleted (a, b, kind)
WHERE edge.a = deleted.a AND edge.b = deleted.b AND edge.kind = deleted.kind

-- name: save_decisions
-- Saves decisions in place of earlier ones.
INSERT INTO decision (shard, a, b, workspace_id, occurred_at_us, fact_id, kind, actor, reason)
SELECT * FROM unnest($1::integer[], $2::bytea[], $3::bytea[], $4::text[], $5::bigint[],
    $6::bytea[], $7::smallint[], $8::text[], $9::text[])
ON CONFLICT (a, b, shard) DO UPDATE
SET occurred_at_us = excluded.occurred_at_us, fact_id = excluded.fact_id,
    kind = excluded.kind, actor = excluded.actor, reason = excluded.reason

-- name: merge_profiles
-- Assigns all identifiers of some profiles to others.
UPDATE identifier
SET profile_id = merged.after, version = $1
FROM unnest($2::bytea[], $3::bytea[]) AS merged (before, after)
WHERE identifier.profile_id = merged.before
RETURNING identifier_id, merged.before, profile_id AS after, workspace_id, namespace, value,
    first_seen_us, first_fact

-- name: reassign
-- Assigns single identifiers to other profiles.
UPDATE identifier SET profile_id = reassigned.profile_id, version = $1
FROM unnest($2::bytea[], $3::bytea[]) AS reassigned (identifier_id, profile_id)
WHERE identifier.identifier_id = reassigned.identifier_id

-- name: set_flags
-- Saves the flags of identifiers.
UPDATE identifier SET flags = flagged.flags
FROM unnest($1::bytea[], $2::smallint[]) AS flagged (identifier_id, flags)
WHERE identifier.identifier_id = flagged.identifier_id
