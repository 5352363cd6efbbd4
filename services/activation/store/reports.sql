-- name: find_effects
-- The effects of a destination by their ids.
SELECT effect_id, leaf_id, profile_id, run_id, journey_id, step_id, purpose, address_key,
       begun_at_us, payload
FROM effect WHERE workspace_id = $1 AND destination_id = $2 AND effect_id = ANY($3::bytea[]);

-- name: find_by_addresses
-- The last effect of a destination to each of some addresses.
SELECT DISTINCT ON (address_key)
       effect_id, leaf_id, profile_id, run_id, journey_id, step_id, purpose, address_key,
       begun_at_us, payload
FROM effect
WHERE workspace_id = $1 AND destination_id = $2 AND address_key = ANY($3::bytea[])
ORDER BY address_key, begun_at_us DESC NULLS LAST;

-- name: save
-- Saves reports, each once; returns the new ones.
INSERT INTO report (fact_id, workspace_id, destination_id, effect_id, leaf_id, run_id, journey_id,
                    step_id, what, at_us, is_machine, reason, is_hard)
SELECT t.* FROM unnest($1::bytea[], $2::text[], $3::text[], $4::bytea[], $5::bytea[], $6::bytea[],
                       $7::text[], $8::text[], $9::text[], $10::bigint[], $11::boolean[],
                       $12::text[], $13::boolean[]) AS t
ON CONFLICT DO NOTHING
RETURNING fact_id;

-- name: restore
-- Saves reports that are facts of the log already.
INSERT INTO report (fact_id, workspace_id, destination_id, effect_id, leaf_id, run_id, journey_id,
                    step_id, what, at_us, is_machine, reason, is_hard, published)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, false, true)
ON CONFLICT DO NOTHING;

-- name: apply
-- Sets the states of effects that a provider has reported of. A message that has arrived stays so,
-- whichever report comes last.
UPDATE effect e SET state = t.state, reason = coalesce(nullif(t.reason, ''), e.reason), ended_at = coalesce(e.ended_at, now()),
                    unanswered = false
FROM unnest($1::bytea[], $2::smallint[], $3::text[]) AS t (effect_id, state, reason)
WHERE e.effect_id = t.effect_id
  AND (e.state + 0 IN (2, 6, 9) OR e.state + 0 = 1 AND e.unanswered
       OR e.state + 0 = 10 AND t.state = 3);

-- name: save_address
-- Records what reports say of an address; a state without an end stays.
INSERT INTO address (workspace_id, address_key, state, until_us, bounces)
VALUES ($1, $2, $3, $4, $5)
ON CONFLICT (workspace_id, address_key) DO UPDATE
SET state = CASE WHEN address.state <> '' AND address.until_us IS NULL THEN address.state
                 ELSE excluded.state END,
    until_us = CASE WHEN address.state <> '' AND address.until_us IS NULL THEN NULL
                    ELSE excluded.until_us END,
    bounces = excluded.bounces;

-- name: lock_address
-- Locks an address of a workspace, and returns when messages to it bounced.
SELECT bounces FROM address WHERE workspace_id = $1 AND address_key = $2 FOR UPDATE;

-- name: load_unpublished
-- Reports that are no facts of the log yet.
SELECT fact_id, workspace_id, destination_id, effect_id, leaf_id, run_id, journey_id, step_id, what,
       at_us, is_machine, reason
FROM report WHERE NOT published ORDER BY fact_id LIMIT $1;

-- name: mark_published
-- Records that reports are facts of the log.
UPDATE report SET published = true WHERE fact_id = ANY($1::bytea[]);

-- name: count_unwanted
-- Of the last messages of a destination: how many there are, and of how many people complained or
-- the address does not exist.
SELECT count(*) AS messages,
       count(*) FILTER (WHERE EXISTS (
           SELECT FROM report r WHERE r.effect_id = last.effect_id AND r.what = 'complained'
       )) AS complaints,
       count(*) FILTER (WHERE EXISTS (
           SELECT FROM report r WHERE r.effect_id = last.effect_id AND r.is_hard
       )) AS bounces
FROM (
    SELECT effect_id FROM effect
    WHERE workspace_id = $1 AND destination_id = $2 AND state IN (3, 9, 10)
    ORDER BY changed_at_us DESC LIMIT $3
) last;
