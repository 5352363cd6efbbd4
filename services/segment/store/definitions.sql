-- name: load_revision
-- The revision of the definitions and ready predicates.
SELECT value FROM definition_revision;

-- name: bump_revision
-- Invalidates every cache of definitions. A transaction id is never used twice, also where this
-- transaction is rolled back after it has cached what it changed.
UPDATE {schema}definition_revision SET value = pg_current_xact_id()::text::bigint;

-- name: save_definition
-- Saves a version of a definition unless a newer one is stored.
INSERT INTO definition (workspace_id, kind, definition_id, version, payload)
VALUES ($1, $2, $3, $4, $5)
ON CONFLICT (workspace_id, kind, definition_id) DO UPDATE
SET version = excluded.version, payload = excluded.payload
WHERE definition.version < excluded.version;

-- name: update_definition
-- Replaces a definition by a newer version, if there is one.
UPDATE definition SET version = $4, payload = $5
WHERE workspace_id = $1 AND kind = $2 AND definition_id = $3 AND version < $4;

-- name: has_definition
-- Whether a definition is saved.
SELECT EXISTS (
    SELECT FROM definition WHERE workspace_id = $1 AND kind = $2 AND definition_id = $3
);

-- name: load_definitions
-- The definitions of every workspace.
SELECT workspace_id, kind, payload FROM definition ORDER BY workspace_id, kind, definition_id;

-- name: load_definitions_of_workspace
-- The definitions of one workspace.
SELECT workspace_id, kind, payload FROM definition WHERE workspace_id = $1
ORDER BY kind, definition_id;

-- name: save_ready_predicates
-- Records that a shard has backfilled these predicates; returns those that were not recorded.
INSERT INTO ready_predicate (workspace_id, predicate_id, shard)
SELECT $1, p, $3 FROM unnest($2::bigint[]) AS p ON CONFLICT DO NOTHING RETURNING predicate_id;

-- name: delete_ready_predicates
-- Records that a shard evaluates these predicates no more; returns those that were recorded.
DELETE FROM ready_predicate WHERE workspace_id = $1 AND predicate_id = ANY ($2::bigint[]) AND shard = $3
RETURNING predicate_id;

-- name: count_ready_shards
-- The number of shards that have backfilled each predicate.
SELECT workspace_id, predicate_id, count(*) AS shards FROM ready_predicate GROUP BY 1, 2;
