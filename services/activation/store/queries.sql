-- name: save_destination
-- Takes a version of a destination unless the shard has a newer one.
INSERT INTO destination (shard, workspace_id, destination_id, version, message)
VALUES ($1, $2, $3, $4, $5)
ON CONFLICT (workspace_id, destination_id, shard) DO UPDATE
SET version = excluded.version, message = excluded.message
WHERE destination.version < excluded.version;

-- name: load_destinations
-- Every destination in the newest version that any shard knows.
SELECT DISTINCT ON (workspace_id, destination_id) workspace_id, message FROM destination
ORDER BY workspace_id, destination_id, version DESC;

-- name: load_destinations_of_shard
-- The destinations of some workspaces as one shard knows them.
SELECT workspace_id, message FROM destination
WHERE shard = $1 AND workspace_id = ANY ($2::text[]) ORDER BY workspace_id, destination_id;

-- name: load_destinations_of_workspace
-- The destinations of a workspace.
SELECT DISTINCT ON (destination_id) workspace_id, message FROM destination
WHERE workspace_id = $1 ORDER BY destination_id, version DESC;

-- name: load_destination
-- One destination.
SELECT message FROM destination WHERE workspace_id = $1 AND destination_id = $2
ORDER BY version DESC LIMIT 1;

-- name: add_effects
-- Writes effects into the ledger; what is there already stays as it is. One whose predecessor is
-- not there has come early.
INSERT INTO effect (shard, effect_id, workspace_id, destination_id, segment_id, profile_id,
                    trigger, ordinal, at_us, state, reason, early)
SELECT t.shard, t.effect_id, t.workspace_id, t.destination_id, t.segment_id, t.profile_id,
       t.trigger, t.ordinal, t.at_us, t.state, t.reason,
       t.before > 0 AND NOT EXISTS (
           SELECT FROM effect b
           WHERE b.profile_id = t.profile_id AND b.destination_id = t.destination_id
             AND b.segment_id = t.segment_id AND b.ordinal = t.before
       )
FROM unnest($1::int[], $2::bytea[], $3::text[], $4::text[], $5::text[], $6::bytea[],
            $7::smallint[], $8::int[], $9::bigint[], $10::smallint[], $11::text[], $12::int[])
    AS t (shard, effect_id, workspace_id, destination_id, segment_id, profile_id,
          trigger, ordinal, at_us, state, reason, before)
ON CONFLICT (effect_id, shard) DO NOTHING;

-- name: claim
-- Looks at due effects of one destination and begins attempts at them. To a person the earlier
-- message goes first: while it is open a later one waits, and is looked at again when the earlier
-- one ends, or after $5 seconds. One that came early waits until every shard has passed its
-- instant, so that what comes before it has been heard of.
-- Some of it is for the planner, which knows a queue only as it was hours ago: `state + 0` and a
-- person found by the profile alone (a profile is of one workspace) keep it from the index of what
-- is due, which looks small while the queue is empty; and arrays are what it takes for short.
WITH reached AS (
    SELECT min(log_time_us) AS time_us FROM position
),
due AS MATERIALIZED (
    SELECT c.effect_id, c.shard, c.state = 2 AS lost,
           c.early AND c.at_us >= reached.time_us AS early,
           EXISTS (
               SELECT FROM effect b
               WHERE b.profile_id = c.profile_id AND b.destination_id = c.destination_id
                 AND b.state + 0 IN (1, 2)
                 AND (b.at_us, b.ordinal, b.segment_id) < (c.at_us, c.ordinal, c.segment_id)
           ) AS blocked
    FROM effect c CROSS JOIN reached
    WHERE c.workspace_id = $1 AND c.destination_id = $2 AND c.state IN (1, 2) AND c.due_at <= now()
    ORDER BY c.due_at LIMIT $3 FOR UPDATE OF c SKIP LOCKED
)
UPDATE effect e
SET state = CASE WHEN d.early OR d.blocked THEN e.state ELSE 2 END,
    attempts = e.attempts + CASE WHEN d.early OR d.blocked THEN 0 ELSE 1 END,
    due_at = now() + interval '1 s'
        * CASE WHEN d.blocked THEN $5::float8 WHEN d.early THEN 1.0 ELSE $4::float8 END
FROM unnest(ARRAY(SELECT effect_id FROM due), ARRAY(SELECT shard FROM due),
            ARRAY(SELECT lost FROM due), ARRAY(SELECT early FROM due),
            ARRAY(SELECT blocked FROM due))
    AS d (effect_id, shard, lost, early, blocked)
WHERE e.effect_id = d.effect_id AND e.shard = d.shard
RETURNING d.early OR d.blocked AS waits, d.lost, e.effect_id, e.shard, e.segment_id, e.profile_id,
          e.trigger, e.ordinal, e.at_us, e.attempts, e.body;

-- name: keep_bodies
-- Keeps what is sent, so that every attempt sends the same; tells for which effects. An attempt
-- that another took over meanwhile keeps nothing, and must not send what it made.
UPDATE effect e SET body = t.body
FROM unnest($1::bytea[], $2::int[], $3::int[], $4::bytea[]) AS t (effect_id, shard, attempts, body)
WHERE e.effect_id = t.effect_id AND e.shard = t.shard AND e.attempts = t.attempts AND e.state + 0 = 2
  AND e.body IS NULL
RETURNING e.effect_id;

-- name: end_attempts
-- Records how attempts ended, and lets those that waited for an end be looked at; tells how many.
-- An attempt that another took over meanwhile tells nothing any more.
WITH ended AS (
    UPDATE effect e
    SET state = t.state, reason = t.reason, attempts = e.attempts - t.uncounted,
        due_at = now() + t.pause * interval '1 s'
    FROM unnest($1::bytea[], $2::int[], $3::int[], $4::smallint[], $5::text[], $6::float8[],
                $7::int[])
        AS t (effect_id, shard, attempts, state, reason, pause, uncounted)
    WHERE e.effect_id = t.effect_id AND e.shard = t.shard AND e.attempts = t.attempts
      AND e.state + 0 = 2
    RETURNING e.destination_id, e.profile_id, e.state
)
UPDATE effect s SET due_at = now()
FROM ended
WHERE ended.state > 2 AND s.profile_id = ended.profile_id
  AND s.destination_id = ended.destination_id
  AND s.state + 0 = 1 AND s.attempts = 0 AND s.due_at > now();

-- name: due_in
-- Seconds until something of these destinations is due; nothing for those that have nothing open.
SELECT d.workspace_id, d.destination_id,
       extract(epoch FROM first.due_at - now())::float8 AS seconds
FROM unnest($1::text[], $2::text[]) AS d (workspace_id, destination_id)
CROSS JOIN LATERAL (
    SELECT e.due_at FROM effect e
    WHERE e.workspace_id = d.workspace_id AND e.destination_id = d.destination_id
      AND e.state IN (1, 2)
    ORDER BY e.due_at LIMIT 1
) first;

-- name: give_up
-- Ends what is open of a destination that is retired; an attempt that runs is left to its end.
UPDATE effect SET state = CASE WHEN attempts = 0 THEN 5 ELSE 4 END, reason = $3
WHERE workspace_id = $1 AND destination_id = $2
  AND (state = 1 OR state = 2 AND due_at <= now());

-- name: unreported
-- Effects that came to an end which the log does not know.
SELECT effect_id, shard, workspace_id, destination_id, segment_id, profile_id, state, attempts,
       reason
FROM effect WHERE NOT reported AND state IN (3, 4, 5) LIMIT $1;

-- name: mark_reported
-- The log knows these ends.
UPDATE effect e SET reported = true
FROM unnest($1::bytea[], $2::int[], $3::int[]) AS t (effect_id, shard, attempts)
WHERE e.effect_id = t.effect_id AND e.shard = t.shard AND e.attempts = t.attempts
  AND e.state IN (3, 4, 5);

-- name: retry
-- Puts a dead effect back in the queue, once the log knows that it was dead.
UPDATE effect SET state = 1, due_at = now(), reported = false
WHERE workspace_id = $1 AND effect_id = $2 AND state = 4 AND reported
RETURNING *, extract(epoch FROM due_at)::float8 AS due;

-- name: is_dead
-- Whether an effect is dead.
SELECT true FROM effect WHERE workspace_id = $1 AND effect_id = $2 AND state = 4;

-- name: plan_each
-- Each filter of a list has an index of its own, so a list is planned for what it is asked.
SET LOCAL plan_cache_mode = force_custom_plan;

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
       (SELECT count(DISTINCT (workspace_id, destination_id)) FROM destination) AS destinations;
