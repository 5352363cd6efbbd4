-- name: list_lease_locks
-- The sessions that hold locks of a lease: the shard, the process id in the server, and the replica.
SELECT l.objid::bigint AS shard, l.pid, coalesce(a.application_name, '') AS replica
FROM pg_locks AS l LEFT JOIN pg_stat_activity AS a ON a.pid = l.pid
WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 2
  AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
  AND l.classid::bigint = $1::int::bigint & 4294967295

-- name: join_group
-- Becomes a member of the group of replicas, for as long as the session lives.
SELECT pg_advisory_lock_shared($1, $2)

-- name: lock_shard
-- Waits for the lock of a shard and holds it for as long as the session lives.
SELECT pg_advisory_lock($1, $2)

-- name: end_session
-- Ends the session of a replica that left the group, if it still is that session.
SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid = $1 AND application_name = $2
