-- name: save_destination
-- Takes a version of a destination unless a newer one is there.
INSERT INTO destination (workspace_id, destination_id, version, message) VALUES ($1, $2, $3, $4)
ON CONFLICT (workspace_id, destination_id) DO UPDATE
SET version = excluded.version, message = excluded.message
WHERE destination.version < excluded.version;

-- name: load_destinations
-- Every destination.
SELECT workspace_id, message FROM destination ORDER BY workspace_id, destination_id;

-- name: load_destination
-- One destination.
SELECT message FROM destination WHERE workspace_id = $1 AND destination_id = $2;

-- name: add_effects
-- Writes effects into the ledger; what is there already stays as it is.
INSERT INTO effect (shard, effect_id, workspace_id, destination_id, segment_id, profile_id,
                    trigger, ordinal, at_us, state, reason)
SELECT * FROM unnest($1::int[], $2::bytea[], $3::text[], $4::text[], $5::text[], $6::bytea[],
                     $7::smallint[], $8::int[], $9::bigint[], $10::smallint[], $11::text[])
ON CONFLICT (effect_id, shard) DO NOTHING;

-- name: claim
-- Begins attempts at due effects of one destination. Of one person's changes in a segment the
-- earlier comes first, so a later one waits while an earlier one is open.
UPDATE effect e SET state = 2, attempts = attempts + 1, due_at = now() + $4::float8 * interval '1 s'
FROM (
    SELECT effect_id, shard FROM effect c
    WHERE workspace_id = $1 AND destination_id = $2 AND state IN (1, 2) AND due_at <= now()
      AND NOT EXISTS (
          SELECT FROM effect b
          WHERE b.profile_id = c.profile_id AND b.destination_id = c.destination_id
            AND b.segment_id = c.segment_id AND b.ordinal < c.ordinal
            AND b.workspace_id = c.workspace_id AND b.state IN (1, 2)
      )
    ORDER BY due_at LIMIT $3 FOR UPDATE SKIP LOCKED
) due
WHERE e.effect_id = due.effect_id AND e.shard = due.shard
RETURNING e.effect_id, e.shard, e.segment_id, e.profile_id, e.trigger, e.ordinal, e.at_us,
          e.attempts, e.body;

-- name: keep_bodies
-- Keeps what is sent, so that every attempt sends the same.
UPDATE effect e SET body = t.body
FROM unnest($1::bytea[], $2::int[], $3::bytea[]) AS t (effect_id, shard, body)
WHERE e.effect_id = t.effect_id AND e.shard = t.shard AND e.body IS NULL;

-- name: end_attempts
-- Records how attempts ended. An attempt that another took over meanwhile tells nothing any more.
UPDATE effect e
SET state = t.state, reason = t.reason, due_at = now() + t.pause * interval '1 s'
FROM unnest($1::bytea[], $2::int[], $3::int[], $4::smallint[], $5::text[], $6::float8[])
    AS t (effect_id, shard, attempts, state, reason, pause)
WHERE e.effect_id = t.effect_id AND e.shard = t.shard AND e.attempts = t.attempts AND e.state = 2;

-- name: next_due
-- Seconds until the next attempt of a destination is due; nothing where none is planned.
SELECT extract(epoch FROM min(due_at) - now())::float8 FROM effect
WHERE workspace_id = $1 AND destination_id = $2 AND state IN (1, 2);

-- name: unreported
-- Effects that came to an end which the log does not know.
SELECT effect_id, shard, workspace_id, destination_id, segment_id, profile_id, state, attempts,
       reason
FROM effect WHERE NOT reported AND state IN (3, 4, 5) LIMIT $1;

-- name: mark_reported
-- The log knows these ends.
UPDATE effect e SET reported = true
FROM unnest($1::bytea[], $2::int[]) AS t (effect_id, shard)
WHERE e.effect_id = t.effect_id AND e.shard = t.shard;

-- name: retry
-- Puts a dead effect back in the queue.
UPDATE effect SET state = 1, due_at = now(), reported = false
WHERE workspace_id = $1 AND effect_id = $2 AND state = 4
RETURNING *, extract(epoch FROM due_at)::float8 AS due;

-- name: list_effects
-- Effects, newest first, before one; empty filters let all pass.
SELECT *, extract(epoch FROM due_at)::float8 AS due FROM effect
WHERE workspace_id = $1 AND (at_us, effect_id) < ($2, $3)
  AND ($4 = '' OR destination_id = $4) AND ($5 = 0 OR state = $5)
  AND ($6::bytea = '' OR profile_id = $6)
ORDER BY at_us DESC, effect_id DESC LIMIT $7;

-- name: count_effects
-- Effects by destination and state.
SELECT destination_id, state, count(*) AS count FROM effect
WHERE workspace_id = $1 GROUP BY destination_id, state ORDER BY destination_id, state;

-- name: count_rows
-- Named counts for the status.
SELECT (SELECT count(*) FROM effect) AS effects,
       (SELECT count(*) FROM effect WHERE state IN (1, 2)) AS waiting,
       (SELECT count(*) FROM destination) AS destinations;
