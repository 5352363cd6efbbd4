-- Mirrors record what other systems have, so they are never rebuilt.

-- The mirrors whose segments have been read: those who were members before are in them, too.
CREATE TABLE mirror (
    workspace_id   text    NOT NULL,
    destination_id text    NOT NULL,
    -- The version of the destination whose segments were read; 0 = they are to be read (again).
    loaded_version integer NOT NULL DEFAULT 0,
    PRIMARY KEY (workspace_id, destination_id)
);

-- The profiles whose memberships concern a mirror.
CREATE TABLE mirror_member (
    workspace_id   text   NOT NULL,
    destination_id text   NOT NULL,
    profile_id     bytea  NOT NULL,
    -- By segment, the ordinal of the last change; odd = the profile is in it.
    memberships    jsonb  NOT NULL,
    -- The entries that the profile has.
    keys           text[] NOT NULL DEFAULT '{}',
    -- Counts the changes.
    version        bigint NOT NULL DEFAULT 1,
    -- When the last change of a membership was recorded.
    changed_at     timestamptz NOT NULL,
    -- When the entries of the profile are derived next; NULL = after the next change.
    due_at         timestamptz,
    PRIMARY KEY (workspace_id, destination_id, profile_id)
);

CREATE INDEX mirror_member_due ON mirror_member (workspace_id, destination_id, due_at)
WHERE due_at IS NOT NULL;

-- The entries of mirrors, each written on its own; see domain/mirrors.py.
CREATE TABLE mirror_entry (
    workspace_id   text    NOT NULL,
    destination_id text    NOT NULL,
    key            text    NOT NULL,
    -- A JSON object: by the id of each profile that has the entry (hexadecimal), its fields. As text,
    -- so that equal fields stay equal bytes.
    owners         text    NOT NULL,
    version        bigint  NOT NULL,
    -- When the entry is written next; NULL = the receiver has it, or refuses it.
    due_at         timestamptz,
    is_written     boolean NOT NULL,
    in_flight      boolean NOT NULL,
    doubtful_until timestamptz NOT NULL,
    attempts       integer NOT NULL,
    -- Why the last attempt did not succeed; holds nothing personal.
    reason         text    NOT NULL,
    PRIMARY KEY (workspace_id, destination_id, key)
);

CREATE INDEX mirror_entry_due ON mirror_entry (workspace_id, destination_id, due_at)
WHERE due_at IS NOT NULL;
