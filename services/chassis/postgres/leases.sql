-- name: list_lease_locks
-- The sessions that hold locks of a lease: the shard, and the process id in the server.
SELECT objid::bigint AS shard, pid FROM pg_locks
WHERE locktype = 'advisory' AND granted AND objsubid = 2
  AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
  AND classid::bigint = $1::int::bigint & 4294967295

-- name: join_group
-- Becomes a member of the group of replicas, for as long as the session lives.
SELECT pg_advisory_lock_shared($1, $2)

-- name: lock_shard
-- Waits for the lock of a shard and holds it for as long as the session lives.
SELECT pg_advisory_lock($1, $2)
