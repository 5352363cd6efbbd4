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
    -- A watcher reads the changes of its own workspace only, however many the others have.
    PRIMARY KEY (workspace_id, shard, sequence, position)
);

-- The memberships of a segment, and of a profile: it is searched in each segment of the workspace. An
-- index by profile beside this one would cost each change a quarter more.
CREATE UNIQUE INDEX history_by_segment ON history (workspace_id, segment_id, profile_id, ordinal);

-- The messages with changes, and the workspaces that each has changes of: so the history needs no index
-- by message, which would cost each change something.
CREATE TABLE changed_workspace (
    shard        integer NOT NULL,
    sequence     bigint  NOT NULL,
    workspace_id text    NOT NULL,
    PRIMARY KEY (shard, sequence, workspace_id)
);
