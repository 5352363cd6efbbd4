-- The default region of each workspace: where numbers without a country code are dialled. The standard
-- form of an identifier depends on it, and so every service knows it.
CREATE TABLE access_workspace (
    workspace_id text PRIMARY KEY,
    default_region text NOT NULL
);
