-- Which messages were sent again, how often, and when: evidence of what the log did not store. It is no
-- fact: it is counted from calls, and not folded from the log. It has no content.

CREATE TABLE duplicate (
    workspace_id text NOT NULL,
    source_id text NOT NULL,
    -- The id of the fact that the first message became.
    fact_id bytea NOT NULL CHECK (octet_length(fact_id) = 16),
    -- How often it was sent again.
    repeats bigint NOT NULL,
    -- By the log's clock, Unix microseconds.
    first_at bigint NOT NULL,
    last_at bigint NOT NULL,
    PRIMARY KEY (workspace_id, source_id, fact_id)
);
-- Pages of a workspace, newest first.
CREATE INDEX duplicate_newest ON duplicate (workspace_id, last_at DESC, fact_id DESC);
-- The oldest entries of all workspaces, which expire.
CREATE INDEX duplicate_oldest ON duplicate (last_at);

-- The repeats of each source in all, also those of messages that have no row above.
CREATE TABLE duplicate_total (
    workspace_id text NOT NULL,
    source_id text NOT NULL,
    repeats bigint NOT NULL,
    first_at bigint NOT NULL,
    last_at bigint NOT NULL,
    PRIMARY KEY (workspace_id, source_id)
);
