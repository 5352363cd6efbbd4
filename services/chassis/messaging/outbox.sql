-- name: read_outbox
-- Outputs in order, from the one that covers a sequence number on.
SELECT first, next, payload, coalesce(
    (SELECT life FROM stream_life WHERE shard = $1 ORDER BY number DESC LIMIT 1), 0
) AS life FROM outbox
WHERE shard = $1 AND next > $2 AND first >= coalesce(
    (SELECT first FROM outbox WHERE shard = $1 AND first <= $2 ORDER BY first DESC LIMIT 1), $2
)
ORDER BY first LIMIT $3

-- name: load_next_output
-- The sequence number of the next output of a shard.
SELECT next_output FROM checkpoint WHERE shard = $1

-- name: load_outbox_end
-- The sequence number after the newest output of a shard.
SELECT next FROM outbox WHERE shard = $1 ORDER BY first DESC LIMIT 1

-- name: prune_outbox
-- Deletes some of the oldest outputs that have expired and were published; the newest always stays.
WITH oldest AS (
    SELECT first, next, created_at FROM outbox WHERE shard = $1 ORDER BY first LIMIT 1000
)
DELETE FROM outbox USING oldest
WHERE outbox.shard = $1 AND outbox.first = oldest.first
  AND oldest.next <= $2 AND oldest.created_at < now() - make_interval(secs => $3)
  AND oldest.first < (SELECT max(first) FROM outbox WHERE shard = $1)
