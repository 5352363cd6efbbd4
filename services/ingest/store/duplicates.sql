-- name: add_totals
-- Adds repeats to the totals of their sources; rows are sorted, so that two replicas cannot deadlock.
INSERT INTO duplicate_total AS old (workspace_id, source_id, repeats, first_at, last_at)
SELECT * FROM unnest($1::text [], $2::text [], $3::bigint [], $4::bigint [], $5::bigint [])
    AS new (workspace_id, source_id, repeats, first_at, last_at)
ORDER BY new.workspace_id, new.source_id
ON CONFLICT (workspace_id, source_id) DO UPDATE
    SET repeats = old.repeats + excluded.repeats,
        first_at = least(old.first_at, excluded.first_at),
        last_at = greatest(old.last_at, excluded.last_at)

-- name: add_messages
-- Adds repeats to their messages; a source has new ones up to a number of rows. Call this while the
-- totals of the sources are locked.
WITH sent AS MATERIALIZED (
    SELECT
        s.*,
        EXISTS (
            SELECT FROM duplicate AS d
            WHERE d.workspace_id = s.workspace_id AND d.source_id = s.source_id
            AND d.fact_id = s.fact_id
        ) AS is_known
    FROM unnest(
        $1::text [], $2::text [], $3::bytea [], $4::bigint [], $5::bigint [], $6::bigint []
    ) AS s (workspace_id, source_id, fact_id, repeats, first_at, last_at)
), room AS MATERIALIZED (
    SELECT s.workspace_id, s.source_id, $7::bigint - (
        SELECT count(*) FROM (
            SELECT FROM duplicate AS d
            WHERE d.workspace_id = s.workspace_id AND d.source_id = s.source_id
            LIMIT $7::bigint
        ) AS stored
    ) AS rows
    FROM (SELECT DISTINCT sent.workspace_id, sent.source_id FROM sent) AS s
), ranked AS (
    SELECT sent.*, row_number()
        OVER (PARTITION BY sent.workspace_id, sent.source_id, sent.is_known) AS rank
    FROM sent
)
INSERT INTO duplicate AS old (workspace_id, source_id, fact_id, repeats, first_at, last_at)
SELECT r.workspace_id, r.source_id, r.fact_id, r.repeats, r.first_at, r.last_at
FROM ranked AS r INNER JOIN room USING (workspace_id, source_id)
WHERE r.is_known OR r.rank <= room.rows
ON CONFLICT (workspace_id, source_id, fact_id) DO UPDATE
    SET repeats = old.repeats + excluded.repeats,
        first_at = least(old.first_at, excluded.first_at),
        last_at = greatest(old.last_at, excluded.last_at)

-- name: delete_older
-- Deletes some messages that were not sent again since an instant.
DELETE FROM duplicate WHERE (workspace_id, source_id, fact_id) IN (
    SELECT oldest.workspace_id, oldest.source_id, oldest.fact_id FROM duplicate AS oldest
    WHERE oldest.last_at < $1 ORDER BY oldest.last_at LIMIT $2
)

-- name: page
-- Reads messages of a workspace, those that were sent again last first, after a sort key.
SELECT source_id, fact_id, repeats, first_at, last_at FROM duplicate
WHERE workspace_id = $1 AND (last_at, fact_id) < ($2, $3) AND ($4 = '' OR source_id = $4)
ORDER BY last_at DESC, fact_id DESC
LIMIT $5

-- name: totals
-- Reads the totals of the sources of a workspace.
SELECT source_id, repeats, first_at, last_at FROM duplicate_total
WHERE workspace_id = $1 ORDER BY source_id
