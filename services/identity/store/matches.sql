-- name: load_matches
-- The stored assessments of pairs.
SELECT match.a, match.b, occurred_at_us, fact_id, message
FROM unnest($1::bytea[], $2::bytea[]) AS requested (a, b)
JOIN match ON match.a = requested.a AND match.b = requested.b

-- name: save_matches
-- Saves assessments in place of earlier ones. Only the worker of their shard writes them.
INSERT INTO match
    (shard, a, b, workspace_id, occurred_at_us, fact_id, assessment, purposes, message)
SELECT shard, a, b, workspace_id, occurred_at_us, fact_id, assessment,
    string_to_array(purposes, E'\n'), message
FROM unnest($1::integer[], $2::bytea[], $3::bytea[], $4::text[], $5::bigint[], $6::bytea[],
    $7::smallint[], $8::text[], $9::bytea[])
    AS saved (shard, a, b, workspace_id, occurred_at_us, fact_id, assessment, purposes, message)
ON CONFLICT (a, b, shard) DO UPDATE
SET occurred_at_us = excluded.occurred_at_us, fact_id = excluded.fact_id,
    assessment = excluded.assessment, purposes = excluded.purposes, message = excluded.message

-- name: list_matches
-- The matches of a workspace after a pair, of one assessment or (null) of all.
SELECT a, b, message FROM match
WHERE workspace_id = $1 AND ($2::smallint IS NULL OR assessment = $2) AND (a, b) > ($3, $4)
ORDER BY a, b LIMIT $5

-- name: load_assessments
-- The assessments of pairs in a workspace, and their facts.
SELECT match.a, match.b, fact_id, message
FROM unnest($1::bytea[], $2::bytea[]) AS requested (a, b)
JOIN match ON match.a = requested.a AND match.b = requested.b
WHERE workspace_id = $3

-- name: load_accepted
-- The matches at some identifiers that are accepted for a purpose.
SELECT a, b, occurred_at_us, fact_id FROM match
WHERE workspace_id = $1 AND assessment = 1 AND $2 = ANY (purposes)
  AND (a = ANY ($3::bytea[]) OR b = ANY ($3::bytea[]))
