-- name: lock_leaves
-- Locks persons by their leaves until the transaction ends, by ascending keys.
SELECT count(pg_advisory_xact_lock(key)) FROM unnest($1::bigint[]) AS key;

-- name: lock_attempts
-- Locks attempts that were started and whose lease no other replica has taken over.
SELECT e.effect_id FROM effect e
JOIN unnest($1::bytea[], $2::int[], $3::int[]) AS t (effect_id, shard, attempts)
  ON e.effect_id = t.effect_id AND e.shard = t.shard AND e.attempts = t.attempts
WHERE e.state + 0 = 2
ORDER BY e.effect_id FOR UPDATE OF e;

-- name: load_contacts
-- The messages of runs of some leaves that count for caps, and those that are open. One that was due
-- long ago waits for its destination, and no other one waits for it. `is_open`: it does not wait
-- for a time to come. Effects that are facts of the log, such as tasks and tags, are no messages.
SELECT effect_id, leaf_id, destination_id, journey_id, journey_version, step_id, purpose, priority,
       changed_at_us, valid_until_us, begun_at_us,
       state + 0 IN (1, 2) OR state + 0 = 8 AND due_at <= now() AS is_open
FROM effect
WHERE leaf_id = ANY($1::bytea[]) AND destination_id <> ''
  AND (begun_at_us > $2 AND state + 0 NOT IN (4, 5)
       OR state + 0 IN (1, 2, 7, 8) AND changed_at_us <= $3
          AND due_at > now() - interval '5 min');

-- name: load_awaited_looks
-- The looks that are due at an instant, by journey (empty = all) and leaf: what a look learns of a
-- person decides whether the person gets what was planned before.
SELECT journey_id, leaf_id FROM journey_due
WHERE workspace_id = $1 AND journey_id = ANY($2::text[]) AND leaf_id = ANY($3::bytea[])
  AND due_us <= $4;

-- name: begin_attempts
-- Begins attempts: their messages are fixed, and they count for caps from now on.
UPDATE effect e
SET payload = coalesce(e.payload, t.payload), begun_at_us = coalesce(e.begun_at_us, $6),
    channel_position = CASE WHEN e.payload IS NULL THEN $5 ELSE e.channel_position END,
    address_key = coalesce(e.address_key, nullif(t.address_key, '')),
    template_version = coalesce(e.template_version, t.template_version)
FROM unnest($1::bytea[], $2::int[], $3::bytea[], $4::bytea[], $7::int[])
    AS t (effect_id, shard, payload, address_key, template_version)
WHERE e.effect_id = t.effect_id AND e.shard = t.shard;

-- name: load_programs
-- Versions of journeys of a workspace.
SELECT payload FROM journey
WHERE workspace_id = $1
  AND (journey_id, version) IN (SELECT * FROM unnest($2::text[], $3::int[]));

-- name: load_addresses
-- What is known of some addresses of a workspace at an instant.
SELECT address_key, state FROM address
WHERE workspace_id = $1 AND address_key = ANY($2::bytea[])
  AND (until_us IS NULL OR until_us > $3);

-- name: save_dead_addresses
-- Records the addresses of effects as those to which nothing arrives.
INSERT INTO address (workspace_id, address_key, state)
SELECT DISTINCT workspace_id, address_key, $2 FROM effect
WHERE effect_id = ANY($1::bytea[]) AND address_key IS NOT NULL
ON CONFLICT (workspace_id, address_key) DO UPDATE SET state = excluded.state, until_us = NULL;

-- name: end_holds
-- Makes the held effects due whose time has come on the log's clock.
UPDATE effect SET due_at = now(), held_until_us = NULL
WHERE state = 8 AND held_until_us <= (SELECT max(log_time_us) FROM checkpoint);

-- name: end_pause
-- Makes the effects due that a pause of a journey or of a destination holds.
UPDATE effect SET due_at = now()
WHERE workspace_id = $1 AND state = 8 AND held_until_us IS NULL
  AND (journey_id = $2 OR destination_id = $3);
