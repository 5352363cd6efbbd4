-- name: load_leaves
-- The states of leaves of one shard.
SELECT leaf_id, state FROM leaf WHERE shard = $1 AND leaf_id = ANY ($2::bytea[])

-- name: add_leaves
-- Leaves that were not there.
INSERT INTO leaf (shard, leaf_id, workspace_id, state)
SELECT $1, * FROM unnest($2::bytea[], $3::text[], $4::bytea[])

-- name: save_leaves
-- Puts states in the place of older ones. OFFSET keeps the shard with each leaf: the planner would
-- else read all leaves of the shard, and look for each among those that are given.
UPDATE leaf SET state = t.state
FROM (
    SELECT $1::int AS shard, * FROM unnest($2::bytea[], $3::bytea[]) AS u (leaf_id, state) OFFSET 0
) AS t
WHERE leaf.shard = t.shard AND leaf.leaf_id = t.leaf_id

-- name: lock
-- Takes keys in the order given, so that two workers never wait for each other in a circle.
SELECT count(pg_advisory_xact_lock(key)) FROM unnest($1::bigint[]) AS key

-- name: try_lock
-- Takes keys unless somebody else has one of them.
SELECT coalesce(bool_and(pg_try_advisory_xact_lock(key)), true) FROM unnest($1::bigint[]) AS key

-- name: load_assignments
-- Whose these identifiers are.
SELECT workspace_id, identifier_id, profile_id, version
FROM assignment WHERE identifier_id = ANY ($1::bytea[])

-- name: save_assignments
-- Puts newer assignments in the place of older ones.
UPDATE assignment a
SET profile_id = t.profile_id, version = t.version,
    namespace = coalesce(t.namespace, a.namespace), value = coalesce(t.value, a.value)
FROM unnest($1::int[], $2::bytea[], $3::bytea[], $4::bigint[], $5::text[], $6::text[])
    AS t (shard, identifier_id, profile_id, version, namespace, value)
WHERE a.identifier_id = t.identifier_id AND a.shard = t.shard

-- name: load_profiles
-- The leaves of these profiles, and how each of them stands.
SELECT a.profile_id, a.workspace_id, l.leaf_id, l.state,
       s.version, s.holds, s.due, s.at, s.merged_into
FROM assignment a JOIN leaf l ON l.shard = a.shard AND l.leaf_id = a.identifier_id
LEFT JOIN standing s ON s.profile_id = a.profile_id
WHERE a.profile_id = ANY ($1::bytea[])

-- name: load_standings
-- How these profiles stand.
SELECT profile_id, workspace_id, version, holds, due, at, merged_into
FROM standing WHERE profile_id = ANY ($1::bytea[])

-- name: save_standings
-- Puts new standings in the place of older ones; tells their versions.
INSERT INTO standing
    (shard, profile_id, workspace_id, version, holds, due, due_shard, at, merged_into)
SELECT shard, profile_id, workspace_id, nextval('standing_version'), holds, due, $1, at, merged_into
FROM unnest($2::int[], $3::bytea[], $4::text[], $5::bytea[], $6::bigint[], $7::bigint[],
            $8::bytea[])
    AS t (shard, profile_id, workspace_id, holds, due, at, merged_into)
ON CONFLICT (profile_id, shard) DO UPDATE
SET version = excluded.version, holds = excluded.holds, due = excluded.due,
    due_shard = excluded.due_shard, at = excluded.at, merged_into = excluded.merged_into
RETURNING profile_id, version

-- name: save_dues
-- Puts off or brings forward when time alone may change standings.
UPDATE standing s SET due = t.due, due_shard = $1
FROM unnest($2::int[], $3::bytea[], $4::bigint[]) AS t (shard, profile_id, due)
WHERE s.profile_id = t.profile_id AND s.shard = t.shard

-- name: load_dues
-- The first profiles that time alone may have changed at an instant, of those that the worker of a
-- shard looked at last.
SELECT due, profile_id FROM standing WHERE due_shard = $1 AND due <= $2 ORDER BY due LIMIT $3

-- name: load_revisions
-- Which definitions the shards have learnt of, for caches.
SELECT shard, revision FROM growth ORDER BY shard

-- name: load_growth
-- How far a shard is with what it learnt, and whether anybody is due at an instant.
SELECT g.revision, g.learnt, g.idle, g.next, g.until, g.after,
       EXISTS (SELECT FROM standing WHERE due_shard = $1 AND due <= $2) AS is_due
FROM (SELECT $1::int AS shard) AS asked LEFT JOIN growth g ON g.shard = asked.shard

-- name: save_definitions
-- Keeps facts that concern no person.
INSERT INTO definition (shard, log_offset, workspace_id, kind, fact)
SELECT $1, * FROM unnest($2::bigint[], $3::text[], $4::text[], $5::bytea[])
ON CONFLICT DO NOTHING

-- name: load_definitions
-- Facts of these kinds that shards have taken in, in order; of one shard or (null) of all.
SELECT fact FROM definition
WHERE ($1::int IS NULL OR shard = $1) AND ($2::text[] IS NULL OR kind = ANY ($2::text[])) ORDER BY log_offset, shard

-- name: learn
-- A shard has learnt the definitions before an offset.
INSERT INTO growth (shard, revision, learnt, idle)
VALUES ($1, pg_current_xact_id()::text::bigint, $2, false)
ON CONFLICT (shard) DO UPDATE
SET revision = excluded.revision, learnt = excluded.learnt, idle = false

-- name: add_predicates
-- Predicates that wait to be live.
INSERT INTO predicate (shard, workspace_id, predicate_id, state)
SELECT $1, *, 0 FROM unnest($2::text[], $3::bigint[]) ON CONFLICT DO NOTHING

-- name: add_series
-- Series that wait to be back-filled up to an offset.
INSERT INTO series (shard, workspace_id, series_id, live_from, state)
SELECT $1, *, $4, 0 FROM unnest($2::text[], $3::bigint[]) ON CONFLICT DO NOTHING

-- name: open_predicates
-- Predicates of a shard that are not live yet.
SELECT workspace_id, predicate_id, state FROM predicate WHERE shard = $1 AND state < 2

-- name: open_series
-- Series of a shard that are not whole yet.
SELECT workspace_id, series_id, live_from, state FROM series WHERE shard = $1 AND state < 2

-- name: advance_predicates
-- Moves predicates to another stage.
UPDATE predicate p SET state = $4
FROM unnest($2::text[], $3::bigint[]) AS t (workspace_id, predicate_id)
WHERE p.shard = $1 AND p.workspace_id = t.workspace_id AND p.predicate_id = t.predicate_id

-- name: advance_series
-- Moves series to another stage.
UPDATE series s SET state = $4
FROM unnest($2::text[], $3::bigint[]) AS t (workspace_id, series_id)
WHERE s.shard = $1 AND s.workspace_id = t.workspace_id AND s.series_id = t.series_id

-- name: save_growth
-- How far a shard is now.
UPDATE growth SET idle = $2, next = $3, until = $4, after = $5 WHERE shard = $1

-- name: leaf_page
-- The next leaves of a shard, in some workspaces.
SELECT leaf_id, workspace_id FROM leaf
WHERE shard = $1 AND leaf_id > $2 AND workspace_id = ANY ($3::text[]) ORDER BY leaf_id LIMIT $4

-- name: resolve
-- Whose these identifiers are, in one workspace.
SELECT identifier_id, profile_id FROM assignment
WHERE workspace_id = $1 AND identifier_id = ANY ($2::bytea[])

-- name: load_people
-- Everything about some profiles of one workspace, a row an identifier.
SELECT a.profile_id, a.identifier_id, a.namespace, a.value, l.state
FROM assignment a LEFT JOIN leaf l ON l.shard = a.shard AND l.leaf_id = a.identifier_id
WHERE a.workspace_id = $1 AND a.profile_id = ANY ($2::bytea[])
ORDER BY a.profile_id, a.namespace, a.value, a.identifier_id

-- name: list_people
-- The same of the persons after one, so many. Accounts have no standing.
SELECT a.profile_id, a.identifier_id, a.namespace, a.value, l.state
FROM (
    SELECT profile_id FROM standing
    WHERE workspace_id = $1 AND merged_into IS NULL AND profile_id > $2
    ORDER BY profile_id LIMIT $3
) AS s JOIN assignment a ON a.profile_id = s.profile_id AND a.workspace_id = $1
LEFT JOIN leaf l ON l.shard = a.shard AND l.leaf_id = a.identifier_id
ORDER BY a.profile_id, a.namespace, a.value, a.identifier_id

-- name: live_predicates
-- Predicates of a workspace that are live on all of so many shards.
SELECT predicate_id FROM predicate WHERE workspace_id = $1 AND state = 2
GROUP BY predicate_id HAVING count(*) >= $2

-- name: workspace_definitions
-- Facts of one kind in one workspace that any shard has taken in.
SELECT fact FROM definition WHERE workspace_id = $1 AND kind = $2 ORDER BY log_offset, shard

-- name: shard_definitions
-- Facts that concern no person, as a shard told them.
SELECT fact FROM definition WHERE shard = $1 ORDER BY log_offset

-- name: definitions_since
-- Facts that concern no person, from an offset of a shard on.
SELECT fact FROM definition WHERE shard = $1 AND log_offset >= $2 ORDER BY log_offset

-- name: renew_changed
-- Who stands otherwise than in another schema; they get a new version.
UPDATE standing s SET version = $1
WHERE s.merged_into IS NULL AND NOT EXISTS (
    SELECT FROM {live}.present_standing l WHERE l.profile_id = s.profile_id AND l.holds = s.holds
)
RETURNING profile_id, workspace_id, version, holds, due, at, merged_into

-- name: keep_gone
-- Who stood somehow in another schema and has no leaves any more, with the heir.
INSERT INTO standing
    (shard, profile_id, workspace_id, version, holds, due, due_shard, at, merged_into)
SELECT l.shard, l.profile_id, l.workspace_id, $1, '\x', NULL, l.shard, $2,
       coalesce(nullif(a.profile_id, l.profile_id), $3)
FROM {live}.standing l LEFT JOIN assignment a ON a.identifier_id = l.profile_id
WHERE l.merged_into IS NULL AND NOT EXISTS (
    SELECT FROM standing s WHERE s.profile_id = l.profile_id
)
RETURNING profile_id, workspace_id, version, holds, due, at, merged_into

-- name: shard_live_predicates
-- Predicates that are live in a shard.
SELECT workspace_id, predicate_id FROM predicate WHERE shard = $1 AND state = 2

-- name: shard_standings
-- How every profile of a shard stands that has leaves.
SELECT profile_id, workspace_id, version, holds, due, at, merged_into
FROM standing WHERE shard = $1 AND merged_into IS NULL

-- name: count_rows
-- Named counts for the status.
SELECT
    (SELECT count(*) FROM leaf) AS leaves,
    (SELECT count(*) FROM assignment) AS identifiers,
    (SELECT count(*) FROM standing WHERE merged_into IS NULL) AS profiles,
    (SELECT count(DISTINCT (workspace_id, predicate_id)) FROM predicate) AS predicates,
    (SELECT count(*) FROM growth WHERE NOT idle) AS growing_shards

-- name: everybody
-- The leaves of all profiles, those of one profile together.
SELECT a.profile_id, a.workspace_id, l.leaf_id, l.state
FROM assignment a JOIN leaf l ON l.shard = a.shard AND l.leaf_id = a.identifier_id
ORDER BY a.profile_id

-- name: next_version
-- A version above all that were given.
SELECT nextval('standing_version')

-- name: due_shards
-- Whose worker looks next at these profiles.
SELECT profile_id, due_shard FROM standing WHERE profile_id = ANY ($1::bytea[])

-- name: growing
-- Whether any shard is still at work on what it learnt.
SELECT EXISTS (SELECT FROM growth WHERE NOT idle)

-- name: save_accounts
-- What leaves of accounts say of their parents.
INSERT INTO account (shard, leaf_id, workspace_id, parent_at, parent_fact, parent_leaf)
SELECT $1, * FROM unnest($2::bytea[], $3::text[], $4::bigint[], $5::bytea[], $6::bytea[])
ON CONFLICT (leaf_id, shard) DO UPDATE
SET parent_at = excluded.parent_at, parent_fact = excluded.parent_fact,
    parent_leaf = excluded.parent_leaf
WHERE (account.parent_at, account.parent_fact)
    IS DISTINCT FROM (excluded.parent_at, excluded.parent_fact)

-- name: list_accounts
-- Accounts, each by the first of its leaves.
SELECT c.leaf_id, a.profile_id
FROM account c JOIN assignment a ON a.identifier_id = c.leaf_id AND a.shard = c.shard
WHERE c.workspace_id = $1 AND c.leaf_id > $2 AND NOT EXISTS (
    SELECT FROM assignment b JOIN account d ON d.leaf_id = b.identifier_id AND d.shard = b.shard
    WHERE b.profile_id = a.profile_id AND b.identifier_id < c.leaf_id
)
ORDER BY c.leaf_id LIMIT $3

-- name: parents
-- What each leaf of these accounts states of a parent. Of a parent that nothing else is known of it
-- is the id of its group id.
SELECT a.profile_id, c.parent_at, c.parent_fact, coalesce(p.profile_id, c.parent_leaf)
FROM assignment a JOIN account c ON c.leaf_id = a.identifier_id AND c.shard = a.shard
LEFT JOIN assignment p ON p.identifier_id = c.parent_leaf AND p.workspace_id = $1
WHERE a.workspace_id = $1 AND a.profile_id = ANY ($2::bytea[]) AND c.parent_at IS NOT NULL

-- name: stating
-- The accounts with a leaf that states one of these as its parent.
SELECT DISTINCT a.profile_id
FROM account c JOIN assignment a ON a.identifier_id = c.leaf_id AND a.shard = c.shard
WHERE c.workspace_id = $1 AND c.parent_leaf IN (
    SELECT identifier_id FROM assignment WHERE workspace_id = $1 AND profile_id = ANY ($2::bytea[])
    UNION SELECT unnest($2::bytea[])
)
ORDER BY a.profile_id

-- name: account_names
-- The group ids of these accounts.
SELECT profile_id, array_agg(value ORDER BY value) FROM assignment
WHERE workspace_id = $1 AND profile_id = ANY ($2::bytea[]) AND namespace = 'account_id'
GROUP BY profile_id

-- name: page_of_profiles
-- The profiles that hold these leaves.
SELECT DISTINCT profile_id FROM assignment
WHERE workspace_id = $1 AND identifier_id = ANY ($2::bytea[]) AND profile_id > $3
ORDER BY profile_id LIMIT $4

-- name: states_of
-- The states of all leaves of these profiles.
SELECT l.state
FROM assignment a JOIN leaf l ON l.shard = a.shard AND l.leaf_id = a.identifier_id
WHERE a.workspace_id = $1 AND a.profile_id = ANY ($2::bytea[])

-- name: whole_series
-- Those of these series that are whole on all of so many shards.
SELECT series_id FROM series
WHERE workspace_id = $1 AND state = 2 AND series_id = ANY ($3::bigint[])
GROUP BY series_id HAVING count(*) >= $2
