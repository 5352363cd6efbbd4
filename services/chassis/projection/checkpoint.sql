-- name: load_checkpoint
-- The checkpoint of a shard.
SELECT next, next_output, log_offset, log_time_us, withheld_offset, upstream_life, retired
FROM checkpoint WHERE shard = $1

-- name: discard_outputs
-- Deletes all outputs of a shard.
DELETE FROM outbox WHERE shard = $1

-- name: discard_lives
-- Ends what is known of the outputs of a shard: those that follow have other sequence numbers.
DELETE FROM stream_life WHERE shard = $1

-- name: mark_beyond_upstream
-- Records that the upstream of a shard went back.
UPDATE checkpoint SET is_beyond_upstream = true WHERE shard = $1

-- name: is_beyond_upstream
-- Whether the upstream of a shard went back since its state was made.
SELECT is_beyond_upstream FROM checkpoint WHERE shard = $1

-- name: load_checkpoints
-- The checkpoints of all shards.
SELECT shard, next, next_output, log_offset, log_time_us, withheld_offset, upstream_life
FROM checkpoint ORDER BY shard

-- name: lock_checkpoints
-- Stops every worker between two batches, until the end of the transaction.
SELECT shard, next, next_output, log_offset, log_time_us, withheld_offset, upstream_life
FROM checkpoint ORDER BY shard FOR UPDATE

-- name: acquire_fence
-- Locks the checkpoint of a shard, if it still is where the worker expects it.
SELECT 1 FROM checkpoint
WHERE shard = $1 AND next = $2 AND next_output = $3 AND NOT retired
FOR UPDATE

-- name: save_checkpoint
-- Moves a checkpoint; while a backfill blocks the shard, log_offset stays and the new one is withheld.
UPDATE checkpoint SET next = $2, next_output = $3, log_time_us = $5, upstream_life = $6,
    log_offset = CASE WHEN is_blocked THEN log_offset ELSE greatest($4, withheld_offset) END,
    withheld_offset = CASE WHEN is_blocked THEN greatest($4, withheld_offset) END
FROM (
    SELECT coalesce(max(run), 0) AS newest_run, coalesce(bool_or(blocking), false) AS is_blocked
    FROM backfill WHERE shard = $1
) AS backlog
WHERE checkpoint.shard = $1
RETURNING log_offset, withheld_offset, newest_run, is_blocked

-- name: save_outputs_and_checkpoint
-- Saves outputs for the relay, adds to the digests modulo 2^128, and moves a checkpoint as above.
WITH saved AS (
    INSERT INTO outbox (shard, first, next, payload)
    SELECT $1, * FROM unnest($7::bigint[], $8::bigint[], $9::bytea[])
), summed AS (
    INSERT INTO digest (workspace_id, shard, value)
    SELECT workspace_id, $1, delta
    FROM unnest($10::text[], $11::numeric[]) AS d (workspace_id, delta)
    ON CONFLICT (workspace_id, shard) DO UPDATE
    SET value = mod(digest.value + excluded.value, 340282366920938463463374607431768211456)
)
UPDATE checkpoint SET next = $2, next_output = $3, log_time_us = $5, upstream_life = $6,
    log_offset = CASE WHEN is_blocked THEN log_offset ELSE greatest($4, withheld_offset) END,
    withheld_offset = CASE WHEN is_blocked THEN greatest($4, withheld_offset) END
FROM (
    SELECT coalesce(max(run), 0) AS newest_run, coalesce(bool_or(blocking), false) AS is_blocked
    FROM backfill WHERE shard = $1
) AS backlog
WHERE checkpoint.shard = $1
RETURNING log_offset, withheld_offset, newest_run, is_blocked

-- name: retire_checkpoints
-- Retires a generation: no worker acquires its fence any more.
UPDATE checkpoint SET retired = true

-- name: add_digest
-- Adds to the digests of some workspaces, modulo 2^128.
INSERT INTO digest (workspace_id, shard, value)
SELECT workspace_id, $1, delta FROM unnest($2::text[], $3::numeric[]) AS d (workspace_id, delta)
ON CONFLICT (workspace_id, shard) DO UPDATE
SET value = mod(digest.value + excluded.value, 340282366920938463463374607431768211456)

-- name: load_digests
-- The digests by workspace, over all shards.
SELECT workspace_id, mod(sum(value), 340282366920938463463374607431768211456) AS value
FROM digest GROUP BY workspace_id
