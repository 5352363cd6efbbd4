-- What happened to persons and what journeys wait for: matched events and changes of memberships.
CREATE TABLE journey_fact (
    workspace_id   text   NOT NULL,
    leaf_id        bytea  NOT NULL,
    fact_id        bytea  NOT NULL,
    occurred_at_us bigint NOT NULL,
    recorded_at_us bigint NOT NULL,
    -- What the fact is an instance of, each a JSON array of a kind and names.
    subjects       text[] NOT NULL,
    -- Those properties that journeys name: a JSON object.
    properties     bytea  NOT NULL,
    -- The own time of the event that has changed a membership; null where the fact is none.
    caused_at_us   bigint,
    PRIMARY KEY (workspace_id, leaf_id, fact_id)
);

CREATE INDEX journey_fact_recorded ON journey_fact (recorded_at_us);

-- Which profile each leaf that has facts of journeys belonged to, and since when; a leaf without a
-- row is its own profile.
CREATE TABLE leaf_profile (
    workspace_id text   NOT NULL,
    leaf_id      bytea  NOT NULL,
    -- The highest one of a leaf is current.
    version      bigint NOT NULL,
    profile_id   bytea  NOT NULL,
    -- From which instant of the log's clock on it counts, Unix microseconds.
    since_us     bigint NOT NULL,
    PRIMARY KEY (workspace_id, leaf_id, version)
);

CREATE INDEX leaf_profile_of_profile ON leaf_profile (workspace_id, profile_id);

-- The fold of the transitions of each run, and the transitions themselves. It is folded from the
-- log where the database is lost.
CREATE TABLE run (
    workspace_id  text    NOT NULL,
    run_id        bytea   NOT NULL,
    journey_id    text    NOT NULL,
    version       integer NOT NULL,
    -- The leaf of the entry.
    leaf_id       bytea   NOT NULL,
    begun_at_us   bigint  NOT NULL,
    -- The first entry.
    entry_fact_id bytea   NOT NULL,
    -- The number of the last transition.
    number        integer NOT NULL,
    -- A serialised RunTransitions.
    transitions   bytea   NOT NULL,
    -- 1 = open, 2 = asleep beside another run, 3 = ended.
    state         smallint NOT NULL,
    -- The number of onefold.activation.v1.RunEnd; 0 = not ended.
    end_reason    smallint NOT NULL,
    -- When it ended, Unix microseconds; NULL = it has not.
    ended_at_us   bigint,
    -- The step before which it stands; empty = none.
    step_id       text    NOT NULL,
    -- When time makes it go on, Unix microseconds; NULL = it waits for something else.
    due_us        bigint,
    -- Whether nothing changes it any more: it had ended before the database was lost.
    closed        boolean NOT NULL DEFAULT false,
    PRIMARY KEY (workspace_id, run_id)
) WITH (fillfactor = 80);

-- The leaf comes first: a lookup by it alone has no other index to choose, however small the table was
-- when it was planned.
CREATE INDEX run_of_leaf ON run (leaf_id, workspace_id, journey_id);

CREATE INDEX run_of_journey ON run (workspace_id, journey_id, begun_at_us DESC, run_id DESC);

-- The transitions that may be missing in the log, of each run that has any.
CREATE TABLE run_unpublished (
    workspace_id text    NOT NULL,
    run_id       bytea   NOT NULL,
    leaf_id      bytea   NOT NULL,
    -- The numbers of the last transition that is in the log, and of the last one of these.
    published    integer NOT NULL,
    number       integer NOT NULL,
    -- A serialised RunTransitions.
    transitions  bytea   NOT NULL,
    PRIMARY KEY (run_id, workspace_id)
);

-- When the runs of a leaf in a journey are played again; a person has at least one row for each
-- journey in which time alone or a new fact can change something.
CREATE TABLE journey_due (
    workspace_id text   NOT NULL,
    journey_id   text   NOT NULL,
    leaf_id      bytea  NOT NULL,
    -- Unix microseconds of the log's clock; it is decided when every shard has passed it.
    due_us       bigint NOT NULL,
    -- Not before this, as an answer is missing; NULL = at once.
    retry_at     timestamptz,
    PRIMARY KEY (workspace_id, journey_id, leaf_id)
) WITH (fillfactor = 80);

CREATE INDEX journey_due_at ON journey_due (due_us);

-- Answers that refused an entry, so that the rules are not evaluated again.
CREATE TABLE entry_answer (
    workspace_id text    NOT NULL,
    journey_id   text    NOT NULL,
    leaf_id      bytea   NOT NULL,
    -- A serialised RunAnswered.
    answers      bytea   NOT NULL,
    PRIMARY KEY (workspace_id, leaf_id, journey_id)
);

-- The occurrences of schedules, and how many members of the audience have begun.
CREATE TABLE schedule_occurrence (
    workspace_id text    NOT NULL,
    journey_id   text    NOT NULL,
    -- The instant at which the audience is taken, Unix microseconds.
    occurs_us    bigint  NOT NULL,
    -- Of the next page of members.
    page_token   text    NOT NULL DEFAULT '',
    taken        bigint  NOT NULL DEFAULT 0,
    is_complete  boolean NOT NULL DEFAULT false,
    PRIMARY KEY (workspace_id, journey_id, occurs_us)
);

-- Has a row as soon as runs and the ledger are those of the log: this database may be another one
-- than that in which they arose.
CREATE TABLE ledger_restored (
    restored_at timestamptz NOT NULL
);
