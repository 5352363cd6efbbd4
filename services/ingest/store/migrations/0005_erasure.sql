-- Erasures of persons, folded from the log. `identifier_ids` are keyed hashes: they are stored so that a
-- restored backup, or a message that is sent again, brings nothing back.

CREATE TABLE erasure (
    workspace_id text NOT NULL,
    request_id bytea NOT NULL CHECK (octet_length(request_id) = 16),
    requested_at bigint NOT NULL,
    actor text NOT NULL,
    legal_ground text NOT NULL,
    block boolean NOT NULL,
    identifier_ids bytea [] NOT NULL,
    related_ids bytea [] NOT NULL,
    -- The state of the log by which they were found: one offset for each shard.
    known_to bigint [] NOT NULL,
    -- The leaves of accounts that the person was a member of, as far as facts were overwritten.
    account_ids bytea [] NOT NULL DEFAULT '{}',
    -- The leaves of others whose facts have lost identifiers of the person.
    changed_ids bytea [] NOT NULL DEFAULT '{}',
    facts bigint NOT NULL DEFAULT 0,
    facts_of_others bigint NOT NULL DEFAULT 0,
    refused_events bigint NOT NULL DEFAULT 0,
    -- When, and in which state of the log, nothing of the person was left; null until then.
    erased_at bigint,
    token bigint [],
    PRIMARY KEY (workspace_id, request_id)
);
CREATE INDEX erasure_pending ON erasure (requested_at) WHERE erased_at IS NULL;

-- The one change that the log takes: a fact becomes smaller while the erasure of a person of its
-- workspace is under way. Its place, its id and its times stay.
CREATE FUNCTION check_overwritten_fact() RETURNS trigger
LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
    IF (
        NEW.shard, NEW."offset", NEW.fact_id, NEW.workspace_id, NEW.source_id, NEW.actor,
        NEW.occurred_at, NEW.recorded_at, NEW.content_tag
    ) IS DISTINCT FROM (
        OLD.shard, OLD."offset", OLD.fact_id, OLD.workspace_id, OLD.source_id, OLD.actor,
        OLD.occurred_at, OLD.recorded_at, OLD.content_tag
    ) OR OLD.leaf_id IS NULL OR NEW.leaf_id IS NULL
        OR octet_length(NEW.payload) > octet_length(OLD.payload)
        OR NOT EXISTS (
            SELECT FROM erasure
            WHERE erasure.workspace_id = OLD.workspace_id AND erasure.erased_at IS NULL
        )
    THEN
        RAISE EXCEPTION 'the log is append-only: only an erasure overwrites the facts of a person'
            USING ERRCODE = 'OF002';
    END IF;
    RETURN NEW;
END
$$;
CREATE TRIGGER overwritten_fact BEFORE UPDATE ON fact
    FOR EACH ROW EXECUTE FUNCTION check_overwritten_fact();
