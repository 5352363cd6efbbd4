-- name: lock_erasure
-- Each shard has a copy of the fact: they are folded one after another.
SELECT pg_advisory_xact_lock($1);

-- name: lock_dues
-- Waits until no player decides about these leaves.
SELECT FROM journey_due WHERE workspace_id = $1 AND leaf_id = ANY ($2::bytea[])
ORDER BY journey_id, leaf_id FOR UPDATE;

-- name: leave_mirrors
-- Takes persons out of every mirror, which then removes their entries at the receiver.
UPDATE mirror_member SET memberships = '{}', version = version + 1, changed_at = now(), due_at = now()
WHERE workspace_id = $1 AND profile_id = ANY ($2::bytea[]) AND (memberships <> '{}' OR keys <> '{}')
RETURNING destination_id;

-- name: delete_journey_facts
-- Deletes what journeys have waited for.
DELETE FROM journey_fact
WHERE workspace_id = $1 AND leaf_id = ANY ($2::bytea[]) AND recorded_at_us <= $3;

-- name: delete_leaf_profiles
-- Deletes the profiles that the leaves have belonged to.
DELETE FROM leaf_profile
WHERE workspace_id = $1 AND leaf_id = ANY ($2::bytea[]) AND since_us <= $3;

-- name: hide_profiles
-- Replaces the profile ids of persons where leaves of others belonged to them: leaves that were one
-- profile stay one.
UPDATE leaf_profile SET profile_id = substring(sha256($4::bytea || profile_id) FROM 1 FOR 16)
WHERE workspace_id = $1 AND profile_id = ANY ($2::bytea[]) AND since_us <= $3;

-- name: delete_answers
-- Deletes answers about entries; they are found again where they are needed.
DELETE FROM entry_answer WHERE workspace_id = $1 AND leaf_id = ANY ($2::bytea[]);

-- name: delete_runs
-- Deletes the runs whose entry is deleted. One that began by a fact of a new life stays.
DELETE FROM run r
WHERE r.workspace_id = $1 AND r.leaf_id = ANY ($2::bytea[]) AND NOT EXISTS (
    SELECT FROM journey_fact f
    WHERE f.workspace_id = $1 AND f.leaf_id = r.leaf_id AND f.fact_id = r.entry_fact_id
);

-- name: delete_unpublished
-- Deletes transitions of runs that are deleted, before they become facts.
DELETE FROM run_unpublished u
WHERE u.workspace_id = $1 AND u.leaf_id = ANY ($2::bytea[])
  AND NOT EXISTS (SELECT FROM run r WHERE r.workspace_id = $1 AND r.run_id = u.run_id);

-- name: delete_dues
-- Deletes looks at leaves of which nothing is left.
DELETE FROM journey_due d
WHERE d.workspace_id = $1 AND d.leaf_id = ANY ($2::bytea[]) AND NOT EXISTS (
    SELECT FROM journey_fact f WHERE f.workspace_id = $1 AND f.leaf_id = d.leaf_id
);

-- name: delete_addresses
-- Deletes what is known of the addresses to which messages to persons went, before these forget them.
DELETE FROM address a USING effect e
WHERE a.workspace_id = $1 AND e.workspace_id = $1 AND a.address_key = e.address_key AND (
    e.run_id IS NULL AND e.profile_id = ANY ($2::bytea[]) AND e.changed_at_us <= $3
    OR e.leaf_id = ANY ($2::bytea[])
    AND NOT EXISTS (SELECT FROM run r WHERE r.workspace_id = $1 AND r.run_id = e.run_id)
);

-- name: erase_effects
-- Ends what is open of persons, and deletes every message. The row stays with its key and its state;
-- zeros take the place of the person. An attempt whose answer is not known stays unconfirmed.
UPDATE effect e
SET state = CASE
        WHEN state NOT IN (1, 2, 7, 8) THEN state WHEN state = 2 OR unanswered THEN 6 ELSE 5
    END,
    reason = CASE WHEN state IN (1, 2, 7, 8) THEN 'erased' ELSE reason END,
    ended_at = coalesce(ended_at, now()), payload = NULL, payload_deleted = true, variables = NULL,
    channel_position = '', address_key = NULL, held_until_us = NULL, outcome_published = true,
    profile_id = $4::bytea, leaf_id = CASE WHEN leaf_id IS NULL THEN NULL ELSE $4::bytea END
WHERE e.workspace_id = $1 AND (
    e.run_id IS NULL AND e.profile_id = ANY ($2::bytea[]) AND e.changed_at_us <= $3
    OR e.leaf_id = ANY ($2::bytea[])
    AND NOT EXISTS (SELECT FROM run r WHERE r.workspace_id = $1 AND r.run_id = e.run_id)
);

-- name: erase_reports
-- Deletes whose messages the reports are about; the reports are counted still.
UPDATE report SET leaf_id = $4::bytea, published = true
WHERE workspace_id = $1 AND leaf_id = ANY ($2::bytea[]) AND at_us <= $3;

-- name: erase_coupons
-- Deletes which person has a coupon; its code stays taken.
UPDATE coupon c SET leaf_id = $3::bytea, published = true
WHERE c.workspace_id = $1 AND c.leaf_id = ANY ($2::bytea[])
  AND NOT EXISTS (SELECT FROM run r WHERE r.workspace_id = $1 AND r.run_id = c.run_id);

-- name: delete_ticket_facts
-- Deletes what happened to the tickets about persons.
DELETE FROM ticket_fact f USING ticket t
WHERE t.workspace_id = $1 AND t.leaf_id = ANY ($2::bytea[]) AND t.opened_at_us <= $3
  AND f.workspace_id = $1 AND f.ticket_id = t.ticket_id;

-- name: delete_tickets
-- Deletes the tickets about persons.
DELETE FROM ticket
WHERE workspace_id = $1 AND leaf_id = ANY ($2::bytea[]) AND opened_at_us <= $3;

-- name: delete_decisions
-- Deletes what decisions have read of persons; the next one reads them again.
DELETE FROM slot_person WHERE workspace_id = $1 AND profile_id = ANY ($2::bytea[]);
