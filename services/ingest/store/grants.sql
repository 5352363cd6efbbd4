-- name: migrations
-- The log is append-only, for every role that a service logs in as, but for what an erasure overwrites:
-- a trigger takes nothing else. Callers read facts and definitions, and the quarantine takes their
-- refused events and what became of them.
REVOKE UPDATE, DELETE ON fact FROM {fold};
GRANT UPDATE (kind_id, leaf_id, payload) ON fact TO {fold};
GRANT SELECT ON erasure TO {api};
GRANT SELECT ON fact, kind, workspace, source, api_key, key_use, duplicate, duplicate_total TO {api};
GRANT SELECT, INSERT, UPDATE (released_fact_id) ON quarantine TO {api};
GRANT SELECT, INSERT, UPDATE (entries, size_bytes) ON quarantine_usage TO {api}
