-- The state that is rebuilt from the log. `shard` is the shard of the row's first id.

-- The folded events of each leaf. Only the worker of the shard writes here, so no row is contended.
CREATE TABLE leaf (
    shard        integer NOT NULL,
    leaf_id      bytea   NOT NULL,
    workspace_id text    NOT NULL,
    -- A kernel LeafState: canonical bytes.
    state        bytea   NOT NULL,
    PRIMARY KEY (leaf_id, shard)
) WITH (fillfactor = 70);

ALTER TABLE leaf ALTER COLUMN state SET STORAGE EXTERNAL;
-- Sweeps read the leaves of one workspace only.
CREATE INDEX leaf_by_workspace ON leaf (shard, workspace_id, leaf_id);
-- No query filters by it, so its statistics would be of no use.
ALTER TABLE leaf ALTER COLUMN state SET STATISTICS 0;

-- The leaves of accounts with the parent and the traits that each states. All of it is derived from
-- the state of the leaf; the table lists accounts, finds them by their parent, and gives the rules of
-- their members their traits without the set of members.
CREATE TABLE account (
    shard        integer NOT NULL,
    leaf_id      bytea   NOT NULL,
    workspace_id text    NOT NULL,
    -- The trust of the source that states the parent, as onefold.type.v1.SourceTrust, when it did
    -- and by which fact; null where none does.
    parent_trust smallint,
    parent_at    bigint,
    parent_fact  bytea,
    -- Null where the statement names no parent.
    parent_leaf  bytea,
    -- The type of the object, such as `account`.
    object_type  text     NOT NULL,
    -- A kernel LeafState that has traits alone.
    traits       bytea    NOT NULL,
    PRIMARY KEY (leaf_id, shard)
);

CREATE INDEX account_by_workspace ON account (workspace_id, leaf_id);
CREATE INDEX account_by_parent ON account (parent_leaf) WHERE parent_leaf IS NOT NULL;

-- The forms of the names that each leaf of a person states, by which a search finds the person. All
-- of it is derived from the state of the leaf.
CREATE TABLE name (
    shard        integer  NOT NULL,
    leaf_id      bytea    NOT NULL,
    workspace_id text     NOT NULL,
    -- Each form after the workspace and a slash, so that a search reads those of one workspace only.
    forms        tsvector NOT NULL,
    PRIMARY KEY (leaf_id, shard)
);

CREATE INDEX name_by_form ON name USING gin (forms);

-- The profile of every identifier, as identity resolved it; the highest version wins. Apart from
-- `leaf`, because workers of all shards write it and an identifier may never become a leaf.
CREATE TABLE assignment (
    shard         integer NOT NULL,
    identifier_id bytea   NOT NULL,
    workspace_id  text    NOT NULL,
    profile_id    bytea   NOT NULL,
    -- 0: read from a fact, before the assignment itself arrived along another shard.
    version       bigint  NOT NULL,
    -- The canonical form; null until an assignment has it.
    namespace     text,
    value         text,
    PRIMARY KEY (identifier_id, shard)
) WITH (fillfactor = 85);

CREATE INDEX assignment_by_profile ON assignment (profile_id);

-- The true predicates of every profile that has or had leaves.
CREATE TABLE evaluation (
    shard            integer NOT NULL,
    profile_id       bytea   NOT NULL,
    workspace_id     text    NOT NULL,
    version          bigint  NOT NULL,
    -- Predicate ids of 8 bytes each, ascending.
    true_predicates  bytea   NOT NULL,
    -- The earliest instant at which time alone may change `true_predicates`, Unix microseconds.
    next_due         bigint,
    -- The shard whose worker evaluated last. It evaluates again when the profile is due, because
    -- its clock has not passed that instant yet.
    evaluating_shard integer NOT NULL,
    -- The instant of the last change, Unix microseconds.
    changed_at       bigint  NOT NULL,
    -- Set where the profile has no leaves: the profile that took over its id, or zeros.
    merged_into      bytea,
    PRIMARY KEY (profile_id, shard)
) WITH (fillfactor = 80);

CREATE INDEX evaluation_by_due ON evaluation (evaluating_shard, next_due)
WHERE next_due IS NOT NULL;
-- Lists the persons of a workspace in order. Most changes of an evaluation leave it untouched.
CREATE INDEX evaluation_by_workspace ON evaluation (workspace_id, profile_id)
WHERE merged_into IS NULL;

-- The rows of `evaluation` that the digest covers.
CREATE VIEW current_evaluation AS
SELECT profile_id, workspace_id, true_predicates FROM evaluation WHERE merged_into IS NULL;

-- Facts without a leaf, except clock ticks, from each shard of the log.
CREATE TABLE broadcast_fact (
    shard        integer NOT NULL,
    log_offset   bigint  NOT NULL,
    workspace_id text    NOT NULL,
    kind         text    NOT NULL,
    -- A serialised onefold.log.v1.Fact.
    fact         bytea   NOT NULL,
    PRIMARY KEY (shard, log_offset)
);

-- The predicates of definitions, with their progress in each shard.
CREATE TABLE predicate (
    shard        integer  NOT NULL,
    workspace_id text     NOT NULL,
    predicate_id bigint   NOT NULL,
    -- 0 = waits for a sweep, 1 = a sweep evaluates it for every profile, 2 = backfilled, 3 = no
    -- definition needs it, 4 = a sweep removes its results.
    stage        smallint NOT NULL,
    PRIMARY KEY (shard, workspace_id, predicate_id)
);

-- Ids of transactions by which caches notice that they are stale.
CREATE TABLE cache_version (
    shard      integer PRIMARY KEY,
    -- The last transaction that registered predicates.
    predicates bigint NOT NULL,
    -- The last transaction that changed leaves without folding facts.
    leaves     bigint NOT NULL DEFAULT 0
);
