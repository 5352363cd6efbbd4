-- name: load_workspaces
-- The workspaces that have journeys.
SELECT DISTINCT workspace_id FROM journey;

-- name: load_last
-- The last occurrence of each schedule.
SELECT DISTINCT ON (workspace_id, journey_id) workspace_id, journey_id, occurs_us, page_token, taken,
       is_complete
FROM schedule_occurrence ORDER BY workspace_id, journey_id, occurs_us DESC;

-- name: add_occurrence
-- Adds an occurrence of a schedule.
INSERT INTO schedule_occurrence (workspace_id, journey_id, occurs_us) VALUES ($1, $2, $3)
ON CONFLICT DO NOTHING;

-- name: take_page
-- Records that a page of members has begun, unless another replica has taken it.
UPDATE schedule_occurrence
SET page_token = $5, taken = taken + $6, is_complete = $5 = ''
WHERE workspace_id = $1 AND journey_id = $2 AND occurs_us = $3 AND page_token = $4
  AND NOT is_complete
RETURNING taken;
