-- name: lock_migrations
-- Waits for the processes that migrate this service now.
SELECT pg_advisory_lock($1, 0)

-- name: lock_rebuild
-- Takes the lock of rebuilds; false where one is in progress.
SELECT pg_try_advisory_lock($1, 0)

-- name: unlock_rebuild
-- Releases the lock of rebuilds.
SELECT pg_advisory_unlock($1, 0)

-- name: create_migration_table
-- Creates the list of the migrations that were applied to a schema.
CREATE TABLE IF NOT EXISTS {schema}.migration (
    origin text NOT NULL,
    number int NOT NULL,
    name text NOT NULL,
    checksum text NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (origin, number)
)

-- name: load_applied
-- The migrations that were applied to a schema.
SELECT origin, number, checksum FROM {schema}.migration

-- name: save_applied
-- Records a migration.
INSERT INTO {schema}.migration (origin, number, name, checksum) VALUES ($1, $2, $3, $4)

-- name: set_search_path
-- Sets the schemas of the transaction.
SELECT set_config('search_path', $1, true)

-- name: set_shards
-- Gives the migrations of the transaction the number of shards.
SELECT set_config('onefold.shards', $1, true)

-- name: refuse_policies
-- Makes statements of the transaction fail where a policy would hide rows from them.
SET LOCAL row_security = off

-- name: create_generation_table
-- Creates the row with the live generation and the shards of the log that it folds.
CREATE TABLE IF NOT EXISTS {service}.generation (
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    live int NOT NULL,
    shards int NOT NULL
);
INSERT INTO {service}.generation (live, shards) VALUES (0, 0) ON CONFLICT DO NOTHING

-- name: load_generation
-- The live generation, and the shards of the log that it was created for.
SELECT live, shards FROM {service}.generation

-- name: set_first_generation
-- Makes the first generation live.
UPDATE {service}.generation SET live = 1, shards = $1

-- name: set_live_generation
-- Makes a generation live.
UPDATE {service}.generation SET live = $1

-- name: list_generations
-- The schemas whose name matches.
SELECT nspname::text AS name FROM pg_namespace WHERE nspname ~ $1
