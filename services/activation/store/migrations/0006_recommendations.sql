-- What was computed of the items of slots. Each computation replaces the one before it.
CREATE TABLE item_fit (
    workspace_id  text        NOT NULL,
    slot_id       text        NOT NULL,
    -- Counts the computations; the rows of the last one count.
    fit           integer     NOT NULL DEFAULT 0,
    -- The version of the slot that it went by.
    slot_version  integer     NOT NULL DEFAULT 0,
    -- The log's clock at its state of the log, Unix microseconds; 0 = none has ended.
    fitted_at_us  bigint      NOT NULL DEFAULT 0,
    persons       bigint      NOT NULL DEFAULT 0,
    items         bigint      NOT NULL DEFAULT 0,
    -- Until when a replica computes.
    claimed_until timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (workspace_id, slot_id)
);

CREATE TABLE item_ranking (
    workspace_id text     NOT NULL,
    slot_id      text     NOT NULL,
    fit          integer  NOT NULL,
    -- 1 = the category of an item and what is similar to it, 2 = what is popular in a category.
    kind         smallint NOT NULL,
    -- The item or the category; an empty category stands for all items.
    key          text     NOT NULL,
    -- JSON: a category, or null, and a list of items with their scores.
    payload      bytea    NOT NULL,
    PRIMARY KEY (workspace_id, slot_id, fit, kind, key)
);
