-- name: save_dashboard
-- Saves a version of a dashboard unless there is a newer one.
INSERT INTO dashboard (workspace_id, dashboard_id, version, payload) VALUES ($1, $2, $3, $4)
ON CONFLICT (workspace_id, dashboard_id) DO UPDATE
SET version = excluded.version, payload = excluded.payload
WHERE dashboard.version < excluded.version;

-- name: list_dashboards
-- The dashboards of a workspace.
SELECT payload FROM dashboard WHERE workspace_id = $1 ORDER BY dashboard_id;
