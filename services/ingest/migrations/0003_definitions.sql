-- Workspaces, sources and keys as the log tells them. All of it can be folded again from the log:
-- empty the tables and set `folded.next` to 0.

CREATE TABLE workspace (
    workspace_id text PRIMARY KEY,
    title text NOT NULL
);

CREATE TABLE source (
    workspace_id text NOT NULL,
    source_id text NOT NULL,
    title text NOT NULL,
    channel text NOT NULL,
    version bigint NOT NULL,
    disabled boolean NOT NULL,
    PRIMARY KEY (workspace_id, source_id)
);

-- The keys for people to look at; `access_key` is what opens doors.
CREATE TABLE issued_key (
    workspace_id text NOT NULL,
    key_id text NOT NULL,
    key_hash bytea NOT NULL,
    role smallint NOT NULL,
    source_id text NOT NULL,
    title text NOT NULL,
    version bigint NOT NULL,
    disabled boolean NOT NULL,
    PRIMARY KEY (workspace_id, key_id)
);

-- How far shard 0 was folded into these tables. (Definitions are in every shard; one is enough.)
CREATE TABLE folded (
    one boolean PRIMARY KEY DEFAULT true CHECK (one),
    next bigint NOT NULL
);
INSERT INTO folded (next) VALUES (0);

-- Facts that concern no person are few, and are looked for on their own.
CREATE INDEX fact_without_leaf ON fact (shard, "offset") WHERE leaf_id IS NULL;
