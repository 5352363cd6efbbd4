-- name: list_relations
-- The tables and views of a schema, and which have rows of single workspaces.
SELECT c.relname::text AS name, c.relkind = 'v' AS is_view, EXISTS (
    SELECT FROM pg_attribute AS a
    WHERE a.attrelid = c.oid AND a.attname = 'workspace_id' AND NOT a.attisdropped
) AS has_workspace
FROM pg_class AS c
WHERE c.relnamespace = $1::text::regnamespace AND c.relkind IN ('r', 'p', 'v') ORDER BY c.relname

-- name: load_applied_isolation
-- The checksum of the statements that were run on a schema last.
SELECT obj_description($1::text::regnamespace, 'pg_namespace')

-- name: load_rights
-- What the role of a session may do beyond its grants: ignore policies, or act as a schema's owner.
SELECT current_user::text AS name, r.rolsuper AS is_superuser,
    r.rolsuper OR r.rolbypassrls AS bypasses_policies, EXISTS (
        SELECT FROM pg_namespace AS n
        WHERE n.nspname = $1 AND pg_has_role(current_user, n.nspowner, 'MEMBER')
    ) AS is_owner
FROM pg_roles AS r WHERE r.rolname = current_user
