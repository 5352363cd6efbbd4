-- The even number after which the changes of erased profiles are counted. A new life of a profile has the same id, and
-- receivers know a change by its profile, its segment and its ordinal.
CREATE TABLE erased_profile (
    workspace_id text    NOT NULL,
    profile_id   bytea   NOT NULL,
    ordinal      integer NOT NULL,
    PRIMARY KEY (workspace_id, profile_id)
);
