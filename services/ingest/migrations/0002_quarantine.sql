-- What was refused, as it came, until somebody repairs or forgets it. Not part of the log: a fact is
-- made of it when it is released.

CREATE TABLE quarantine (
    shard smallint NOT NULL,
    -- 16 bytes, a function of what came and why it was refused: a repeat is the same entry.
    quarantine_id bytea NOT NULL,
    workspace_id text NOT NULL,
    source_id text NOT NULL,
    -- grpc, http, nats or file.
    door text NOT NULL,
    -- A name of onefold.type.v1.ErrorReason without its prefix.
    reason text NOT NULL,
    field text NOT NULL,
    message text NOT NULL,
    -- How to read `raw`: event (a serialised Event), call (JSON of the Segment specification; the
    -- name of the call behind a colon where the address gave it), body (a whole request's body).
    form text NOT NULL,
    raw bytea NOT NULL,
    received_at bigint NOT NULL,
    released_fact_id bytea,
    PRIMARY KEY (shard, quarantine_id)
);
-- Pages of a workspace, newest first.
CREATE INDEX quarantine_newest ON quarantine (workspace_id, received_at DESC, quarantine_id DESC);
