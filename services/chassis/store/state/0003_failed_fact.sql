-- The units that this state lacks: failed facts, whose fold raised, and parked facts, which an operator
-- takes out. A unit is a fact, or in services that fold messages the part of one workspace.
CREATE TABLE failed_fact (
    shard int NOT NULL,
    -- The sequence number in the upstream: the offset in the log for identity and profile.
    sequence bigint NOT NULL,
    -- Tells apart the units of one message; empty where it has one.
    unit_key bytea NOT NULL DEFAULT '',
    workspace_id text NOT NULL,
    -- A message of the upstream with the unit alone; NULL where it has to be read upstream.
    payload bytea,
    -- The type of the error and the line that raised it; never its text.
    error text NOT NULL DEFAULT '',
    attempts int NOT NULL DEFAULT 0,
    next_retry_at timestamptz NOT NULL DEFAULT now(),
    -- An operator parked the fact: it is not retried.
    parked boolean NOT NULL DEFAULT false,
    -- Why the operator parked it.
    reason text NOT NULL DEFAULT '',
    -- The state includes the fact although it is parked, until the service is rebuilt.
    folded boolean NOT NULL DEFAULT false,
    PRIMARY KEY (shard, sequence, unit_key)
);
