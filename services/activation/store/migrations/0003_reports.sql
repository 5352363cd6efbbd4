-- What the gate knows of addresses, each named by a hash. What is usable has no row.
CREATE TABLE address (
    workspace_id text     NOT NULL,
    address_key  bytea    NOT NULL,
    -- The words of AddressState, or empty while only the bounces are counted.
    state        text     NOT NULL,
    -- Until when, Unix microseconds; NULL = for ever.
    until_us     bigint,
    -- When messages bounced that may arrive later, ascending.
    bounces      bigint[] NOT NULL DEFAULT '{}',
    PRIMARY KEY (workspace_id, address_key)
);

-- What providers have reported of messages, once each.
CREATE TABLE report (
    fact_id        bytea   PRIMARY KEY,
    workspace_id   text    NOT NULL,
    destination_id text    NOT NULL,
    effect_id      bytea   NOT NULL,
    leaf_id        bytea   NOT NULL,
    -- Of effects of runs; NULL of those of memberships.
    run_id         bytea,
    journey_id     text,
    step_id        text,
    -- The words of ReportKind.
    what           text    NOT NULL,
    at_us          bigint  NOT NULL,
    -- Whether a machine did it, such as a proxy that loads images.
    is_machine     boolean NOT NULL,
    -- A text such as `5.1.1`; holds nothing personal.
    reason         text    NOT NULL,
    -- Whether the address does not exist.
    is_hard        boolean NOT NULL,
    -- Whether the report is a fact of the log.
    published      boolean NOT NULL DEFAULT false
);

CREATE INDEX report_of_effect ON report (effect_id);

CREATE INDEX report_unpublished ON report (fact_id) WHERE NOT published;
