-- name: load_leaves
-- The states of leaves of one shard.
SELECT leaf_id, state FROM leaf WHERE shard = $1 AND leaf_id = ANY ($2::bytea[])

-- name: add_leaves
-- Inserts new leaves.
INSERT INTO leaf (shard, leaf_id, workspace_id, state)
SELECT $1, * FROM unnest($2::bytea[], $3::text[], $4::bytea[])

-- name: save_leaves
-- Updates the states of existing leaves. OFFSET joins the shard to each leaf first; without it the
-- planner reads all leaves of the shard and searches each among the given ones.
UPDATE leaf SET state = t.state
FROM (
    SELECT $1::int AS shard, * FROM unnest($2::bytea[], $3::bytea[]) AS u (leaf_id, state) OFFSET 0
) AS t
WHERE leaf.shard = t.shard AND leaf.leaf_id = t.leaf_id

-- name: leaf_page
-- The next leaves of a shard and workspace.
SELECT leaf_id, state FROM leaf
WHERE shard = $1 AND workspace_id = $2 AND leaf_id > $3 ORDER BY leaf_id LIMIT $4

-- name: count_leaves
-- The number of leaves of a shard and workspace, counted up to a limit.
SELECT count(*) FROM (
    SELECT FROM leaf WHERE shard = $1 AND workspace_id = $2 LIMIT $3
) AS first_leaves

-- name: leaf_states
-- The states of all leaves of some profiles.
SELECT l.state
FROM assignment a JOIN leaf l ON l.shard = a.shard AND l.leaf_id = a.identifier_id
WHERE a.workspace_id = $1 AND a.profile_id = ANY ($2::bytea[])

-- name: all_profile_leaves
-- The leaves of all profiles, those of one profile together.
SELECT a.profile_id, a.workspace_id, l.leaf_id, l.state
FROM assignment a JOIN leaf l ON l.shard = a.shard AND l.leaf_id = a.identifier_id
ORDER BY a.profile_id

-- name: assign_lone_leaves
-- Makes leaves without an assignment profiles of their own, as the folds of their events did.
INSERT INTO assignment (shard, identifier_id, workspace_id, profile_id, version)
SELECT l.shard, l.leaf_id, l.workspace_id, l.leaf_id, 0
FROM leaf l LEFT JOIN assignment a ON a.identifier_id = l.leaf_id AND a.shard = l.shard
WHERE a.identifier_id IS NULL
RETURNING identifier_id, workspace_id

-- name: load_assignments
-- The assignments of some identifiers.
SELECT workspace_id, identifier_id, profile_id, version
FROM assignment WHERE identifier_id = ANY ($1::bytea[])

-- name: save_assignments
-- Updates existing assignments.
UPDATE assignment a
SET profile_id = t.profile_id, version = t.version,
    namespace = coalesce(t.namespace, a.namespace), value = coalesce(t.value, a.value)
FROM unnest($1::int[], $2::bytea[], $3::bytea[], $4::bigint[], $5::text[], $6::text[])
    AS t (shard, identifier_id, profile_id, version, namespace, value)
WHERE a.identifier_id = t.identifier_id AND a.shard = t.shard

-- name: profiles_of
-- The profiles of some identifiers in one workspace.
SELECT identifier_id, profile_id FROM assignment
WHERE workspace_id = $1 AND identifier_id = ANY ($2::bytea[])

-- name: leaves_of_profiles
-- The identifiers of some profiles of one workspace.
SELECT profile_id, identifier_id FROM assignment
WHERE workspace_id = $1 AND profile_id = ANY ($2::bytea[])

-- name: load_profiles
-- The identifiers of some profiles of one workspace, with the states of those that are leaves.
SELECT a.profile_id, a.identifier_id, a.namespace, a.value, l.state
FROM assignment a LEFT JOIN leaf l ON l.shard = a.shard AND l.leaf_id = a.identifier_id
WHERE a.workspace_id = $1 AND a.profile_id = ANY ($2::bytea[])
ORDER BY a.profile_id, a.namespace, a.value, a.identifier_id

-- name: list_profiles
-- The same columns of the next persons. Accounts have no evaluation, so they are left out. LATERAL
-- with OFFSET reads the few rows of each person by their keys, whatever the planner expects.
SELECT r.* FROM (
    SELECT profile_id FROM evaluation
    WHERE workspace_id = $1 AND merged_into IS NULL AND profile_id > $2
    ORDER BY profile_id LIMIT $3
) AS e CROSS JOIN LATERAL (
    SELECT a.profile_id, a.identifier_id, a.namespace, a.value, l.state
    FROM assignment a LEFT JOIN leaf l ON l.shard = a.shard AND l.leaf_id = a.identifier_id
    WHERE a.workspace_id = $1 AND a.profile_id = e.profile_id OFFSET 0
) AS r
ORDER BY r.profile_id, r.namespace, r.value, r.identifier_id

-- name: search_profiles
-- The same columns of the profiles of some ids, in their order, and then of profiles with a name
-- that has a form with a beginning (null = of none). The policy of the names reads the beginning from
-- the session, so it is set until the statement ends; LATERAL sets it before names are read.
WITH known AS (
    SELECT a.profile_id, min(i.position) AS position
    FROM unnest($2::bytea[]) WITH ORDINALITY AS i (id, position)
    JOIN assignment a ON a.identifier_id = i.id
    WHERE a.workspace_id = $1 GROUP BY a.profile_id
), named AS (
    SELECT DISTINCT a.profile_id
    FROM (SELECT set_config('onefold.beginning', $6, true) AS beginning OFFSET 0) AS s
    CROSS JOIN LATERAL (
        SELECT shard, leaf_id FROM name
        WHERE s.beginning <> '' AND workspace_id = $1 AND forms @@ $3::text::tsquery LIMIT $4
    ) AS n JOIN assignment a ON a.identifier_id = n.leaf_id AND a.shard = n.shard
), found AS (
    SELECT profile_id, position FROM known
    UNION ALL
    SELECT profile_id, NULL FROM named WHERE profile_id NOT IN (SELECT profile_id FROM known)
    ORDER BY position, profile_id LIMIT $5
)
SELECT r.* FROM found f CROSS JOIN LATERAL (
    SELECT a.profile_id, a.identifier_id, a.namespace, a.value, l.state
    FROM assignment a LEFT JOIN leaf l ON l.shard = a.shard AND l.leaf_id = a.identifier_id
    WHERE a.workspace_id = $1 AND a.profile_id = f.profile_id OFFSET 0
) AS r
ORDER BY f.position, r.profile_id, r.namespace, r.value, r.identifier_id

-- name: count_rows
-- Named counts for the status.
SELECT
    (SELECT count(*) FROM leaf) AS leaves,
    (SELECT count(*) FROM assignment) AS identifiers,
    (SELECT count(*) FROM evaluation WHERE merged_into IS NULL) AS profiles,
    (SELECT count(DISTINCT (workspace_id, predicate_id)) FROM predicate WHERE stage < 3)
        AS predicates,
    (SELECT count(DISTINCT shard) FROM backfill) AS backfilling_shards

-- name: save_accounts
-- Inserts or updates the parents and the traits that leaves of accounts state.
INSERT INTO account (
    shard, leaf_id, workspace_id, parent_trust, parent_at, parent_fact, parent_leaf, object_type,
    traits
)
SELECT $1, * FROM unnest(
    $2::bytea[], $3::text[], $4::smallint[], $5::bigint[], $6::bytea[], $7::bytea[], $8::text[],
    $9::bytea[]
)
ON CONFLICT (leaf_id, shard) DO UPDATE
SET parent_trust = excluded.parent_trust, parent_at = excluded.parent_at,
    parent_fact = excluded.parent_fact, parent_leaf = excluded.parent_leaf,
    traits = excluded.traits
WHERE account.traits IS DISTINCT FROM excluded.traits

-- name: save_names
-- Inserts or updates the forms of the names of some leaves.
INSERT INTO name (shard, leaf_id, workspace_id, forms)
SELECT $1, t.leaf_id, t.workspace_id, t.forms::tsvector
FROM unnest($2::bytea[], $3::text[], $4::text[]) AS t (leaf_id, workspace_id, forms)
ON CONFLICT (leaf_id, shard) DO UPDATE SET forms = excluded.forms
WHERE name.forms IS DISTINCT FROM excluded.forms

-- name: remove_names
-- Removes the forms of leaves that have no name any more.
DELETE FROM name WHERE shard = $1 AND leaf_id = ANY ($2::bytea[])

-- name: object_leaves
-- All leaves of the objects that have one of some leaves.
SELECT b.profile_id, c.leaf_id, c.object_type, c.traits
FROM (
    SELECT DISTINCT profile_id FROM assignment WHERE identifier_id = ANY ($1::bytea[])
) AS a JOIN assignment b ON b.profile_id = a.profile_id
JOIN account c ON c.leaf_id = b.identifier_id AND c.shard = b.shard

-- name: list_accounts
-- Accounts, each by the first of its leaves.
SELECT c.leaf_id, a.profile_id
FROM account c JOIN assignment a ON a.identifier_id = c.leaf_id AND a.shard = c.shard
WHERE c.workspace_id = $1 AND c.leaf_id > $2 AND NOT EXISTS (
    SELECT FROM assignment b JOIN account d ON d.leaf_id = b.identifier_id AND d.shard = b.shard
    WHERE b.profile_id = a.profile_id AND b.identifier_id < c.leaf_id
)
ORDER BY c.leaf_id LIMIT $3

-- name: stated_parents
-- The parents that the leaves of some accounts state. A parent without an assignment has the id of
-- its group id.
SELECT a.profile_id, c.parent_trust, c.parent_at, c.parent_fact,
    coalesce(p.profile_id, c.parent_leaf)
FROM assignment a JOIN account c ON c.leaf_id = a.identifier_id AND c.shard = a.shard
LEFT JOIN assignment p ON p.identifier_id = c.parent_leaf AND p.workspace_id = $1
WHERE a.workspace_id = $1 AND a.profile_id = ANY ($2::bytea[]) AND c.parent_at IS NOT NULL

-- name: accounts_with_parent
-- The accounts with a leaf that states one of these as its parent.
SELECT DISTINCT a.profile_id
FROM account c JOIN assignment a ON a.identifier_id = c.leaf_id AND a.shard = c.shard
WHERE c.workspace_id = $1 AND c.parent_leaf IN (
    SELECT identifier_id FROM assignment WHERE workspace_id = $1 AND profile_id = ANY ($2::bytea[])
    UNION SELECT unnest($2::bytea[])
)
ORDER BY a.profile_id

-- name: account_names
-- The group ids of some accounts.
SELECT profile_id, array_agg(value ORDER BY value) FROM assignment
WHERE workspace_id = $1 AND profile_id = ANY ($2::bytea[]) AND namespace = 'account_id'
GROUP BY profile_id

-- name: member_page
-- The next profiles that have one of some leaves.
SELECT DISTINCT profile_id FROM assignment
WHERE workspace_id = $1 AND identifier_id = ANY ($2::bytea[]) AND profile_id > $3
ORDER BY profile_id LIMIT $4
