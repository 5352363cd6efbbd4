-- One row for each destination, segment, profile and membership change, and for each effect that a
-- run of a journey has planned. It records what was sent to the outside, so it is never rebuilt.
CREATE TABLE effect (
    shard             integer  NOT NULL,
    effect_id         bytea    NOT NULL,
    workspace_id      text     NOT NULL,
    destination_id    text     NOT NULL,
    segment_id        text     NOT NULL,
    profile_id        bytea    NOT NULL,
    trigger           smallint NOT NULL,
    ordinal           integer  NOT NULL,
    changed_at_us     bigint   NOT NULL,
    state             smallint NOT NULL,
    attempts          integer  NOT NULL DEFAULT 0,
    reason            text     NOT NULL DEFAULT '',
    -- The message: rendered before the first attempt, the same in every attempt after it.
    payload           bytea,
    -- Where the channel begins to search for the message of an interrupted attempt.
    channel_position  bytea NOT NULL DEFAULT '',
    -- Whether the answer of an earlier attempt was lost: the receiver may have the message.
    unanswered        boolean NOT NULL DEFAULT false,
    -- When the next attempt is due; while one runs, when its lease expires.
    due_at            timestamptz NOT NULL DEFAULT now(),
    -- When the final state was reached; NULL while the effect is open.
    ended_at          timestamptz,
    -- Whether the message was deleted, because it ended long ago.
    payload_deleted   boolean  NOT NULL DEFAULT false,
    -- Arrived out of order: the preceding change will come from another shard.
    out_of_order      boolean  NOT NULL DEFAULT false,
    -- Whether the final state is a fact of the log.
    outcome_published boolean  NOT NULL DEFAULT false,
    -- When the first attempt began, Unix microseconds; NULL before it.
    begun_at_us       bigint,
    -- Names the address of the message by a hash; NULL before the message is rendered.
    address_key       bytea,
    -- Until when the gate holds the effect, on the log's clock; NULL = until an event ends it.
    held_until_us     bigint,
    -- When what changed the membership took place, Unix microseconds; NULL of effects of runs.
    occurred_at_us    bigint,
    -- Only of effects of runs, from here on; NULL of those of memberships. Segment, trigger and
    -- ordinal of such a row are empty, and changed_at_us is the instant that the run has planned.
    run_id            bytea,
    journey_id        text,
    journey_version   integer,
    step_id           text,
    visit             integer,
    -- The leaf of the entry of the run.
    leaf_id           bytea,
    purpose           text,
    priority          smallint,
    -- The last instant at which the first attempt may begin, Unix microseconds; 0 = without limit.
    valid_until_us    bigint,
    -- What templates know of the run: a JSON object.
    variables         bytea,
    -- The version of the template of its message; NULL before the first attempt.
    template_version  integer,
    -- Whether the run has withdrawn the effect before its attempt.
    withdrawn         boolean  NOT NULL DEFAULT false,
    PRIMARY KEY (effect_id, shard)
) WITH (fillfactor = 80);

-- The queue of a destination: states 1, 2 and 8 (pending, unknown, held) are open.
CREATE INDEX effect_due ON effect (workspace_id, destination_id, due_at) WHERE state IN (1, 2, 8);

CREATE INDEX effect_of_profile ON effect (profile_id, destination_id, segment_id, ordinal);

CREATE INDEX effect_unpublished ON effect (effect_id)
WHERE NOT outcome_published AND state IN (3, 4, 5, 6, 9, 10);

-- The effects that the gate holds.
CREATE INDEX effect_held ON effect (held_until_us) WHERE state = 8;

-- The effects of the runs of a person, by the leaves of the entries.
CREATE INDEX effect_of_leaf ON effect (leaf_id, changed_at_us) WHERE leaf_id IS NOT NULL;

-- The effects to an address, by which replies find the message that they follow.
CREATE INDEX effect_of_address ON effect (address_key, begun_at_us) WHERE address_key IS NOT NULL;

-- The last messages of a destination, of which it is counted how many complained.
CREATE INDEX effect_of_destination ON effect (workspace_id, destination_id, changed_at_us DESC)
WHERE state IN (3, 9, 10);

-- The effects of runs that are facts of the log and have no receiver outside.
CREATE INDEX effect_own ON effect (due_at) WHERE destination_id = '' AND state IN (1, 2);

CREATE INDEX effect_newest ON effect (workspace_id, changed_at_us DESC, effect_id DESC);

-- Dead effects, which an operator lists among many that were delivered.
CREATE INDEX effect_dead ON effect (workspace_id, changed_at_us DESC, effect_id DESC)
WHERE state = 4;

-- The messages that are deleted some time after their end.
CREATE INDEX effect_payload ON effect (ended_at) WHERE payload IS NOT NULL AND ended_at IS NOT NULL;

-- The destinations whose provider limits how often it is called: until when earlier attempts put
-- off those to come, where each puts them off by the same time.
CREATE TABLE pace (
    workspace_id   text        NOT NULL,
    destination_id text        NOT NULL,
    free_at        timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (workspace_id, destination_id)
);
