-- A statement that finds open effects by their keys says `state + 0`, so that the planner cannot
-- use the index of what is due: it knows a queue only by statistics that are hours old, and while
-- the queue was empty that index looks small.

-- name: add_effects
-- Adds effects to the ledger; existing rows stay as they are. An effect whose predecessor is
-- missing has arrived out of order.
INSERT INTO effect (shard, effect_id, workspace_id, destination_id, segment_id, profile_id,
                    trigger, ordinal, changed_at_us, state, reason, occurred_at_us, out_of_order)
SELECT t.shard, t.effect_id, t.workspace_id, t.destination_id, t.segment_id, t.profile_id,
       t.trigger, t.ordinal, t.changed_at_us, t.state, t.reason, t.occurred_at_us,
       t.predecessor > 0 AND NOT EXISTS (
           SELECT FROM effect b
           WHERE b.profile_id = t.profile_id AND b.destination_id = t.destination_id
             AND b.segment_id = t.segment_id AND b.ordinal = t.predecessor
       )
FROM unnest($1::int[], $2::bytea[], $3::text[], $4::text[], $5::text[], $6::bytea[],
            $7::smallint[], $8::int[], $9::bigint[], $10::smallint[], $11::text[], $12::int[],
            $13::bigint[])
    AS t (shard, effect_id, workspace_id, destination_id, segment_id, profile_id,
          trigger, ordinal, changed_at_us, state, reason, predecessor, occurred_at_us)
ON CONFLICT (effect_id, shard) DO NOTHING;

-- name: lock_due
-- Locks the due effects of a destination that no other replica has locked. `is_blocked`: an earlier
-- effect of the profile is open. `is_early`: effects before it may still arrive from another shard.
-- A profile is of one workspace, so its id alone finds its effects.
SELECT c.effect_id, c.shard, c.segment_id, c.profile_id, c.trigger, c.ordinal, c.changed_at_us,
       c.state, c.attempts, c.payload, c.channel_position, c.unanswered, c.workspace_id,
       c.destination_id, c.run_id, c.journey_id, c.journey_version, c.step_id, c.visit, c.leaf_id,
       c.purpose, c.priority, c.valid_until_us, c.variables, c.occurred_at_us,
       c.out_of_order AND c.changed_at_us >= (SELECT min(log_time_us) FROM checkpoint) AS is_early,
       EXISTS (
           SELECT FROM effect b
           WHERE b.profile_id = c.profile_id AND b.destination_id = c.destination_id
             AND b.state + 0 IN (1, 2)
             AND (b.changed_at_us, b.ordinal, b.segment_id)
                 < (c.changed_at_us, c.ordinal, c.segment_id)
       ) AS is_blocked
FROM effect c
WHERE c.workspace_id = $1 AND c.destination_id = $2 AND c.state IN (1, 2, 8) AND c.due_at <= now()
ORDER BY c.due_at LIMIT $3 FOR UPDATE OF c SKIP LOCKED;

-- name: start_attempts
-- Starts attempts at locked effects; until the lease expires they belong to this replica.
UPDATE effect e
SET state = 2, attempts = e.attempts + 1, due_at = now() + $3::float8 * interval '1 s',
    unanswered = e.unanswered OR e.state = 2 AND e.payload IS NOT NULL
FROM unnest($1::bytea[], $2::int[]) AS t (effect_id, shard)
WHERE e.effect_id = t.effect_id AND e.shard = t.shard;

-- name: postpone
-- Postpones locked effects.
UPDATE effect e SET due_at = now() + t.delay * interval '1 s'
FROM unnest($1::bytea[], $2::int[], $3::float8[]) AS t (effect_id, shard, delay)
WHERE e.effect_id = t.effect_id AND e.shard = t.shard;

-- name: save_payloads
-- Saves messages, so that every attempt sends the same; returns the effects. An attempt whose lease
-- another replica has taken over saves nothing, and must not be made.
UPDATE effect e SET payload = t.payload, channel_position = $5
FROM unnest($1::bytea[], $2::int[], $3::int[], $4::bytea[])
    AS t (effect_id, shard, attempts, payload)
WHERE e.effect_id = t.effect_id AND e.shard = t.shard AND e.attempts = t.attempts
  AND e.state + 0 = 2 AND e.payload IS NULL
RETURNING e.effect_id;

-- name: end_attempts
-- Records transitions, and makes the effects behind a final state due; the row count is theirs. An
-- attempt whose lease another replica has taken over changes nothing. One that was not made says
-- nothing about the attempt before it, so an answer that is missing stays so.
WITH ended AS (
    UPDATE effect e
    SET state = t.state, reason = t.reason, attempts = e.attempts - t.uncounted,
        due_at = now() + t.delay * interval '1 s', held_until_us = t.held_until_us,
        ended_at = CASE WHEN t.state NOT IN (1, 2, 8) THEN now() END,
        unanswered = t.unanswered OR t.uncounted = 1 AND e.unanswered
    FROM unnest($1::bytea[], $2::int[], $3::int[], $4::smallint[], $5::text[], $6::float8[],
                $7::int[], $8::boolean[], $9::bigint[])
        AS t (effect_id, shard, attempts, state, reason, delay, uncounted, unanswered,
              held_until_us)
    WHERE e.effect_id = t.effect_id AND e.shard = t.shard AND e.attempts = t.attempts
      AND e.state + 0 = 2
    RETURNING e.destination_id, e.profile_id, e.state
)
UPDATE effect s SET due_at = now()
FROM ended
WHERE ended.state NOT IN (1, 2, 8) AND s.profile_id = ended.profile_id
  AND s.destination_id = ended.destination_id
  AND s.state + 0 = 1 AND s.attempts = 0 AND s.due_at > now();

-- name: lock_pace
-- Locks the pace of a destination; by how many seconds earlier attempts put off those to come.
INSERT INTO pace AS p (workspace_id, destination_id) VALUES ($1, $2)
ON CONFLICT (workspace_id, destination_id) DO UPDATE SET free_at = greatest(p.free_at, now())
RETURNING extract(epoch FROM free_at - now())::float8;

-- name: spend_pace
-- Puts off the attempts to come by some seconds.
UPDATE pace SET free_at = free_at + $3::float8 * interval '1 s'
WHERE workspace_id = $1 AND destination_id = $2;

-- name: next_due
-- Seconds until an effect of these destinations is due; no row for those without open effects.
SELECT d.workspace_id, d.destination_id,
       extract(epoch FROM first.due_at - now())::float8 AS seconds
FROM unnest($1::text[], $2::text[]) AS d (workspace_id, destination_id)
CROSS JOIN LATERAL (
    SELECT e.due_at FROM effect e
    WHERE e.workspace_id = d.workspace_id AND e.destination_id = d.destination_id
      AND e.state IN (1, 2, 8)
    ORDER BY e.due_at LIMIT 1
) first;

-- name: cancel_open
-- Ends the open effects of a retired destination; an attempt that runs is left to its end.
UPDATE effect SET state = CASE WHEN attempts = 0 THEN 5 ELSE 4 END, reason = $3, ended_at = now()
WHERE workspace_id = $1 AND destination_id = $2
  AND (state IN (1, 8) OR state = 2 AND due_at <= now());

-- name: load_unpublished_outcomes
-- Effects in a final state that is not a fact of the log yet.
SELECT effect_id, shard, workspace_id, destination_id, segment_id, profile_id, state, attempts,
       reason, begun_at_us, run_id, journey_id, step_id, visit, leaf_id, template_version
FROM effect WHERE NOT outcome_published AND state IN (3, 4, 5, 6, 9, 10) LIMIT $1;

-- name: mark_outcomes_published
-- Records that these final states are facts of the log.
UPDATE effect e SET outcome_published = true
FROM unnest($1::bytea[], $2::int[], $3::int[]) AS t (effect_id, shard, attempts)
WHERE e.effect_id = t.effect_id AND e.shard = t.shard AND e.attempts = t.attempts
  AND e.state IN (3, 4, 5, 6, 9, 10);

-- name: lock_dead
-- Locks a dead or unconfirmed effect.
SELECT profile_id, destination_id, segment_id, ordinal, outcome_published, payload_deleted
FROM effect WHERE workspace_id = $1 AND effect_id = $2 AND state IN (4, 6) FOR UPDATE;

-- name: hold_later
-- Holds the effects of a membership behind one, so that no replica starts them in this transaction.
UPDATE effect SET due_at = greatest(due_at, now() + interval '1 s')
WHERE workspace_id = $1 AND profile_id = $2 AND destination_id = $3 AND segment_id = $4
  AND ordinal > $5 AND state + 0 = 1;

-- name: is_overtaken
-- Whether a later effect of a membership was delivered, or may be on its way.
SELECT EXISTS (
    SELECT FROM effect
    WHERE workspace_id = $1 AND profile_id = $2 AND destination_id = $3 AND segment_id = $4
      AND ordinal > $5 AND state + 0 IN (2, 3, 6, 9)
);

-- name: retry
-- Queues a locked effect again, whatever an earlier attempt has sent.
UPDATE effect SET state = 1, due_at = now(), ended_at = NULL, outcome_published = false,
                  unanswered = false
WHERE workspace_id = $1 AND effect_id = $2
RETURNING *, extract(epoch FROM due_at)::float8 AS due;

-- name: delete_payloads
-- Deletes the messages of effects that ended some seconds ago, the oldest first.
UPDATE effect e SET payload = NULL, payload_deleted = true, channel_position = ''
FROM (
    SELECT effect_id, shard FROM effect
    WHERE payload IS NOT NULL AND ended_at < now() - $1::float8 * interval '1 s'
    ORDER BY ended_at LIMIT $2 FOR UPDATE SKIP LOCKED
) old
WHERE e.effect_id = old.effect_id AND e.shard = old.shard;

-- name: plan_each_execution
-- Each filter of a list has its own index, so a list needs a plan for its parameters.
SET LOCAL plan_cache_mode = force_custom_plan;

-- name: list_effects
-- Effects, newest first, before one and not before an instant; an empty filter matches all.
SELECT *, extract(epoch FROM due_at)::float8 AS due FROM effect
WHERE workspace_id = $1 AND (changed_at_us, effect_id) < ($2, $3) AND changed_at_us >= $4
  AND ($5 = '' OR destination_id = $5) AND ($6 = 0 OR state = $6)
  AND ($7::bytea[] = '{}' OR profile_id = ANY($7))
  AND ($8 = '' OR segment_id = $8) AND ($9 = '' OR journey_id = $9)
ORDER BY changed_at_us DESC, effect_id DESC LIMIT $10;

-- name: count_effects
-- Effects by destination and state.
SELECT destination_id, state, count(*) AS count FROM effect
WHERE workspace_id = $1 GROUP BY destination_id, state ORDER BY destination_id, state;

-- name: count_rows
-- Named counts for the status.
SELECT (SELECT count(*) FROM effect) AS effects,
       (SELECT count(*) FROM effect WHERE state IN (1, 2, 8)) AS open,
       (SELECT count(DISTINCT (workspace_id, destination_id)) FROM destination) AS destinations;
