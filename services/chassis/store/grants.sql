-- What the api role may do in the tables that every service has.

-- name: migrations
-- The region and the field classes of its workspace.
GRANT SELECT ON access_workspace, access_field_classes TO {api};
-- Callers read the audit; entries are added by the fold role, and changed by none.
GRANT SELECT ON audit_entry, audit_head TO {api};
REVOKE UPDATE, DELETE ON audit_entry FROM {fold}

-- name: state
-- How far the state is, its digest, and which backfills run in its workspace.
GRANT SELECT ON checkpoint, digest, backfill TO {api}
