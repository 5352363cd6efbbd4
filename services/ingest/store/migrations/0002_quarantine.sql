-- Refused events as they were sent, until they are repaired and released. They are not part of the
-- log; a release appends a fact.

CREATE TABLE quarantine (
    shard smallint NOT NULL,
    -- 16 bytes, a function of the sent bytes and the reason: a repeat is the same row.
    quarantine_id bytea NOT NULL,
    workspace_id text NOT NULL,
    source_id text NOT NULL,
    -- grpc, http, nats or file.
    endpoint text NOT NULL,
    -- A name of onefold.type.v1.ErrorReason without its prefix.
    reason text NOT NULL,
    field text NOT NULL,
    message text NOT NULL,
    -- How to decode `raw`: event (a serialised Event), call (JSON of the Segment specification; after
    -- a colon the name of the call where the URL path gave it), batch (a batch of one call with the
    -- fields beside it), body (the body of a whole request).
    format text NOT NULL,
    raw bytea NOT NULL,
    received_at bigint NOT NULL,
    released_fact_id bytea,
    PRIMARY KEY (shard, quarantine_id)
);
-- Pages of a workspace, newest first.
CREATE INDEX quarantine_newest ON quarantine (workspace_id, received_at DESC, quarantine_id DESC);
-- The oldest entries of all workspaces, which expire.
CREATE INDEX quarantine_oldest ON quarantine (received_at);

-- How much of its quota each source uses; entries that were released do not count.
CREATE TABLE quarantine_usage (
    workspace_id text NOT NULL,
    source_id text NOT NULL,
    entries bigint NOT NULL,
    -- Of the column `raw`.
    size_bytes bigint NOT NULL,
    PRIMARY KEY (workspace_id, source_id)
);
