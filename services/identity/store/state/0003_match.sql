-- Assessments of probable matches by models and reviewers, a < b; the latest one of each pair. No
-- profile depends on them.
CREATE TABLE match (
    shard          integer  NOT NULL,
    a              bytea    NOT NULL,
    b              bytea    NOT NULL,
    workspace_id   text     NOT NULL,
    occurred_at_us bigint   NOT NULL,
    fact_id        bytea    NOT NULL,
    -- As onefold.identity.v1.Assessment.
    assessment     smallint NOT NULL,
    -- The purposes it may be used for; none unless it is accepted.
    purposes       text[]   NOT NULL,
    -- A serialised onefold.identity.v1.MatchAssessed.
    message        bytea    NOT NULL,
    PRIMARY KEY (a, b, shard)
);

CREATE INDEX match_by_b ON match (b);
CREATE INDEX match_by_assessment ON match (workspace_id, assessment, a, b);
