-- What each key did or read, in a chain of hashes for each workspace. Entries are only ever added.
CREATE TABLE audit_entry (
    workspace_id text NOT NULL,
    -- Counts from 1, without gaps.
    number bigint NOT NULL,
    -- Microseconds since 1970 by the clock of the server.
    at_us bigint NOT NULL,
    key_id text NOT NULL,
    role smallint NOT NULL,
    method text NOT NULL,
    outcome text NOT NULL,
    target text NOT NULL,
    -- 16 bytes each, one after another.
    profile_ids bytea NOT NULL,
    names text [] NOT NULL,
    count bigint NOT NULL,
    -- As onefold.type.v1.FieldClass; 0 = the call read nothing of a person.
    visible smallint NOT NULL,
    reason text NOT NULL,
    -- SHA-256 over the hash of the entry before it and this entry.
    hash bytea NOT NULL,
    PRIMARY KEY (workspace_id, number)
);

-- The end of each chain. Its lock serialises the workers that add entries.
CREATE TABLE audit_head (
    workspace_id text PRIMARY KEY,
    number bigint NOT NULL,
    hash bytea NOT NULL
);

CREATE FUNCTION refuse_audit_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'entries of the audit are only ever added';
END
$$;

CREATE TRIGGER audit_entry_is_append_only
BEFORE UPDATE OR DELETE OR TRUNCATE ON audit_entry
FOR EACH STATEMENT EXECUTE FUNCTION refuse_audit_change();
