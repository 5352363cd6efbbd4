-- name: save_erased_rows
-- Saves what a shard has deleted of a person; what is saved stays.
INSERT INTO erased_rows (workspace_id, request_id, shard, kinds, numbers)
VALUES ($1, $2, $3, $4, $5)
ON CONFLICT DO NOTHING

-- name: load_erased_rows
-- What all shards have deleted of persons, where each shard has come to the erasure.
SELECT e.workspace_id, e.request_id, e.kinds, e.numbers FROM erased_rows AS e
INNER JOIN (
    SELECT workspace_id, request_id FROM erased_rows
    GROUP BY workspace_id, request_id HAVING count(*) >= $1
    ORDER BY workspace_id, request_id LIMIT $2
) AS whole USING (workspace_id, request_id)

-- name: delete_erased_rows
-- Deletes what the log has.
DELETE FROM erased_rows USING unnest($1::text[], $2::bytea[]) AS t (workspace_id, request_id)
WHERE erased_rows.workspace_id = t.workspace_id AND erased_rows.request_id = t.request_id
