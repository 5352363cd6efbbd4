-- name: save_template
-- Saves a version of a template.
INSERT INTO template (workspace_id, template_id, version, payload) VALUES ($1, $2, $3, $4)
ON CONFLICT DO NOTHING;

-- name: load_template
-- A version of a template; 0 = the newest one.
SELECT payload FROM template
WHERE workspace_id = $1 AND template_id = $2 AND ($3 = 0 OR version = $3)
ORDER BY version DESC LIMIT 1;

-- name: load_templates
-- The templates of a workspace in their newest versions.
SELECT DISTINCT ON (template_id) payload FROM template
WHERE workspace_id = $1 ORDER BY template_id, version DESC;
