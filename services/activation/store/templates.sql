-- name: save_template
-- Saves a version of a template unless the shard has a newer one.
INSERT INTO template (shard, workspace_id, template_id, version, payload)
VALUES ($1, $2, $3, $4, $5)
ON CONFLICT (workspace_id, template_id, shard) DO UPDATE
SET version = excluded.version, payload = excluded.payload
WHERE template.version < excluded.version;

-- name: load_template
-- The newest version of a template on any shard.
SELECT payload FROM template WHERE workspace_id = $1 AND template_id = $2
ORDER BY version DESC LIMIT 1;

-- name: load_templates
-- The templates of a workspace.
SELECT DISTINCT ON (template_id) payload FROM template
WHERE workspace_id = $1 ORDER BY template_id, version DESC;
