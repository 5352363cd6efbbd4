-- name: load_position
-- The position of a shard.
SELECT next, next_output, log_offset, log_time_us, withheld_offset, closed FROM position WHERE shard = $1

-- name: load_positions
-- The positions of all shards.
SELECT shard, next, next_output, log_offset, log_time_us, withheld_offset, closed FROM position ORDER BY shard

-- name: create_positions
-- Rows for shards that have none.
INSERT INTO position (shard) SELECT generate_series(0, $1::int - 1) ON CONFLICT DO NOTHING

-- name: fence
-- Takes the position's row, if it still stands where the worker believes it to be.
SELECT 1 FROM position
WHERE shard = $1 AND next = $2 AND next_output = $3 AND NOT closed
FOR UPDATE

-- name: save_position
-- Moves the position; while a backfill blocks the shard, log_offset stays and the new one is withheld.
UPDATE position SET next = $2, next_output = $3, log_time_us = $5,
    log_offset = CASE WHEN is_blocked THEN log_offset ELSE greatest($4, withheld_offset) END,
    withheld_offset = CASE WHEN is_blocked THEN greatest($4, withheld_offset) END
FROM (
    SELECT coalesce(max(run), 0) AS newest_run, coalesce(bool_or(blocking), false) AS is_blocked
    FROM backfill WHERE shard = $1
) AS backlog
WHERE position.shard = $1
RETURNING log_offset, withheld_offset, newest_run, is_blocked

-- name: save_outputs_and_position
-- Keeps outputs for the relay, adds to the digests modulo 2^128, and moves the position.
WITH saved AS (
    INSERT INTO outbox (shard, first, next, payload)
    SELECT $1, * FROM unnest($6::bigint[], $7::bigint[], $8::bytea[])
), summed AS (
    INSERT INTO digest (workspace, shard, value)
    SELECT workspace, $1, delta FROM unnest($9::text[], $10::numeric[]) AS d (workspace, delta)
    ON CONFLICT (workspace, shard) DO UPDATE
    SET value = mod(digest.value + excluded.value, 340282366920938463463374607431768211456)
)
UPDATE position SET next = $2, next_output = $3, log_time_us = $5,
    log_offset = CASE WHEN is_blocked THEN log_offset ELSE greatest($4, withheld_offset) END,
    withheld_offset = CASE WHEN is_blocked THEN greatest($4, withheld_offset) END
FROM (
    SELECT coalesce(max(run), 0) AS newest_run, coalesce(bool_or(blocking), false) AS is_blocked
    FROM backfill WHERE shard = $1
) AS backlog
WHERE position.shard = $1
RETURNING log_offset, withheld_offset, newest_run, is_blocked

-- name: lock_positions
-- Stops every worker at the border of a batch, until the end of the transaction.
SELECT shard, next, next_output, log_offset, log_time_us, withheld_offset, closed FROM position ORDER BY shard FOR UPDATE

-- name: close_positions
-- Shuts a generation: no fence of it holds any more.
UPDATE position SET closed = true

-- name: add_digest
-- Adds to the digests of some workspaces, modulo 2^128.
INSERT INTO digest (workspace, shard, value)
SELECT workspace, $1, delta FROM unnest($2::text[], $3::numeric[]) AS d (workspace, delta)
ON CONFLICT (workspace, shard) DO UPDATE
SET value = mod(digest.value + excluded.value, 340282366920938463463374607431768211456)

-- name: load_digests
-- The digests by workspace, over all shards.
SELECT workspace, mod(sum(value), 340282366920938463463374607431768211456) AS value
FROM digest GROUP BY workspace

-- name: read_outbox
-- Outputs from the one that covers a place on, in order.
SELECT first, next, payload FROM outbox
WHERE shard = $1 AND next > $2 AND first >= coalesce(
    (SELECT first FROM outbox WHERE shard = $1 AND first <= $2 ORDER BY first DESC LIMIT 1), $2
)
ORDER BY first LIMIT $3

-- name: outbox_tail
-- The place after the newest output of a shard.
SELECT next FROM outbox WHERE shard = $1 ORDER BY first DESC LIMIT 1

-- name: prune_outbox
-- Lets go of the oldest outputs of a shard that are old enough and were published; the newest stays.
WITH oldest AS (
    SELECT first, next, created_at FROM outbox WHERE shard = $1 ORDER BY first LIMIT 1000
)
DELETE FROM outbox USING oldest
WHERE outbox.shard = $1 AND outbox.first = oldest.first
  AND oldest.next <= $2 AND oldest.created_at < now() - make_interval(secs => $3)
  AND oldest.first < (SELECT max(first) FROM outbox WHERE shard = $1)

-- name: list_leases
-- The sessions that hold locks of a lease: the shard, and the process id in the server.
SELECT objid::bigint AS shard, pid FROM pg_locks
WHERE locktype = 'advisory' AND granted AND objsubid = 2
  AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
  AND classid::bigint = $1::int::bigint & 4294967295

-- name: list_generations
-- The schemas whose name matches.
SELECT nspname::text AS name FROM pg_namespace WHERE nspname ~ $1
