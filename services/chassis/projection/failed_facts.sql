-- name: add_failed
-- Adds units that are left out because their fold raised.
INSERT INTO failed_fact (shard, sequence, unit_key, workspace_id, payload, error, attempts,
                         next_retry_at)
SELECT $1, sequence, unit_key, workspace_id, payload, error, 1, now() + make_interval(secs => $7)
FROM unnest($2::bigint[], $3::bytea[], $4::text[], $5::bytea[], $6::text[])
    AS f (sequence, unit_key, workspace_id, payload, error)
ON CONFLICT DO NOTHING

-- name: count_failed_of_workspaces
-- The largest number of units of one of these workspaces that a shard leaves out.
SELECT coalesce(max(n), 0) FROM (
    SELECT count(*) AS n FROM failed_fact
    WHERE shard = $1 AND workspace_id = ANY($2::text[]) GROUP BY workspace_id
) AS counted

-- name: check_left_out
-- How many units a shard leaves out, and whether one of them is due.
SELECT count(*) FILTER (WHERE NOT parked), count(*) FILTER (WHERE parked),
       min(next_retry_at) FILTER (WHERE NOT parked) <= now()
FROM failed_fact WHERE shard = $1

-- name: load_due
-- The unit of a shard that is retried next, if one is due.
SELECT sequence, unit_key, workspace_id, payload, attempts FROM failed_fact
WHERE shard = $1 AND NOT parked AND next_retry_at <= now()
ORDER BY next_retry_at, sequence, unit_key LIMIT 1

-- name: begin_attempt
-- Counts an attempt before it is made: one that ends the session is not repeated at once.
UPDATE failed_fact SET attempts = attempts + 1, next_retry_at = now() + make_interval(secs => $4)
WHERE shard = $1 AND sequence = $2 AND unit_key = $3

-- name: save_error
-- Saves why the last attempt failed.
UPDATE failed_fact SET error = $4 WHERE shard = $1 AND sequence = $2 AND unit_key = $3

-- name: lock_failed
-- Locks a unit that is to be folded; no row where it was parked or folded meanwhile.
SELECT 1 FROM failed_fact
WHERE shard = $1 AND sequence = $2 AND unit_key = $3 AND NOT parked FOR UPDATE

-- name: delete_failed
-- Removes a unit that is folded now.
DELETE FROM failed_fact WHERE shard = $1 AND sequence = $2 AND unit_key = $3

-- name: load_units
-- The units of a workspace that a shard leaves out from before a sequence number.
SELECT sequence, unit_key, payload FROM failed_fact
WHERE shard = $1 AND workspace_id = $2 AND sequence < $3 AND payload IS NOT NULL

-- name: retry_failed
-- Makes failed units due now: of one shard and sequence number, if given.
UPDATE failed_fact SET next_retry_at = now()
WHERE NOT parked AND ($1::int IS NULL OR shard = $1) AND ($2::bigint IS NULL OR sequence = $2)

-- name: park
-- Parks the units of a sequence number that failed; returns one row for each.
UPDATE failed_fact SET parked = true, reason = $3 WHERE shard = $1 AND sequence = $2 RETURNING 1

-- name: park_folded
-- Parks a fact: `folded` where this state includes it.
INSERT INTO failed_fact (shard, sequence, workspace_id, reason, parked, folded)
VALUES ($1, $2, $3, $4, true, $5) ON CONFLICT DO NOTHING

-- name: unpark_folded
-- Removes a parked unit that the state has always included.
DELETE FROM failed_fact WHERE shard = $1 AND sequence = $2 AND parked AND folded

-- name: unpark
-- Makes parked units due at once.
UPDATE failed_fact SET parked = false, attempts = 0, reason = '', next_retry_at = now()
WHERE shard = $1 AND sequence = $2 AND parked

-- name: load_left_out
-- The units of a shard from a sequence number on that a new state leaves out.
SELECT sequence, unit_key FROM failed_fact WHERE shard = $1 AND sequence >= $2 AND sequence < $3

-- name: load_missing
-- The units of a shard in a range that this state lacks.
SELECT sequence, unit_key FROM failed_fact
WHERE shard = $1 AND sequence >= $2 AND sequence < $3 AND NOT folded

-- name: load_left_out_payloads
-- The failed units of all shards, with their messages.
SELECT sequence, unit_key, workspace_id, payload FROM failed_fact ORDER BY shard, sequence, unit_key

-- name: list_failed
-- The units that this state leaves out, without their contents.
SELECT shard, sequence, unit_key, workspace_id, error, attempts,
       (extract(epoch FROM next_retry_at) * 1000000)::bigint AS next_retry_us, parked, folded, reason
FROM failed_fact ORDER BY shard, sequence, unit_key LIMIT $1

-- name: count_failed
-- The failed and the parked units by shard.
SELECT shard, count(*) FILTER (WHERE NOT parked) AS failed, count(*) FILTER (WHERE parked) AS parked
FROM failed_fact GROUP BY shard ORDER BY shard

-- name: copy_failed
-- Makes a new generation leave out what the live one leaves out, and all that is parked.
INSERT INTO {new}.failed_fact
    (shard, sequence, unit_key, workspace_id, payload, error, attempts, next_retry_at, parked, reason)
SELECT shard, sequence, unit_key, workspace_id, payload, error, attempts, next_retry_at, parked, reason
FROM {live}.failed_fact

-- name: clear_failed
-- Empties the list of a new generation before it is copied again.
DELETE FROM {new}.failed_fact

-- name: hold_retries
-- Waits for retries under way, and keeps others from beginning, while the session lasts.
SELECT pg_advisory_lock($1, 0)

-- name: enter_retry
-- Whether a retry may begin: no rebuild is in progress. Held to the end of the transaction.
SELECT pg_try_advisory_xact_lock_shared($1, 0)
