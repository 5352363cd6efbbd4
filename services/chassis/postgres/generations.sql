-- name: set_live_generation
-- Makes a generation live.
UPDATE {service}.generation SET live = $1

-- name: list_generations
-- The schemas whose name matches.
SELECT nspname::text AS name FROM pg_namespace WHERE nspname ~ $1
