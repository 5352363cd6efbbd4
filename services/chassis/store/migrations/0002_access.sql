-- Who may call: the keys and sources of all workspaces, folded from the log by every service.
CREATE TABLE access_key (
    key_hash bytea PRIMARY KEY,
    key_id text NOT NULL,
    workspace_id text NOT NULL,
    role smallint NOT NULL,
    source_id text NOT NULL,
    version bigint NOT NULL,
    disabled boolean NOT NULL,
    -- Unix microseconds; 0 = never.
    expires_at_us bigint NOT NULL DEFAULT 0,
    -- Separated by spaces; empty = any.
    allowed_origins text NOT NULL DEFAULT '',
    allowed_addresses text NOT NULL DEFAULT ''
);

-- A source can be disabled as a whole; its keys are refused then.
CREATE TABLE access_source (
    workspace_id text NOT NULL,
    source_id text NOT NULL,
    version bigint NOT NULL,
    disabled boolean NOT NULL,
    PRIMARY KEY (workspace_id, source_id)
);

-- The default region of each workspace: the country of numbers without a country code. The canonical
-- form of an identifier depends on it, so every service has it.
CREATE TABLE access_workspace (
    workspace_id text PRIMARY KEY,
    default_region text NOT NULL
);

-- Which fields of a workspace are personal or sensitive. Both columns are JSON objects: by namespace,
-- and by the name of a trait or a property, the number of onefold.type.v1.FieldClass.
CREATE TABLE access_field_classes (
    workspace_id text PRIMARY KEY,
    version bigint NOT NULL,
    identifiers text NOT NULL,
    names text NOT NULL
);
