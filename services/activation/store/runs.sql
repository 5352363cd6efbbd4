-- name: claim_due
-- Locks what is due at an instant that every shard has passed, the earliest first.
SELECT workspace_id, journey_id, leaf_id, due_us FROM journey_due
WHERE due_us <= $1 AND leaf_id <> '' AND journey_id <> ''
  AND (retry_at IS NULL OR retry_at <= now())
ORDER BY due_us LIMIT $2 FOR UPDATE SKIP LOCKED;

-- name: claim_journey
-- Locks a journey that has changed at an instant that every shard has passed.
SELECT workspace_id, journey_id, due_us FROM journey_due
WHERE due_us <= $1 AND leaf_id = '' ORDER BY due_us LIMIT 1 FOR UPDATE SKIP LOCKED;

-- name: claim_moves
-- Locks leaves of one workspace that have moved until an instant that every shard has passed.
SELECT workspace_id, journey_id, leaf_id FROM journey_due
WHERE journey_id = '' AND due_us <= $1 AND workspace_id = (
    SELECT workspace_id FROM journey_due
    WHERE journey_id = '' AND due_us <= $1 ORDER BY due_us LIMIT 1
)
ORDER BY leaf_id LIMIT $2 FOR UPDATE SKIP LOCKED;

-- name: claim_keys
-- Locks what is due of some leaves in some journeys.
SELECT d.workspace_id, d.journey_id, d.leaf_id, d.due_us
FROM unnest($1::text[], $2::text[], $3::bytea[]) AS t (workspace_id, journey_id, leaf_id)
JOIN journey_due d USING (workspace_id, journey_id, leaf_id)
ORDER BY d.due_us FOR UPDATE OF d SKIP LOCKED;

-- name: known_us
-- The instant up to which every shard has taken in the log.
SELECT min(log_time_us) - 1 FROM checkpoint;

-- name: next_due
-- The next instant at which a person is looked at, and the one that every shard has passed.
SELECT (SELECT due_us FROM journey_due ORDER BY due_us LIMIT 1),
       (SELECT min(log_time_us) - 1 FROM checkpoint);

-- name: profiles_of
-- The profiles of leaves at an instant, of those that had moved to one.
SELECT t.workspace_id, t.leaf_id, l.profile_id
FROM unnest($1::text[], $2::bytea[]) AS t (workspace_id, leaf_id)
CROSS JOIN LATERAL (
    SELECT profile_id FROM leaf_profile l
    WHERE l.workspace_id = t.workspace_id AND l.leaf_id = t.leaf_id AND l.since_us <= $3
    ORDER BY version DESC LIMIT 1
) l;

-- name: newest_of
-- The last moves of leaves that are known, of those that have moved.
SELECT t.workspace_id, t.leaf_id, l.profile_id, l.version, l.since_us
FROM unnest($1::text[], $2::bytea[]) AS t (workspace_id, leaf_id)
CROSS JOIN LATERAL (
    SELECT * FROM leaf_profile o
    WHERE o.workspace_id = t.workspace_id AND o.leaf_id = t.leaf_id
    ORDER BY version DESC LIMIT 1
) l;

-- name: leaves_of
-- The leaves that belonged to profiles at an instant. OFFSET here and below makes every plan look up
-- the rows of each profile or leaf; a plan that was made for few rows would else read all of them.
SELECT l.workspace_id, l.leaf_id, l.profile_id
FROM unnest($1::text[], $2::bytea[]) AS t (workspace_id, profile_id)
CROSS JOIN LATERAL (
    SELECT * FROM leaf_profile
    WHERE leaf_profile.workspace_id = t.workspace_id AND leaf_profile.profile_id = t.profile_id
      AND since_us <= $3
    OFFSET 0
) AS l
CROSS JOIN LATERAL (
    SELECT max(version) AS version FROM leaf_profile
    WHERE leaf_profile.workspace_id = l.workspace_id AND leaf_profile.leaf_id = l.leaf_id
      AND since_us <= $3
) AS newest
WHERE l.version = newest.version;

-- name: load_facts
-- The facts of leaves.
SELECT f.workspace_id, f.leaf_id, f.fact_id, f.occurred_at_us, f.recorded_at_us, f.subjects,
       f.properties, f.caused_at_us
FROM unnest($1::text[], $2::bytea[]) AS t (workspace_id, leaf_id)
CROSS JOIN LATERAL (
    SELECT * FROM journey_fact o
    WHERE o.workspace_id = t.workspace_id AND o.leaf_id = t.leaf_id OFFSET 0
) AS f;

-- name: load_runs
-- The runs of leaves.
SELECT r.workspace_id, r.run_id, r.journey_id, r.leaf_id, r.transitions, r.state, r.step_id,
       r.due_us, r.closed
FROM unnest($1::text[], $2::bytea[]) AS t (workspace_id, leaf_id)
CROSS JOIN LATERAL (SELECT * FROM run o WHERE o.leaf_id = t.leaf_id OFFSET 0) AS r
WHERE r.workspace_id = t.workspace_id;

-- name: load_answers
-- The answers that have refused entries of leaves.
SELECT a.workspace_id, a.journey_id, a.leaf_id, a.answers
FROM unnest($1::text[], $2::bytea[]) AS t (workspace_id, leaf_id)
CROSS JOIN LATERAL (
    SELECT * FROM entry_answer o
    WHERE o.workspace_id = t.workspace_id AND o.leaf_id = t.leaf_id OFFSET 0
) AS a;

-- name: save_answers
-- Saves the answers that have refused entries of leaves.
INSERT INTO entry_answer (workspace_id, journey_id, leaf_id, answers)
SELECT * FROM unnest($1::text[], $2::text[], $3::bytea[], $4::bytea[])
ON CONFLICT (workspace_id, journey_id, leaf_id) DO UPDATE SET answers = excluded.answers;

-- name: save_runs
-- Saves runs whose persons are locked; an older state than the stored one changes nothing, unless
-- they are those of the log.
INSERT INTO run (workspace_id, run_id, journey_id, version, leaf_id, begun_at_us, number,
                 transitions, state, end_reason, step_id, due_us, closed, entry_fact_id,
                 ended_at_us)
SELECT * FROM unnest($1::text[], $2::bytea[], $3::text[], $4::int[], $5::bytea[], $6::bigint[],
                     $7::int[], $8::bytea[], $9::smallint[], $10::smallint[], $11::text[],
                     $12::bigint[], $13::boolean[], $14::bytea[], $15::bigint[])
ON CONFLICT (workspace_id, run_id) DO UPDATE
SET version = excluded.version, number = excluded.number, transitions = excluded.transitions,
    state = excluded.state, end_reason = excluded.end_reason, step_id = excluded.step_id,
    due_us = excluded.due_us, leaf_id = excluded.leaf_id, begun_at_us = excluded.begun_at_us,
    entry_fact_id = excluded.entry_fact_id, ended_at_us = excluded.ended_at_us
WHERE $16 OR run.number <= excluded.number;

-- name: add_unpublished
-- Adds transitions that the log is to have, by ascending runs, as the publisher locks them.
INSERT INTO run_unpublished AS u (workspace_id, run_id, leaf_id, published, number, transitions)
SELECT * FROM unnest($1::text[], $2::bytea[], $3::bytea[], $4::int[], $5::int[], $6::bytea[])
ON CONFLICT (run_id, workspace_id) DO UPDATE
SET leaf_id = excluded.leaf_id, number = excluded.number,
    transitions = u.transitions || excluded.transitions
WHERE u.number < excluded.number;

-- name: delete_unpublished
-- Forgets the transitions that the log is to have, of runs that are as the log has them.
DELETE FROM run_unpublished u USING unnest($1::text[], $2::bytea[]) AS t (workspace_id, run_id)
WHERE u.workspace_id = t.workspace_id AND u.run_id = t.run_id;

-- name: save_dues
-- Says when leaves are looked at next, after a look at them with what was known at an instant. Where
-- that look did not see its reason, the next one is as soon as more is known.
UPDATE journey_due d
SET due_us = CASE WHEN d.unseen_until_us > $5 THEN least(t.due_us, $5 + 1) ELSE t.due_us END,
    retry_at = NULL
FROM unnest($1::text[], $2::text[], $3::bytea[], $4::bigint[])
    AS t (workspace_id, journey_id, leaf_id, due_us)
WHERE d.workspace_id = t.workspace_id AND d.journey_id = t.journey_id AND d.leaf_id = t.leaf_id;

-- name: delete_dues
-- Ends the looks at leaves, until something is learnt, unless the last one did not see its reason.
DELETE FROM journey_due d
USING unnest($1::text[], $2::text[], $3::bytea[]) AS t (workspace_id, journey_id, leaf_id)
WHERE d.workspace_id = t.workspace_id AND d.journey_id = t.journey_id AND d.leaf_id = t.leaf_id
  AND coalesce(d.unseen_until_us, 0) <= $4;

-- name: postpone_dues
-- Postpones looks for which an answer is missing, by some seconds.
UPDATE journey_due d SET retry_at = now() + $4::float8 * interval '1 s'
FROM unnest($1::text[], $2::text[], $3::bytea[]) AS t (workspace_id, journey_id, leaf_id)
WHERE d.workspace_id = t.workspace_id AND d.journey_id = t.journey_id AND d.leaf_id = t.leaf_id;

-- name: add_dues
-- Asks for looks at leaves, at the latest at some instants, and says which instants have to be known
-- for a look to see its reason.
INSERT INTO journey_due AS d (workspace_id, journey_id, leaf_id, due_us, unseen_until_us)
SELECT workspace_id, journey_id, leaf_id, min(due_us), max(unseen_until_us)
FROM unnest($1::text[], $2::text[], $3::bytea[], $4::bigint[], $5::bigint[])
    AS t (workspace_id, journey_id, leaf_id, due_us, unseen_until_us)
GROUP BY workspace_id, journey_id, leaf_id ORDER BY workspace_id, journey_id, leaf_id
ON CONFLICT (workspace_id, journey_id, leaf_id) DO UPDATE
SET due_us = least(d.due_us, excluded.due_us), retry_at = NULL,
    unseen_until_us = greatest(d.unseen_until_us, excluded.unseen_until_us);

-- name: all_profiles_of
-- The profiles that leaves have ever belonged to; a leaf is its own profile before it moves.
SELECT l.workspace_id, l.profile_id
FROM unnest($1::text[], $2::bytea[]) AS t (workspace_id, leaf_id)
JOIN leaf_profile l USING (workspace_id, leaf_id)
UNION
SELECT * FROM unnest($1::text[], $2::bytea[]);

-- name: runs_of_profiles
-- Where leaves that belong or belonged to profiles have runs that can still change; a leaf that has
-- never moved is its own profile.
SELECT DISTINCT r.workspace_id, r.journey_id, r.leaf_id
FROM unnest($1::text[], $2::bytea[]) AS t (workspace_id, profile_id)
CROSS JOIN LATERAL (
    SELECT leaf_id FROM leaf_profile l
    WHERE l.workspace_id = t.workspace_id AND l.profile_id = t.profile_id
    UNION SELECT t.profile_id OFFSET 0
) AS own
CROSS JOIN LATERAL (
    SELECT workspace_id, journey_id, leaf_id FROM run
    WHERE run.leaf_id = own.leaf_id AND NOT closed OFFSET 0
) AS r
WHERE r.workspace_id = t.workspace_id;

-- name: subjects_of_profiles
-- What the facts of leaves that belong or belonged to profiles are instances of.
SELECT DISTINCT f.workspace_id, f.leaf_id, subject
FROM (
    SELECT l.workspace_id, l.leaf_id
    FROM unnest($1::text[], $2::bytea[]) AS t (workspace_id, profile_id)
    JOIN leaf_profile l USING (workspace_id, profile_id)
    UNION
    SELECT * FROM unnest($1::text[], $2::bytea[])
) AS leaf (workspace_id, leaf_id)
JOIN journey_fact f USING (workspace_id, leaf_id)
CROSS JOIN unnest(f.subjects) AS subject;

-- name: add_dues_of_journey
-- Asks for looks at all runs of a journey that have not ended.
INSERT INTO journey_due AS d (workspace_id, journey_id, leaf_id, due_us)
SELECT DISTINCT workspace_id, journey_id, leaf_id, $3::bigint FROM run
WHERE workspace_id = $1 AND journey_id = $2 AND state < 3
ORDER BY 1, 2, 3
ON CONFLICT (workspace_id, journey_id, leaf_id) DO UPDATE
SET due_us = least(d.due_us, excluded.due_us), retry_at = NULL;

-- name: add_facts
-- Adds facts; one that is there gets what it is an instance of besides.
INSERT INTO journey_fact AS f (workspace_id, leaf_id, fact_id, occurred_at_us, recorded_at_us,
                               subjects, properties, caused_at_us)
SELECT workspace_id, leaf_id, fact_id, occurred_at_us, recorded_at_us,
       string_to_array(subjects, E'\n'), properties, caused_at_us
FROM unnest($1::text[], $2::bytea[], $3::bytea[], $4::bigint[], $5::bigint[], $6::text[],
            $7::bytea[], $8::bigint[])
    AS t (workspace_id, leaf_id, fact_id, occurred_at_us, recorded_at_us, subjects, properties,
          caused_at_us)
ORDER BY workspace_id, leaf_id, fact_id
ON CONFLICT (workspace_id, leaf_id, fact_id) DO UPDATE
SET subjects = (SELECT array_agg(DISTINCT s) FROM unnest(f.subjects || excluded.subjects) AS s),
    properties = excluded.properties;

-- name: move_leaves
-- Records the profiles of leaves.
INSERT INTO leaf_profile (workspace_id, leaf_id, profile_id, version, since_us)
SELECT DISTINCT ON (workspace_id, leaf_id, version) *
FROM unnest($1::text[], $2::bytea[], $3::bytea[], $4::bigint[], $5::bigint[])
    AS t (workspace_id, leaf_id, profile_id, version, since_us)
ORDER BY workspace_id, leaf_id, version, since_us
ON CONFLICT (workspace_id, leaf_id, version) DO NOTHING;

-- name: load_unpublished
-- The transitions that may be missing in the log, by run.
SELECT workspace_id, run_id, leaf_id, number, transitions FROM run_unpublished
ORDER BY run_id LIMIT $1;

-- name: mark_published
-- Records that the transitions of runs up to these numbers are in the log. Those of a run that has
-- further ones stay together: an append of the same ones again changes nothing.
WITH locked AS (
    SELECT u.workspace_id, u.run_id
    FROM unnest($1::text[], $2::bytea[], $3::int[]) AS t (workspace_id, run_id, number)
    JOIN run_unpublished u USING (workspace_id, run_id, number)
    ORDER BY u.run_id FOR UPDATE OF u
)
DELETE FROM run_unpublished u USING locked l
WHERE u.workspace_id = l.workspace_id AND u.run_id = l.run_id;

-- name: is_restored
-- Whether runs and the ledger are those of the log.
SELECT EXISTS (SELECT FROM ledger_restored);

-- name: mark_restored
-- Records that runs and the ledger are those of the log.
INSERT INTO ledger_restored (restored_at) VALUES (now());

-- name: count_overdue
-- The looks that have been due since before an instant.
SELECT count(*) FROM journey_due WHERE due_us <= $1 AND retry_at IS NULL;

-- name: delete_facts
-- Deletes facts that were recorded before an instant, of persons whose runs have all ended before
-- another one.
DELETE FROM journey_fact f
USING (
    SELECT workspace_id, leaf_id, fact_id FROM journey_fact o
    WHERE recorded_at_us < $1 AND NOT EXISTS (
        SELECT FROM run r
        WHERE r.workspace_id = o.workspace_id AND r.leaf_id = o.leaf_id
          AND (r.state < 3 OR r.ended_at_us >= $2)
    ) AND NOT EXISTS (
        SELECT FROM leaf_profile l
        JOIN leaf_profile other USING (workspace_id, profile_id)
        JOIN run r ON r.workspace_id = other.workspace_id AND r.leaf_id = other.leaf_id
        WHERE l.workspace_id = o.workspace_id AND l.leaf_id = o.leaf_id
          AND (r.state < 3 OR r.ended_at_us >= $2)
    )
    ORDER BY recorded_at_us LIMIT $3 FOR UPDATE SKIP LOCKED
) old
WHERE f.workspace_id = old.workspace_id AND f.leaf_id = old.leaf_id AND f.fact_id = old.fact_id
RETURNING f.fact_id;
