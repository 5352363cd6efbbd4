-- name: save_broadcast_facts
-- Inserts facts without a leaf.
INSERT INTO broadcast_fact (shard, log_offset, workspace_id, kind, fact)
SELECT $1, * FROM unnest($2::bigint[], $3::text[], $4::text[], $5::bytea[])
ON CONFLICT DO NOTHING

-- name: load_definitions
-- Facts of some kinds in order, of one shard or (null) of all.
SELECT fact FROM broadcast_fact
WHERE ($1::int IS NULL OR shard = $1) AND kind = ANY ($2::text[]) ORDER BY log_offset, shard

-- name: workspace_definitions
-- Facts of one kind in one workspace, from all shards.
SELECT fact FROM broadcast_fact WHERE workspace_id = $1 AND kind = $2 ORDER BY log_offset, shard

-- name: shard_broadcast_facts
-- All facts of a shard in order, from an offset on.
SELECT fact FROM broadcast_fact WHERE shard = $1 AND log_offset >= $2 ORDER BY log_offset
