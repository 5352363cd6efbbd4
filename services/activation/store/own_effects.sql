-- name: begin_own_effects
-- Begins the effects of runs that are facts of the log and have no receiver outside.
UPDATE effect e
SET state = 2, attempts = e.attempts + 1, begun_at_us = coalesce(e.begun_at_us, $1),
    due_at = now() + interval '60 s'
FROM (
    SELECT effect_id, shard FROM effect
    WHERE destination_id = '' AND state IN (1, 2) AND due_at <= now()
    ORDER BY effect_id LIMIT $2 FOR UPDATE SKIP LOCKED
) due
WHERE e.effect_id = due.effect_id AND e.shard = due.shard
RETURNING e.effect_id, e.shard, e.workspace_id, e.leaf_id, e.journey_id, e.journey_version,
          e.step_id, e.changed_at_us, e.run_id, e.variables;

-- name: end_own_effects
-- Records how effects have ended.
UPDATE effect e SET state = t.state, reason = t.reason, ended_at = now()
FROM unnest($1::bytea[], $2::int[], $3::smallint[], $4::text[]) AS t (effect_id, shard, state, reason)
WHERE e.effect_id = t.effect_id AND e.shard = t.shard AND e.state + 0 = 2;

-- name: load_facts_of_runs
-- The effects of some runs that are facts of the log, as far as they were not withdrawn.
SELECT run_id, step_id, effect_id FROM effect
WHERE leaf_id = ANY ($1::bytea[]) AND run_id = ANY ($2::bytea[]) AND destination_id = ''
  AND state + 0 IN (1, 2, 3)
ORDER BY effect_id;

-- name: load_depth
-- How many journeys have begun each other up to a run: the fact of an entry is an effect.
WITH RECURSIVE chain (run_id, depth) AS (
    SELECT $2::bytea, 1
    UNION ALL
    SELECT e.run_id, c.depth + 1
    FROM chain c
    JOIN run r ON r.workspace_id = $1 AND r.run_id = c.run_id
    JOIN effect e ON e.effect_id = r.entry_fact_id AND e.workspace_id = $1
    WHERE c.depth < $3
)
SELECT max(depth) FROM chain;
