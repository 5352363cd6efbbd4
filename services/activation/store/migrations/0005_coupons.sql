-- The coupons that messages of runs have taken along. It is restored from the log where the database
-- is lost.
CREATE TABLE coupon (
    -- A hash of the effect and of the name: a repeated attempt takes no other one.
    coupon_id        bytea   PRIMARY KEY,
    workspace_id     text    NOT NULL,
    effect_id        bytea   NOT NULL,
    run_id           bytea   NOT NULL,
    -- The leaf of the entry of the run.
    leaf_id          bytea   NOT NULL,
    journey_id       text    NOT NULL,
    -- The name in the journey.
    name             text    NOT NULL,
    pool_id          text    NOT NULL,
    code             text    NOT NULL,
    -- When it ends, Unix microseconds.
    until_us         bigint  NOT NULL,
    -- Whether the log has it; no attempt is made before.
    published        boolean NOT NULL DEFAULT false,
    voided           boolean NOT NULL DEFAULT false,
    -- The first event that has used it, when that occurred and when the log recorded it.
    used_fact_id     bytea,
    used_at_us       bigint,
    used_recorded_us bigint
);

CREATE INDEX coupon_of_run ON coupon (workspace_id, run_id);

-- As the index of runs by leaves.
CREATE INDEX coupon_of_leaf ON coupon (leaf_id, workspace_id);

CREATE INDEX coupon_of_effect ON coupon (effect_id);

CREATE INDEX coupon_of_code ON coupon (workspace_id, pool_id, code);

-- The codes that were loaded into pools.
CREATE TABLE coupon_code (
    workspace_id text  NOT NULL,
    pool_id      text  NOT NULL,
    code         text  NOT NULL,
    -- The coupon that has taken it; NULL = it is free.
    coupon_id    bytea,
    PRIMARY KEY (workspace_id, pool_id, code)
);

CREATE INDEX coupon_code_free ON coupon_code (workspace_id, pool_id) WHERE coupon_id IS NULL;

CREATE INDEX coupon_code_of_coupon ON coupon_code (coupon_id) WHERE coupon_id IS NOT NULL;
