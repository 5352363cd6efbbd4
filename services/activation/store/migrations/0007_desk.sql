-- Tickets and tasks about persons, as their facts say. They are restored from the log where the
-- database is lost.
CREATE TABLE ticket (
    ticket_id    bytea    PRIMARY KEY,
    workspace_id text     NOT NULL,
    -- The leaf of its facts.
    leaf_id      bytea    NOT NULL,
    queue_id     text     NOT NULL DEFAULT '',
    kind         text     NOT NULL DEFAULT '',
    title        text     NOT NULL DEFAULT '',
    -- A number of onefold.activation.v1.TicketState; 0 = no fact says yet that it was opened.
    state        smallint NOT NULL DEFAULT 0,
    -- Empty = none yet.
    agent_id     text     NOT NULL DEFAULT '',
    -- Unix microseconds.
    opened_at_us bigint   NOT NULL DEFAULT 0,
    -- When the next limit passes; NULL = none is ahead.
    due_us       bigint,
    -- The numbers of onefold.activation.v1.SlaLimit of the limits that it has passed.
    breached     smallint[] NOT NULL DEFAULT '{}',
    -- When it is looked at again; NULL = when something happens to it.
    look_us      bigint
);

CREATE INDEX ticket_of_workspace ON ticket (workspace_id, opened_at_us DESC, ticket_id DESC);

CREATE INDEX ticket_open ON ticket (workspace_id, queue_id, agent_id) WHERE state IN (1, 2);

CREATE INDEX ticket_of_leaf ON ticket (workspace_id, leaf_id);

CREATE INDEX ticket_look ON ticket (look_us) WHERE look_us IS NOT NULL;

-- What has happened to tickets.
CREATE TABLE ticket_fact (
    ticket_id      bytea  NOT NULL,
    fact_id        bytea  NOT NULL,
    workspace_id   text   NOT NULL,
    -- The name of the event on the timeline.
    event          text   NOT NULL,
    -- Unix microseconds.
    occurred_at_us bigint NOT NULL,
    -- The properties of the event, JSON.
    properties     bytea  NOT NULL,
    -- The fact that the log does not have yet, serialised; NULL = the log has it.
    unpublished    bytea,
    PRIMARY KEY (ticket_id, fact_id)
);

CREATE INDEX ticket_fact_unpublished ON ticket_fact (fact_id) WHERE unpublished IS NOT NULL;
