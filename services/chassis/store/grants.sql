-- What the api role may do in the tables that every service has.

-- name: migrations
-- The region of its workspace.
GRANT SELECT ON access_workspace TO {api}

-- name: state
-- How far the state is, its digest, and which backfills run in its workspace.
GRANT SELECT ON checkpoint, digest, backfill TO {api}
