-- name: list_runs
-- Runs, those that began last first, before one; an empty filter matches all.
SELECT * FROM run
WHERE workspace_id = $1 AND (begun_at_us, run_id) < ($2, $3) AND ($4 = '' OR journey_id = $4)
  AND ($5 = 0 OR state = $5)
  AND ($6::bytea[] IS NULL OR leaf_id = ANY ($6::bytea[]))
ORDER BY begun_at_us DESC, run_id DESC LIMIT $7;

-- name: runs_after
-- Runs in the order in which they began, after one, of a period; 0 = without an end.
SELECT r.workspace_id, r.run_id, r.journey_id, r.leaf_id, r.begun_at_us, r.transitions,
       coalesce(u.published, r.number) AS published
FROM run r LEFT JOIN run_unpublished u USING (workspace_id, run_id)
WHERE r.workspace_id = $1 AND ($2 = '' OR r.journey_id = $2)
  AND (r.begun_at_us, r.run_id) > ($3, $4)
  AND ($5::bigint = 0 OR r.begun_at_us < $5)
ORDER BY r.begun_at_us, r.run_id LIMIT $6;

-- name: load_run
-- A run.
SELECT * FROM run WHERE workspace_id = $1 AND run_id = $2;

-- name: leaves_of_profile
-- The leaves of a profile that have facts of journeys.
SELECT DISTINCT leaf_id FROM leaf_profile l
WHERE workspace_id = $1 AND profile_id = $2 AND NOT EXISTS (
    SELECT FROM leaf_profile later
    WHERE later.workspace_id = l.workspace_id AND later.leaf_id = l.leaf_id
      AND later.version > l.version
);

-- name: load_run_effects
-- The effects of the runs of some leaves, the earliest first.
SELECT effect_id, run_id, leaf_id, step_id, visit, changed_at_us, destination_id, state, reason,
       begun_at_us, template_version
FROM effect WHERE workspace_id = $1 AND leaf_id = ANY ($2::bytea[]) AND run_id IS NOT NULL
ORDER BY changed_at_us, step_id, visit;

-- name: count_runs
-- The runs of a journey by state, end and step.
SELECT state, end_reason, step_id, count(*) AS count FROM run
WHERE workspace_id = $1 AND journey_id = $2 GROUP BY state, end_reason, step_id;

-- name: count_run_effects
-- The effects of the runs of a journey by step and state.
SELECT step_id, state, count(*) AS count FROM effect
WHERE workspace_id = $1 AND journey_id = $2 AND run_id IS NOT NULL
GROUP BY step_id, state ORDER BY step_id, state;

-- name: count_begun
-- The runs of a journey that began in a period, and how many of them a goal has ended.
SELECT journey_id, count(*) AS runs, count(*) FILTER (WHERE end_reason = 2) AS goals FROM run
WHERE workspace_id = $1 AND journey_id = $2 AND begun_at_us >= $3 AND begun_at_us < $4
GROUP BY journey_id;

-- name: count_results
-- What became of the messages of the runs of a journey that began in a period, by step. What
-- machines did does not count; whoever has clicked has opened the message.
SELECT e.step_id, count(*) FILTER (WHERE e.state + 0 IN (2, 3, 6, 9, 10)) AS sent,
       count(*) FILTER (WHERE e.state + 0 = 3) AS delivered,
       count(*) FILTER (WHERE e.state + 0 = 10) AS undelivered,
       count(*) FILTER (WHERE e.state + 0 = 5) AS suppressed,
       count(*) FILTER (WHERE p.what && '{opened,clicked}') AS opened,
       count(*) FILTER (WHERE 'clicked' = ANY (p.what)) AS clicked,
       count(*) FILTER (WHERE 'replied' = ANY (p.what)) AS replied,
       count(*) FILTER (WHERE 'complained' = ANY (p.what)) AS complained,
       count(*) FILTER (WHERE 'unsubscribed' = ANY (p.what)) AS unsubscribed
FROM run r
JOIN effect e ON e.workspace_id = r.workspace_id AND e.run_id = r.run_id AND e.leaf_id = r.leaf_id
CROSS JOIN LATERAL (
    SELECT array_agg(what) AS what FROM report WHERE effect_id = e.effect_id AND NOT is_machine
) p
WHERE r.workspace_id = $1 AND r.journey_id = $2 AND r.begun_at_us >= $3 AND r.begun_at_us < $4
  AND e.destination_id <> ''
GROUP BY e.step_id ORDER BY e.step_id;

-- name: count_unended
-- The runs of a workspace that have not ended, by journey and state.
SELECT journey_id, state, count(*) AS count FROM run
WHERE workspace_id = $1 AND ($2 = '' OR journey_id = $2) AND state < 3
GROUP BY journey_id, state;

-- name: count_unanswered
-- The looks for which an answer is missing, by journey.
SELECT journey_id, count(*) AS count FROM journey_due
WHERE workspace_id = $1 AND ($2 = '' OR journey_id = $2) AND retry_at IS NOT NULL
GROUP BY journey_id;

-- name: load_known_us
-- The instant up to which every shard has taken in the log.
SELECT min(log_time_us) - 1 FROM checkpoint;

-- name: find_problems
-- Runs with which something is wrong: 1 = nothing makes an open one go on, 2 = its due has passed
-- for long, 3 = its last transition may be missing in the log, 4 = its version is not defined.
SELECT r.*, p.problem
FROM run r
LEFT JOIN journey_due d USING (workspace_id, journey_id, leaf_id)
LEFT JOIN run_unpublished u ON u.workspace_id = r.workspace_id AND u.run_id = r.run_id
CROSS JOIN LATERAL (
    SELECT CASE
        WHEN u.run_id IS NOT NULL THEN 3
        WHEN NOT EXISTS (
            SELECT FROM journey j
            WHERE j.workspace_id = r.workspace_id AND j.journey_id = r.journey_id
              AND j.version = r.version
        ) THEN 4
        WHEN r.state = 1 AND d.due_us <= $3 AND d.retry_at IS NULL THEN 2
        WHEN r.state = 1 AND d.due_us IS NULL AND NOT EXISTS (
            SELECT FROM leaf_profile l
            JOIN leaf_profile o USING (workspace_id, profile_id)
            JOIN journey_due other
              ON other.workspace_id = o.workspace_id AND other.leaf_id = o.leaf_id
             AND other.journey_id = r.journey_id
            WHERE l.workspace_id = r.workspace_id AND l.leaf_id = r.leaf_id
        ) THEN 1
    END AS problem
) p
WHERE r.workspace_id = $1 AND ($2 = '' OR r.journey_id = $2)
  AND (r.state < 3 OR u.run_id IS NOT NULL) AND p.problem IS NOT NULL
ORDER BY r.begun_at_us LIMIT 1000;
