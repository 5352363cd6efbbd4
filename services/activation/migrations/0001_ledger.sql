-- One row for what, whom, which segment and which change of membership. It tells what touched the
-- outside, so it is never rebuilt.
CREATE TABLE effect (
    shard          integer  NOT NULL,
    effect_id      bytea    NOT NULL,
    workspace_id   text     NOT NULL,
    destination_id text     NOT NULL,
    segment_id     text     NOT NULL,
    profile_id     bytea    NOT NULL,
    trigger        smallint NOT NULL,
    ordinal        integer  NOT NULL,
    at_us          bigint   NOT NULL,
    state          smallint NOT NULL,
    attempts       integer  NOT NULL DEFAULT 0,
    reason         text     NOT NULL DEFAULT '',
    -- What is sent: made before the first attempt, the same in every attempt after it.
    body           bytea,
    -- When the next attempt is due; while one runs, when it is given up as unknown.
    due_at         timestamptz NOT NULL DEFAULT now(),
    -- It was heard of before the change that came before it, which another shard will tell.
    early          boolean  NOT NULL DEFAULT false,
    -- Whether the log knows the end.
    reported       boolean  NOT NULL DEFAULT false,
    PRIMARY KEY (effect_id, shard)
) WITH (fillfactor = 80);

-- States 1 and 2 (pending, unknown) wait for an attempt.
CREATE INDEX effect_due ON effect (workspace_id, destination_id, due_at) WHERE state IN (1, 2);

CREATE INDEX effect_of_profile ON effect (profile_id, destination_id, segment_id, ordinal);

CREATE INDEX effect_unreported ON effect (effect_id) WHERE NOT reported AND state IN (3, 4, 5);

CREATE INDEX effect_newest ON effect (workspace_id, at_us DESC, effect_id DESC);

-- Those that somebody has to look at, among many that are well.
CREATE INDEX effect_dead ON effect (workspace_id, at_us DESC, effect_id DESC) WHERE state = 4;
