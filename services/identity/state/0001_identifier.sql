-- What can be rebuilt from the log. `shard` is the shard of the row's first id.

-- Who is called what. A profile's id is the id of the identifier in it that was first seen.
CREATE TABLE identifier (
    shard         integer  NOT NULL,
    identifier_id bytea    NOT NULL,
    workspace_id  text     NOT NULL,
    -- Null where only the id is known: a leaf that the present standard forms no longer give.
    namespace     text COLLATE "C",
    value         text,
    profile_id    bytea    NOT NULL,
    -- When the profile was last given, in the order of assignment_version.
    version       bigint   NOT NULL,
    first_seen_us bigint   NOT NULL,
    first_fact    bytea    NOT NULL,
    -- Bits: 1 = something is held between it and other profiles, or a person separated it from
    -- somebody; 2 = it is shared; 4 = it has changed hands.
    marks         smallint NOT NULL,
    PRIMARY KEY (identifier_id, shard)
) WITH (fillfactor = 85);

CREATE INDEX identifier_by_profile ON identifier (profile_id, namespace);
CREATE INDEX identifier_contested ON identifier (profile_id) WHERE marks & 1 = 1;

-- Why identifiers belong together: since when each pair was seen together at each strength, and
-- the last day on which it was; a < b.
CREATE TABLE edge (
    shard          integer  NOT NULL,
    a              bytea    NOT NULL,
    b              bytea    NOT NULL,
    strength       smallint NOT NULL,
    workspace_id   text     NOT NULL,
    first_seen_us  bigint   NOT NULL,
    first_fact     bytea    NOT NULL,
    -- Days since 1970.
    last_day       integer  NOT NULL,
    -- Why it does not bind, as onefold.identity.v1.HeldReason; 0 = it binds.
    held           smallint NOT NULL,
    -- The namespace whose rule holds it back; empty where none does.
    held_namespace text     NOT NULL,
    PRIMARY KEY (a, b, strength, shard)
) WITH (fillfactor = 85);

CREATE INDEX edge_by_b ON edge (b);
-- What is held between profiles: LIMIT and SEPARATED.
CREATE INDEX edge_between_a ON edge (a) WHERE held >= 5;
CREATE INDEX edge_between_b ON edge (b) WHERE held >= 5;
-- For people to look through.
CREATE INDEX edge_held ON edge (workspace_id, held, a, b, strength) WHERE held > 0;

-- What people decided about two identifiers, a < b; the latest counts.
CREATE TABLE decision (
    shard          integer  NOT NULL,
    a              bytea    NOT NULL,
    b              bytea    NOT NULL,
    workspace_id   text     NOT NULL,
    occurred_at_us bigint   NOT NULL,
    fact_id        bytea    NOT NULL,
    -- As onefold.identity.v1.Decision.
    verdict        smallint NOT NULL,
    actor          text     NOT NULL,
    reason         text     NOT NULL,
    PRIMARY KEY (a, b, shard)
);

CREATE INDEX decision_by_b ON decision (b);

-- The policies of each workspace; the one of the highest version holds.
CREATE TABLE policy (
    workspace_id text   NOT NULL,
    version      bigint NOT NULL,
    -- A serialised onefold.identity.v1.IdentityPolicy.
    message      bytea  NOT NULL,
    -- The shard and offset where it was first seen, and its instant in the log.
    shard        integer NOT NULL,
    log_offset   bigint  NOT NULL,
    recorded_at_us bigint NOT NULL,
    PRIMARY KEY (workspace_id, version)
);

-- Workspaces that are looked at anew by their policy, shard by shard; done = the row is gone.
CREATE TABLE resettle (
    shard        integer NOT NULL,
    workspace_id text    NOT NULL,
    -- That of the policy.
    version      bigint  NOT NULL,
    -- The last identifier that was looked at.
    cursor       bytea   NOT NULL DEFAULT '\x',
    PRIMARY KEY (shard, workspace_id)
);

-- What models and people say about probable matches, a < b; the latest counts. No profile depends
-- on it.
CREATE TABLE match (
    shard          integer  NOT NULL,
    a              bytea    NOT NULL,
    b              bytea    NOT NULL,
    workspace_id   text     NOT NULL,
    occurred_at_us bigint   NOT NULL,
    fact_id        bytea    NOT NULL,
    -- As onefold.identity.v1.Judgement.
    judgement      smallint NOT NULL,
    -- What it may be used for; none unless accepted.
    purposes       text[]   NOT NULL,
    -- A serialised onefold.identity.v1.MatchJudged.
    message        bytea    NOT NULL,
    PRIMARY KEY (a, b, shard)
);

CREATE INDEX match_by_b ON match (b);
CREATE INDEX match_by_judgement ON match (workspace_id, judgement, a, b);
