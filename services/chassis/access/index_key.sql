-- name: save_check
-- Stores the check of the index key, unless one is stored.
INSERT INTO index_key (version, key_check) VALUES ($1, $2) ON CONFLICT DO NOTHING

-- name: load_check
-- Reads the stored check.
SELECT version, key_check FROM index_key
