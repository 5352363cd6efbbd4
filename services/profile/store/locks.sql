-- name: lock
-- Locks keys in the order given, so that no two workers wait for each other in a cycle.
SELECT count(pg_advisory_xact_lock(key)) FROM unnest($1::bigint[]) AS key

-- name: try_lock
-- Locks keys unless another transaction holds one of them.
SELECT coalesce(bool_and(pg_try_advisory_xact_lock(key)), true) FROM unnest($1::bigint[]) AS key
