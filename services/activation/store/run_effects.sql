-- name: add_planned
-- Adds effects of runs to the ledger, in the state PLANNED. An effect that its run has withdrawn is
-- planned again; every other one stays as it is.
INSERT INTO effect AS e (shard, effect_id, workspace_id, destination_id, profile_id, changed_at_us,
                         run_id, journey_id, journey_version, step_id, visit, leaf_id, purpose,
                         priority, valid_until_us, variables, state, segment_id, trigger, ordinal)
SELECT t.*, 7, '', 0, 0
FROM unnest($1::int[], $2::bytea[], $3::text[], $4::text[], $5::bytea[], $6::bigint[], $7::bytea[],
            $8::text[], $9::int[], $10::text[], $11::int[], $12::bytea[], $13::text[],
            $14::smallint[], $15::bigint[], $16::bytea[]) AS t
ON CONFLICT (effect_id, shard) DO UPDATE
SET state = 7, withdrawn = false, reason = '', ended_at = NULL,
    destination_id = EXCLUDED.destination_id, profile_id = EXCLUDED.profile_id,
    changed_at_us = EXCLUDED.changed_at_us, journey_version = EXCLUDED.journey_version,
    purpose = EXCLUDED.purpose, priority = EXCLUDED.priority,
    valid_until_us = EXCLUDED.valid_until_us, variables = EXCLUDED.variables,
    outcome_published = false
WHERE e.withdrawn;

-- name: release
-- Makes planned effects due, as the log has the transitions that ask for them.
WITH locked AS (
    SELECT effect_id, shard FROM effect
    WHERE (effect_id, shard) IN (SELECT * FROM unnest($1::bytea[], $2::int[])) AND state + 0 = 7
    ORDER BY effect_id FOR UPDATE
)
UPDATE effect e SET state = 1, due_at = now() FROM locked t
WHERE e.effect_id = t.effect_id AND e.shard = t.shard
RETURNING e.workspace_id, e.destination_id;

-- name: withdraw
-- Ends effects that do not follow any more, and of which no attempt has begun. Their transition is
-- in the log, so their end is no fact of its own.
WITH locked AS (
    SELECT effect_id, shard FROM effect
    WHERE (effect_id, shard) IN (SELECT * FROM unnest($1::bytea[], $2::int[]))
      AND state + 0 IN (1, 2, 7, 8) AND begun_at_us IS NULL
    ORDER BY effect_id FOR UPDATE
)
UPDATE effect e
SET state = 5, withdrawn = true, reason = $3, ended_at = now(), outcome_published = true
FROM locked t WHERE e.effect_id = t.effect_id AND e.shard = t.shard
RETURNING e.effect_id;

-- name: lock_persons
-- Locks persons until the transaction ends, by ascending keys.
SELECT count(pg_advisory_xact_lock(key)) FROM unnest($1::bigint[]) AS key;

-- name: lock_open
-- Locks the effects of runs of which no attempt has begun, so that none begins.
SELECT effect_id FROM effect
WHERE leaf_id = ANY($1::bytea[]) AND begun_at_us IS NULL AND state + 0 IN (1, 2, 7, 8)
ORDER BY effect_id FOR UPDATE;

-- name: load_begun
-- The effects of runs of which an attempt has begun.
SELECT run_id, step_id, visit FROM effect
WHERE leaf_id = ANY($1::bytea[]) AND begun_at_us IS NOT NULL;
