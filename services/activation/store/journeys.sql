-- name: save_journey
-- Saves a version of a journey.
INSERT INTO journey (workspace_id, journey_id, version, defined_at_us, payload)
VALUES ($1, $2, $3, $4, $5) ON CONFLICT DO NOTHING;

-- name: load_journeys
-- Every version of each journey of some workspaces.
SELECT workspace_id, version, defined_at_us, payload FROM journey
WHERE workspace_id = ANY ($1::text[]) ORDER BY workspace_id, journey_id, version;

-- name: load_journeys_of_workspace
-- Every version of each journey of a workspace.
SELECT workspace_id, version, defined_at_us, payload FROM journey
WHERE workspace_id = $1 ORDER BY journey_id, version;

-- name: load_payloads
-- Every version of all journeys.
SELECT payload FROM journey;

-- name: save_flow
-- Saves a pause, a resumption or a stop.
INSERT INTO flow_change (workspace_id, kind, id, version, flow, overdue, changed_at_us)
VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT DO NOTHING;

-- name: load_flows
-- Every pause, resumption and stop of some workspaces, of one kind.
SELECT workspace_id, id, version, flow, overdue, changed_at_us FROM flow_change
WHERE workspace_id = ANY ($1::text[]) AND kind = $2 ORDER BY workspace_id, id, version;

-- name: load_flows_of_workspace
-- Every pause, resumption and stop of a workspace, of one kind.
SELECT workspace_id, id, version, flow, overdue, changed_at_us FROM flow_change
WHERE workspace_id = $1 AND kind = $2 ORDER BY id, version;

-- name: save_contact_policy
-- Saves a version of a contact policy.
INSERT INTO contact_policy (workspace_id, version, defined_at_us, payload) VALUES ($1, $2, $3, $4)
ON CONFLICT DO NOTHING;

-- name: load_contact_policies
-- The contact policies of some workspaces at an instant.
SELECT DISTINCT ON (workspace_id) workspace_id, payload FROM contact_policy
WHERE workspace_id = ANY ($1::text[]) AND defined_at_us <= $2 ORDER BY workspace_id, version DESC;

-- name: load_contact_policy
-- The contact policy of a workspace at an instant.
SELECT workspace_id, payload FROM contact_policy
WHERE workspace_id = $1 AND defined_at_us <= $2 ORDER BY version DESC LIMIT 1;

-- name: load_policy_versions
-- All versions of the contact policy of a workspace.
SELECT defined_at_us, payload FROM contact_policy WHERE workspace_id = $1 ORDER BY version;
