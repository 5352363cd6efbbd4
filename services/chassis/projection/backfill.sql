-- name: schedule_backfill
-- Adds jobs, or restarts those that have the same or an older version; they may keep their cursor.
INSERT INTO backfill (shard, name, workspace_id, version, blocking)
SELECT shard, $2, $3, $4, $5 FROM unnest($1::int[]) AS shard ORDER BY shard
ON CONFLICT (shard, name, workspace_id) DO UPDATE
SET version = excluded.version, run = excluded.run,
    cursor = CASE WHEN $6::boolean THEN '' ELSE backfill.cursor END,
    blocking = backfill.blocking OR excluded.blocking
WHERE backfill.version <= excluded.version

-- name: load_next_backfill
-- The job of a shard that makes the next step, and how many blocking jobs the shard has. The jobs
-- take turns, so none waits for the end of another. A new job goes first: in a small workspace its first
-- step is the only one. Of the others, every second step is one of a blocking job.
SELECT name, workspace_id, version, cursor, blocking, run,
       count(*) FILTER (WHERE blocking) OVER () AS blocking_jobs
FROM backfill WHERE shard = $1
ORDER BY last_step = 0 DESC,
         blocking = (SELECT mod(max(last_step), 2) = 0 FROM backfill WHERE shard = $1) DESC,
         last_step, run
LIMIT 1

-- name: move_backfill
-- Saves the cursor of a job, unless the job was requested again.
UPDATE backfill
SET cursor = $3, last_step = 1 + (SELECT max(last_step) FROM backfill WHERE shard = $1)
WHERE shard = $1 AND run = $2

-- name: end_backfill
-- Removes a job and returns true, unless it was requested again.
DELETE FROM backfill WHERE shard = $1 AND run = $2 RETURNING true

-- name: load_backlog
-- The newest request of a shard, and whether a job blocks it.
SELECT coalesce(max(run), 0) AS newest_run, coalesce(bool_or(blocking), false) AS is_blocked
FROM backfill WHERE shard = $1

-- name: is_backfilling
-- Whether any shard has a job (of this name, if given; of this workspace, if given).
SELECT EXISTS (
    SELECT FROM backfill
    WHERE ($1::text IS NULL OR name = $1) AND ($2::text IS NULL OR workspace_id IN ($2, ''))
)

-- name: load_shards_with_backfill
-- The shards that have jobs.
SELECT DISTINCT shard FROM backfill ORDER BY shard
