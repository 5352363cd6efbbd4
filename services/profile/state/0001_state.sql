-- What can be rebuilt from the log. `shard` is the shard of the row's first id.

-- What is known of each leaf. Only the worker of the shard writes here, so no row is ever waited for.
CREATE TABLE leaf (
    shard        integer NOT NULL,
    leaf_id      bytea   NOT NULL,
    workspace_id text    NOT NULL,
    -- A kernel LeafState: canonical bytes.
    state        bytea   NOT NULL,
    PRIMARY KEY (shard, leaf_id)
) WITH (fillfactor = 70);

ALTER TABLE leaf ALTER COLUMN state SET STORAGE EXTERNAL;
-- Nothing is looked up by it: what ANALYZE would learn of it is of no use.
ALTER TABLE leaf ALTER COLUMN state SET STATISTICS 0;

-- Whose every identifier is, as identity told it; the highest version wins. Kept apart from `leaf`
-- because workers of all shards write it, and because an identifier may never become a leaf.
CREATE TABLE assignment (
    shard         integer NOT NULL,
    identifier_id bytea   NOT NULL,
    workspace_id  text    NOT NULL,
    profile_id    bytea   NOT NULL,
    -- 0: read off a fact, before the assignment itself came along another shard.
    version       bigint  NOT NULL,
    -- The standard form; null until it was told.
    namespace     text,
    value         text,
    PRIMARY KEY (identifier_id, shard)
) WITH (fillfactor = 85);

CREATE INDEX assignment_by_profile ON assignment (profile_id);

-- Which predicates hold for every profile that is or was somebody.
CREATE TABLE standing (
    shard        integer NOT NULL,
    profile_id   bytea   NOT NULL,
    workspace_id text    NOT NULL,
    version      bigint  NOT NULL,
    -- Predicate ids of 8 bytes each, ascending.
    holds        bytea   NOT NULL,
    -- The earliest instant at which time alone may change `holds`, Unix microseconds; and the
    -- shard whose worker wrote it and will look again, for it was then not there yet.
    due          bigint,
    due_shard    integer NOT NULL,
    -- The instant of the last change, Unix microseconds.
    at           bigint  NOT NULL,
    -- Set where the profile has no leaves any more: its heir, or zeros where there is none.
    merged_into  bytea,
    PRIMARY KEY (profile_id, shard)
) WITH (fillfactor = 80);

CREATE INDEX standing_by_due ON standing (due_shard, due) WHERE due IS NOT NULL;

-- What the digest covers of it.
CREATE VIEW present_standing AS
SELECT profile_id, workspace_id, holds FROM standing WHERE merged_into IS NULL;

-- Facts that concern no person (ticks left out), as each shard of the log told them.
CREATE TABLE definition (
    shard        integer NOT NULL,
    log_offset   bigint  NOT NULL,
    workspace_id text    NOT NULL,
    kind         text    NOT NULL,
    -- A serialised onefold.log.v1.Fact.
    fact         bytea   NOT NULL,
    PRIMARY KEY (shard, log_offset)
);

-- What each shard has still to do until a predicate is live. 0 = waiting, 1 = at work, 2 = done.
CREATE TABLE predicate (
    shard        integer  NOT NULL,
    workspace_id text     NOT NULL,
    predicate_id bigint   NOT NULL,
    state        smallint NOT NULL,
    PRIMARY KEY (shard, workspace_id, predicate_id)
);

-- The series each shard keeps. 0 = waiting to be back-filled, 1 = being back-filled, 2 = whole.
CREATE TABLE series (
    shard        integer  NOT NULL,
    workspace_id text     NOT NULL,
    series_id    bigint   NOT NULL,
    -- Facts from this offset on were folded as they came; those before are back-filled.
    live_from    bigint   NOT NULL,
    state        smallint NOT NULL,
    PRIMARY KEY (shard, workspace_id, series_id)
);

-- What each shard has learnt, and how far the work is that follows from it.
CREATE TABLE growth (
    shard    integer PRIMARY KEY,
    -- The id of the transaction that learnt last, so that caches notice.
    revision bigint  NOT NULL,
    -- The offset after the last definition that was learnt.
    learnt   bigint  NOT NULL,
    -- Nothing is waiting or at work.
    idle     boolean NOT NULL,
    -- Back-filling: the next offset to read, and the one to stop before.
    next     bigint  NOT NULL DEFAULT 0,
    until    bigint  NOT NULL DEFAULT 0,
    -- Looking at everybody once more: the last leaf that was looked at.
    after    bytea   NOT NULL DEFAULT '\x'
);
