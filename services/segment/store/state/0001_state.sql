-- The state that can be rebuilt from the log. The column `shard` is the shard of the profile.

-- Which predicates are true of each profile, in the highest version.
CREATE TABLE evaluation (
    shard           integer NOT NULL,
    profile_id      bytea   NOT NULL,
    workspace_id    text    NOT NULL,
    version         bigint  NOT NULL,
    true_predicates bytea   NOT NULL, -- ids of 8 bytes each, ascending
    merged_into     bytea,
    changed_at_us   bigint  NOT NULL,
    -- Stands for the profile in bitmaps; another generation of the state has other numbers.
    number          integer NOT NULL,
    PRIMARY KEY (profile_id, shard)
) WITH (fillfactor = 45);

CREATE INDEX evaluation_by_number ON evaluation (number);

CREATE INDEX evaluation_by_workspace ON evaluation (shard, workspace_id, profile_id);

-- The evaluations of profiles that were not merged: those that a rebuild has too.
CREATE VIEW current_evaluation AS
SELECT profile_id, workspace_id, version, true_predicates FROM evaluation WHERE merged_into IS NULL;

-- The current members of each segment.
CREATE TABLE membership (
    shard           integer NOT NULL,
    workspace_id    text    NOT NULL,
    segment_id      text    NOT NULL,
    profile_id      bytea   NOT NULL,
    segment_version integer NOT NULL,
    since_us        bigint  NOT NULL,
    -- As in the history: two segments may share it.
    segment_key     bigint  NOT NULL
        GENERATED ALWAYS AS (segment_key(workspace_id, segment_id)) STORED,
    PRIMARY KEY (profile_id, segment_id, shard)
);

-- With the texts, members are counted in it alone.
CREATE INDEX membership_by_segment ON membership (segment_key, profile_id)
INCLUDE (workspace_id, segment_id);

-- The newest version of each segment, tag and set of stages.
CREATE TABLE definition (
    workspace_id  text    NOT NULL,
    kind          text    NOT NULL, -- the full name of the message in `payload`
    definition_id text    NOT NULL,
    version       integer NOT NULL,
    payload       bytea   NOT NULL,
    PRIMARY KEY (workspace_id, kind, definition_id)
);

-- The newest version of each snapshot: an onefold.segment.v1.SnapshotTaken.
CREATE TABLE snapshot (
    workspace_id text    NOT NULL,
    name         text    NOT NULL,
    version      integer NOT NULL,
    payload      bytea   NOT NULL,
    PRIMARY KEY (workspace_id, name)
);

-- The predicates that each shard of profile has backfilled.
CREATE TABLE ready_predicate (
    workspace_id text    NOT NULL,
    predicate_id bigint  NOT NULL,
    shard        integer NOT NULL,
    PRIMARY KEY (workspace_id, predicate_id, shard)
);

-- Changes with every change of `definition` or `ready_predicate`, so that caches are invalidated.
CREATE TABLE definition_revision (
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    value    bigint  NOT NULL
);

INSERT INTO definition_revision (value) VALUES (0);
