-- The newest version of each destination, as a serialised DestinationDefined. Each shard has its
-- own copy: the effects of a change depend on the definitions before it in its shard, and not on
-- how far other shards are. So a shard that is behind plans no effects for changes before a
-- definition.
CREATE TABLE destination (
    shard          integer NOT NULL,
    workspace_id   text    NOT NULL,
    destination_id text    NOT NULL,
    version        integer NOT NULL,
    payload        bytea   NOT NULL,
    PRIMARY KEY (workspace_id, destination_id, shard)
);

-- Every version of each template, as a serialised TemplateDefined: a step may name one.
CREATE TABLE template (
    workspace_id text    NOT NULL,
    template_id  text    NOT NULL,
    version      integer NOT NULL,
    payload      bytea   NOT NULL,
    PRIMARY KEY (workspace_id, template_id, version)
);

-- Every version of each journey, as a serialised JourneyDefined. One copy serves all shards: which
-- version counts for an instant is decided by `defined_at_us`.
CREATE TABLE journey (
    workspace_id  text    NOT NULL,
    journey_id    text    NOT NULL,
    version       integer NOT NULL,
    -- When the log recorded it, Unix microseconds.
    defined_at_us bigint  NOT NULL,
    payload       bytea   NOT NULL,
    PRIMARY KEY (workspace_id, journey_id, version)
);

-- Every pause, resumption and stop of journeys (`kind` 1) and destinations (`kind` 2).
CREATE TABLE flow_change (
    workspace_id  text     NOT NULL,
    kind          smallint NOT NULL,
    id            text     NOT NULL,
    version       integer  NOT NULL,
    -- The numbers of onefold.activation.v1.Flow and Overdue.
    flow          smallint NOT NULL,
    overdue       smallint NOT NULL,
    -- When the log recorded it, Unix microseconds.
    changed_at_us bigint   NOT NULL,
    PRIMARY KEY (workspace_id, kind, id, version)
);

-- Every version of the contact policy of each workspace, as a serialised ContactPolicyDefined.
CREATE TABLE contact_policy (
    workspace_id  text    NOT NULL,
    version       integer NOT NULL,
    -- When the log recorded it, Unix microseconds.
    defined_at_us bigint  NOT NULL,
    payload       bytea   NOT NULL,
    PRIMARY KEY (workspace_id, version)
);

-- Every version of each pool of coupons, as a serialised CouponPoolDefined.
CREATE TABLE coupon_pool (
    workspace_id text    NOT NULL,
    pool_id      text    NOT NULL,
    version      integer NOT NULL,
    payload      bytea   NOT NULL,
    PRIMARY KEY (workspace_id, pool_id, version)
);

-- The newest version of each slot, as a serialised SlotDefined.
CREATE TABLE slot (
    workspace_id text    NOT NULL,
    slot_id      text    NOT NULL,
    version      integer NOT NULL,
    payload      bytea   NOT NULL,
    PRIMARY KEY (workspace_id, slot_id)
);

-- The shards that have folded a slot of a workspace: from then on they follow its persons.
CREATE TABLE slot_follower (
    workspace_id text    NOT NULL,
    shard        integer NOT NULL,
    PRIMARY KEY (workspace_id, shard)
);

-- What decisions have read of persons. It is read from the services upstream; from before that on
-- changes of memberships are folded into it, and what else may change
-- it deletes the row.
CREATE TABLE slot_person (
    workspace_id      text  NOT NULL,
    profile_id        bytea NOT NULL,
    -- By segment, value of a tag, or stage: the ordinal of the last change; odd = the person is in it.
    memberships       jsonb NOT NULL DEFAULT '{}',
    -- NULL = the person is not read yet.
    refuses_profiling boolean,
    -- Another one where the row was deleted and inserted again.
    row_id            uuid  NOT NULL DEFAULT gen_random_uuid(),
    inserted_at       timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (workspace_id, profile_id)
) WITH (fillfactor = 80);

CREATE INDEX slot_person_inserted ON slot_person (inserted_at);

-- The newest version of each dashboard, as a serialised DashboardDefined.
CREATE TABLE dashboard (
    workspace_id text    NOT NULL,
    dashboard_id text    NOT NULL,
    version      integer NOT NULL,
    payload      bytea   NOT NULL,
    PRIMARY KEY (workspace_id, dashboard_id)
);

-- Every version of each queue of tickets, as a serialised DeskQueueDefined.
CREATE TABLE desk_queue (
    workspace_id text    NOT NULL,
    queue_id     text    NOT NULL,
    version      integer NOT NULL,
    payload      bytea   NOT NULL,
    PRIMARY KEY (workspace_id, queue_id, version)
);
