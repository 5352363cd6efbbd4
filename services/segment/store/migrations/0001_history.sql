-- One number for the workspace and the id of a segment, which an index compares at a third of the cost
-- of the two texts. Two segments may share it, so no index is unique by it, and statements compare the
-- texts besides.
CREATE FUNCTION segment_key(workspace_id text, segment_id text) RETURNS bigint
IMMUTABLE STRICT PARALLEL SAFE LANGUAGE sql
RETURN hashtextextended(segment_id, hashtextextended(workspace_id, 0));

-- Every entry and exit that was published, in the order of publication. It records what was known
-- at which time, so it is not part of the state and survives every rebuild.
CREATE TABLE history (
    shard            integer  NOT NULL,
    sequence         bigint   NOT NULL,
    position         integer  NOT NULL,
    workspace_id     text     NOT NULL,
    segment_id       text     NOT NULL,
    segment_version  integer  NOT NULL,
    profile_id       bytea    NOT NULL,
    entered          boolean  NOT NULL,
    ordinal          integer  NOT NULL,
    changed_at_us    bigint   NOT NULL,
    cause            smallint NOT NULL,
    other_profile_id bytea,
    -- The offset in the log that the shard had reached before the change.
    reached_offset   bigint   NOT NULL,
    -- The own time of the event that made the change; null where no event did.
    occurred_at_us   bigint,
    segment_key      bigint   NOT NULL
        GENERATED ALWAYS AS (segment_key(workspace_id, segment_id)) STORED,
    -- A watcher reads the changes of its own workspace only, however many the others have.
    PRIMARY KEY (workspace_id, shard, sequence, position)
);

-- The memberships of a segment, and of a profile: it is searched in each segment of the workspace. An
-- index by profile beside this one would cost each change a quarter more.
CREATE INDEX history_by_segment ON history (segment_key, profile_id, ordinal);

-- The messages with changes, and the workspaces that each has changes of: so the history needs no index
-- by message, which would cost each change something.
CREATE TABLE changed_workspace (
    shard        integer NOT NULL,
    sequence     bigint  NOT NULL,
    workspace_id text    NOT NULL,
    PRIMARY KEY (shard, sequence, workspace_id)
);

-- The segments that have changes in the history: a profile is searched in each of them.
CREATE TABLE changed_segment (
    workspace_id text   NOT NULL,
    segment_id   text   NOT NULL,
    segment_key  bigint NOT NULL GENERATED ALWAYS AS (segment_key(workspace_id, segment_id)) STORED,
    PRIMARY KEY (workspace_id, segment_id)
);
