-- name: synchronous_commit
-- The durability of the session's commits.
SELECT current_setting('synchronous_commit')

-- name: end_hung_sessions
-- Ends the sessions of this role that have waited inside a COPY for the data of their client.
SELECT pid, pg_terminate_backend(pid) AS ended FROM pg_stat_activity
WHERE usename = current_user AND datname = current_database() AND pid <> pg_backend_pid()
  AND state = 'active' AND wait_event = 'ClientRead' AND query LIKE 'COPY %'
  AND query_start < clock_timestamp() - make_interval(secs => $1)
