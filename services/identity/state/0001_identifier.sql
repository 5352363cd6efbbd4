-- What can be rebuilt from the log. `shard` is the shard of the row's first id.

-- Who is called what. A profile's id is the id of the identifier in it that was first seen.
CREATE TABLE identifier (
    shard         integer NOT NULL,
    identifier_id bytea   NOT NULL,
    workspace_id  text    NOT NULL,
    -- Null where only the id is known: a leaf that the present standard forms no longer give.
    namespace     text,
    value         text,
    profile_id    bytea   NOT NULL,
    -- When the profile was last given, in the order of assignment_version.
    version       bigint  NOT NULL,
    first_seen_us bigint  NOT NULL,
    first_fact    bytea   NOT NULL,
    PRIMARY KEY (identifier_id, shard)
) WITH (fillfactor = 85);

CREATE INDEX identifier_by_profile ON identifier (profile_id);

-- Why identifiers belong together: the earliest evidence of each pair at each strength, a < b.
CREATE TABLE edge (
    shard         integer  NOT NULL,
    a             bytea    NOT NULL,
    b             bytea    NOT NULL,
    strength      smallint NOT NULL,
    workspace_id  text     NOT NULL,
    first_seen_us bigint   NOT NULL,
    first_fact    bytea    NOT NULL,
    PRIMARY KEY (a, b, strength, shard)
) WITH (fillfactor = 85);
