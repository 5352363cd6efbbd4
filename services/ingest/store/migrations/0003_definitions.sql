-- Workspaces, sources and keys, folded from the log. To fold all of them again, empty the tables and
-- set `definition_checkpoint.next` to 0.

CREATE TABLE workspace (
    workspace_id text PRIMARY KEY,
    title text NOT NULL,
    -- The region in which phone numbers without a country code are dialled; empty = CN.
    default_region text NOT NULL
);

CREATE TABLE source (
    workspace_id text NOT NULL,
    source_id text NOT NULL,
    title text NOT NULL,
    channel text NOT NULL,
    version bigint NOT NULL,
    disabled boolean NOT NULL,
    -- As onefold.type.v1.SourceTrust.
    trust smallint NOT NULL,
    -- What its events may contain; empty = anything.
    allowed_namespaces text [] NOT NULL,
    allowed_event_names text [] NOT NULL,
    allowed_traits text [] NOT NULL,
    -- 0 = the default of the trust.
    max_age_days integer NOT NULL,
    -- As onefold.type.v1.Party.
    party smallint NOT NULL,
    PRIMARY KEY (workspace_id, source_id)
);

-- The keys as they are listed; calls are authenticated by `access_key`.
CREATE TABLE api_key (
    workspace_id text NOT NULL,
    key_id text NOT NULL,
    key_hash bytea NOT NULL,
    role smallint NOT NULL,
    source_id text NOT NULL,
    title text NOT NULL,
    version bigint NOT NULL,
    disabled boolean NOT NULL,
    created_at_us bigint NOT NULL,
    -- 0 = never.
    expires_at_us bigint NOT NULL,
    -- Separated by spaces; empty = any.
    allowed_origins text NOT NULL,
    allowed_addresses text NOT NULL,
    bootstrap boolean NOT NULL,
    PRIMARY KEY (workspace_id, key_id)
);

-- The day on which each key was last accepted by any service, as the number of days since 1970-01-01.
-- It is no fact: it is counted from calls, and not folded from the log.
CREATE TABLE key_use (
    workspace_id text NOT NULL,
    key_id text NOT NULL,
    last_day integer NOT NULL,
    PRIMARY KEY (workspace_id, key_id)
);

-- The offset in shard 0 up to which these tables are folded. One row. (Definitions are broadcast
-- facts, so one shard has all of them.)
CREATE TABLE definition_checkpoint (
    one boolean PRIMARY KEY DEFAULT true CHECK (one),
    next bigint NOT NULL
);
INSERT INTO definition_checkpoint (next) VALUES (0);
