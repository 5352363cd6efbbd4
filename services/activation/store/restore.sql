-- name: restore_ends
-- Records the ends of effects that the log has; of one that has several ends the last one counts.
INSERT INTO effect AS e (shard, effect_id, workspace_id, destination_id, segment_id, profile_id,
                         trigger, ordinal, changed_at_us, state, attempts, reason, begun_at_us,
                         ended_at, outcome_published, payload_deleted)
SELECT t.shard, t.effect_id, t.workspace_id, t.destination_id, t.segment_id, t.profile_id, 0, 0,
       t.recorded_at_us, t.state, t.attempts, t.reason, nullif(t.begun_at_us, 0), now(), true, true
FROM unnest($1::int[], $2::bytea[], $3::text[], $4::text[], $5::text[], $6::bytea[], $7::bigint[],
            $8::smallint[], $9::int[], $10::text[], $11::bigint[])
    AS t (shard, effect_id, workspace_id, destination_id, segment_id, profile_id, recorded_at_us,
          state, attempts, reason, begun_at_us)
ON CONFLICT (effect_id, shard) DO UPDATE
SET state = excluded.state, attempts = excluded.attempts, reason = excluded.reason,
    begun_at_us = excluded.begun_at_us, ended_at = now(), outcome_published = true,
    payload_deleted = true
WHERE e.attempts <= excluded.attempts;

-- name: mark_unknown
-- Records that effects without an end may have been sent.
UPDATE effect e
SET state = 2, attempts = greatest(e.attempts, 1), unanswered = true, due_at = now(),
    begun_at_us = coalesce(e.begun_at_us, e.changed_at_us)
FROM unnest($1::bytea[], $2::int[]) AS t (effect_id, shard)
WHERE e.effect_id = t.effect_id AND e.shard = t.shard AND e.state + 0 IN (1, 7);
