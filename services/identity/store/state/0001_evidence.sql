-- All tables here can be rebuilt from the log. `shard` is the shard of the row's first id.

-- The identifiers and their profiles. A profile's id is the id of its first seen identifier.
CREATE TABLE identifier (
    shard         integer  NOT NULL,
    identifier_id bytea    NOT NULL,
    workspace_id  text     NOT NULL,
    -- Null where only the id is known: a leaf that the current normalisation no longer produces.
    namespace     text COLLATE "C",
    value         text,
    profile_id    bytea    NOT NULL,
    -- When the profile was assigned, in the order of assignment_version.
    version       bigint   NOT NULL,
    first_seen_us bigint   NOT NULL,
    first_fact    bytea    NOT NULL,
    -- Bits: 1 = an edge held for a limit or a separation, or a decision to separate, touches it;
    -- 2 = it is shared; 4 = it was recycled.
    flags         smallint NOT NULL,
    PRIMARY KEY (identifier_id, shard)
) WITH (fillfactor = 85);

CREATE INDEX identifier_by_profile ON identifier (profile_id, namespace);
CREATE INDEX identifier_contested ON identifier (profile_id) WHERE flags & 1 = 1;

-- The evidence that links identifiers: for each pair and kind, when it was first and last seen;
-- a < b.
CREATE TABLE edge (
    shard          integer  NOT NULL,
    a              bytea    NOT NULL,
    b              bytea    NOT NULL,
    -- As onefold.identity.v1.EvidenceKind.
    kind           smallint NOT NULL,
    workspace_id   text     NOT NULL,
    first_seen_us  bigint   NOT NULL,
    first_fact     bytea    NOT NULL,
    -- Days since 1970.
    last_seen_day  integer  NOT NULL,
    -- Why it is held, as onefold.identity.v1.HeldReason; 0 = it links.
    held_reason    smallint NOT NULL,
    -- The namespace whose rule holds it; empty where none does.
    held_namespace text     NOT NULL,
    PRIMARY KEY (a, b, kind, shard)
) WITH (fillfactor = 85);

CREATE INDEX edge_by_b ON edge (b);
-- Edges held between profiles: LIMIT, SEPARATED and OTHER_PERSON.
CREATE INDEX edge_cross_profile_a ON edge (a) WHERE held_reason BETWEEN 5 AND 7;
CREATE INDEX edge_cross_profile_b ON edge (b) WHERE held_reason BETWEEN 5 AND 7;
-- Claims that are held as there are too many, the earliest first.
CREATE INDEX edge_too_many_a ON edge (a, first_seen_us, first_fact) WHERE held_reason = 9;
CREATE INDEX edge_too_many_b ON edge (b, first_seen_us, first_fact) WHERE held_reason = 9;
-- The list of held edges, by reason, the strongest evidence first.
CREATE INDEX edge_held ON edge (workspace_id, held_reason, kind, a, b) WHERE held_reason > 0;

-- Manual decisions about two identifiers, a < b; the latest one of each pair.
CREATE TABLE decision (
    shard          integer  NOT NULL,
    a              bytea    NOT NULL,
    b              bytea    NOT NULL,
    workspace_id   text     NOT NULL,
    occurred_at_us bigint   NOT NULL,
    fact_id        bytea    NOT NULL,
    -- As onefold.identity.v1.Decision.
    kind           smallint NOT NULL,
    actor          text     NOT NULL,
    reason         text     NOT NULL,
    PRIMARY KEY (a, b, shard)
);

CREATE INDEX decision_by_b ON decision (b);
