-- What can be rebuilt from the log. Every table carries `shard`, the shard of the profile.

-- Which predicates hold for whom, by the highest version told.
CREATE TABLE standing (
    shard        integer NOT NULL,
    profile_id   bytea   NOT NULL,
    workspace_id text    NOT NULL,
    version      bigint  NOT NULL,
    holds        bytea   NOT NULL, -- ids of 8 bytes each, ascending
    merged_into  bytea,
    at_us        bigint  NOT NULL,
    PRIMARY KEY (profile_id, shard)
) WITH (fillfactor = 80);

CREATE INDEX standing_by_shard ON standing (shard, profile_id);

-- Who is in which segment now.
CREATE TABLE membership (
    shard           integer NOT NULL,
    workspace_id    text    NOT NULL,
    segment_id      text    NOT NULL,
    profile_id      bytea   NOT NULL,
    segment_version integer NOT NULL,
    since_us        bigint  NOT NULL,
    PRIMARY KEY (profile_id, segment_id, shard)
);

CREATE INDEX membership_by_segment ON membership (workspace_id, segment_id, profile_id);

-- The newest version of each segment's definition, as the fact's message.
CREATE TABLE definition (
    workspace_id text    NOT NULL,
    segment_id   text    NOT NULL,
    version      integer NOT NULL,
    message      bytea   NOT NULL,
    PRIMARY KEY (workspace_id, segment_id)
);

-- For which predicates each shard of the profiles has taken in the whole log.
CREATE TABLE live_predicate (
    workspace_id text    NOT NULL,
    predicate_id bigint  NOT NULL,
    shard        integer NOT NULL,
    PRIMARY KEY (workspace_id, predicate_id, shard)
);

-- Standings that a definition asks to look at once more, shard by shard.
CREATE TABLE sweep (
    shard        integer NOT NULL,
    workspace_id text    NOT NULL,
    segment_id   text    NOT NULL,
    version      integer NOT NULL,
    after        bytea   NOT NULL DEFAULT '\x',
    done         boolean NOT NULL DEFAULT false,
    -- Counts how often it was asked for: a page of an older asking moves nothing.
    asked        integer NOT NULL DEFAULT 1,
    PRIMARY KEY (shard, workspace_id, segment_id, version)
);

-- Counts up with every change of `definition` or `live_predicate`, so that caches notice.
CREATE TABLE revision (
    one   boolean PRIMARY KEY DEFAULT true CHECK (one),
    value bigint  NOT NULL
);

INSERT INTO revision (value) VALUES (0);
