-- name: begin_life
-- Begins a life of a shard at the next output of its projection.
INSERT INTO stream_life (shard, life, first, timeline)
SELECT shard, $2, next_output, database_timeline()
FROM (SELECT shard, next_output FROM checkpoint WHERE shard = $1 FOR UPDATE) AS locked

-- name: load_life
-- The newest life of a shard.
SELECT life FROM stream_life WHERE shard = $1 ORDER BY number DESC LIMIT 1

-- name: load_life_end
-- Whether a shard has a life, and where that ended; NULL while it goes on.
SELECT known.life IS NOT NULL AS is_known, (
    SELECT min(later.first) FROM stream_life AS later
    WHERE later.shard = $1 AND later.number > known.number
) AS ended_at, newest.life AS newest, newest.timeline = database_timeline() AS is_current
FROM (
    SELECT life, timeline FROM stream_life WHERE shard = $1 ORDER BY number DESC LIMIT 1
) AS newest
LEFT JOIN stream_life AS known ON known.shard = $1 AND known.life = $2
