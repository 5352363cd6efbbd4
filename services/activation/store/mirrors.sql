-- name: save_changes
-- Records the last changes of memberships of profiles; changes that arrive late change nothing.
INSERT INTO mirror_member AS m
    (workspace_id, destination_id, profile_id, memberships, changed_at, due_at)
SELECT t.workspace_id, t.destination_id, t.profile_id, t.memberships::jsonb, now(), now()
FROM unnest($1::text[], $2::text[], $3::bytea[], $4::text[])
    AS t (workspace_id, destination_id, profile_id, memberships)
ON CONFLICT (workspace_id, destination_id, profile_id) DO UPDATE
SET memberships = m.memberships || (
        SELECT coalesce(jsonb_object_agg(n.key, n.value), '{}')
        FROM jsonb_each(excluded.memberships) n
        WHERE n.value::int > coalesce((m.memberships ->> n.key)::int, 0)
    ),
    version = m.version + 1, changed_at = now(), due_at = now();

-- name: save_listed
-- Records that profiles are in a segment. One whose membership has changed since the list was made
-- stays as it is.
INSERT INTO mirror_member AS m
    (workspace_id, destination_id, profile_id, memberships, changed_at, due_at)
SELECT $1, $2, listed, jsonb_build_object($3::text, 1), '-infinity', now()
FROM unnest($4::bytea[]) AS listed
ON CONFLICT (workspace_id, destination_id, profile_id) DO UPDATE
SET memberships = m.memberships
        || jsonb_build_object($3::text, coalesce((m.memberships ->> $3)::int, 0) + 1),
    version = m.version + 1, due_at = now()
WHERE m.changed_at < to_timestamp($5) AND coalesce((m.memberships ->> $3)::int, 0) % 2 = 0;

-- name: drop_unlisted
-- Records that the profiles of a range that a list of a segment does not have are not in it.
UPDATE mirror_member
SET memberships = memberships || jsonb_build_object($3::text, (memberships ->> $3)::int + 1),
    version = version + 1, due_at = now()
WHERE workspace_id = $1 AND destination_id = $2 AND profile_id <> ALL ($4::bytea[])
  AND changed_at < to_timestamp($5) AND (memberships ->> $3)::int % 2 = 1
  AND profile_id > $6 AND ($7::bytea IS NULL OR profile_id <= $7);

-- name: lock_joins
-- Locks the effects of runs that add persons to a mirror or remove them, the oldest first.
SELECT effect_id, shard, workspace_id, leaf_id, journey_id, journey_version, step_id, changed_at_us
FROM effect
WHERE workspace_id = $1 AND destination_id = $2 AND state IN (1, 2) AND due_at <= now()
  AND run_id IS NOT NULL
ORDER BY changed_at_us, effect_id LIMIT $3 FOR UPDATE SKIP LOCKED;

-- name: save_joins
-- Records when runs have added persons or removed them, by the leaves of the runs; what is older than
-- what is known changes nothing.
INSERT INTO mirror_member AS m
    (workspace_id, destination_id, profile_id, memberships, changed_at, due_at)
SELECT $1, $2, t.leaf_id, jsonb_build_object($3::text, t.ordinal), now(), now()
FROM unnest($4::bytea[], $5::bigint[]) AS t (leaf_id, ordinal)
ON CONFLICT (workspace_id, destination_id, profile_id) DO UPDATE
SET memberships = m.memberships || excluded.memberships,
    version = m.version + 1, changed_at = now(), due_at = now()
WHERE (excluded.memberships ->> $3)::bigint > coalesce((m.memberships ->> $3)::bigint, 0);

-- name: end_joins
-- Ends locked effects: what they ask for is recorded.
UPDATE effect e
SET state = t.state, reason = t.reason, attempts = e.attempts + 1, ended_at = now(),
    begun_at_us = coalesce(e.begun_at_us, (SELECT max(log_time_us) FROM checkpoint))
FROM unnest($1::bytea[], $2::int[], $3::smallint[], $4::text[])
    AS t (effect_id, shard, state, reason)
WHERE e.effect_id = t.effect_id AND e.shard = t.shard;

-- name: loaded_version
-- The version of a destination whose segments were read; no row before the first one.
SELECT loaded_version FROM mirror WHERE workspace_id = $1 AND destination_id = $2;

-- name: save_loaded
-- Records the version of a destination whose segments were read.
INSERT INTO mirror (workspace_id, destination_id, loaded_version) VALUES ($1, $2, $3)
ON CONFLICT (workspace_id, destination_id) DO UPDATE SET loaded_version = excluded.loaded_version;

-- name: derive_all
-- Makes all profiles of a mirror due, as the destination has changed.
UPDATE mirror_member SET due_at = now(), version = version + 1
WHERE workspace_id = $1 AND destination_id = $2;

-- name: write_all
-- Makes all entries of a mirror due, so that the receiver gets each again.
UPDATE mirror_entry SET due_at = now(), attempts = 0
WHERE workspace_id = $1 AND destination_id = $2;

-- name: mirrors_with_work
-- The mirrors, of these with their versions, that have members or entries due, or are to be loaded.
SELECT d.workspace_id, d.destination_id
FROM unnest($1::text[], $2::text[], $3::int[]) AS d (workspace_id, destination_id, version)
WHERE NOT EXISTS (SELECT FROM mirror r WHERE r.workspace_id = d.workspace_id
                  AND r.destination_id = d.destination_id AND r.loaded_version >= d.version)
   OR EXISTS (SELECT FROM mirror_member m WHERE m.workspace_id = d.workspace_id
              AND m.destination_id = d.destination_id AND m.due_at <= now())
   OR EXISTS (SELECT FROM mirror_entry e WHERE e.workspace_id = d.workspace_id
              AND e.destination_id = d.destination_id AND e.due_at <= now());

-- name: claim_members
-- Leases profiles whose entries are to be derived.
UPDATE mirror_member m SET due_at = now() + $4::float8 * interval '1 s'
FROM (
    SELECT profile_id FROM mirror_member
    WHERE workspace_id = $1 AND destination_id = $2 AND due_at <= now()
    ORDER BY due_at LIMIT $3 FOR UPDATE SKIP LOCKED
) due
WHERE m.workspace_id = $1 AND m.destination_id = $2 AND m.profile_id = due.profile_id
RETURNING m.profile_id, m.memberships, m.version;

-- name: lock_members
-- Locks profiles, in the order of their ids.
SELECT profile_id, keys, version FROM mirror_member
WHERE workspace_id = $1 AND destination_id = $2 AND profile_id = ANY ($3::bytea[])
ORDER BY profile_id FOR UPDATE;

-- name: save_members
-- Records which entries profiles have, and when they are derived again; NULL = after a change.
UPDATE mirror_member m
SET keys = ARRAY(SELECT jsonb_array_elements_text(t.keys::jsonb)),
    due_at = now() + t.delay_s * interval '1 s'
FROM unnest($3::bytea[], $4::text[], $5::float8[]) AS t (profile_id, keys, delay_s)
WHERE m.workspace_id = $1 AND m.destination_id = $2 AND m.profile_id = t.profile_id;

-- name: delete_erased_members
-- Deletes the rows of erased profiles, which have neither memberships nor entries any more.
DELETE FROM mirror_member
WHERE workspace_id = $1 AND destination_id = $2 AND profile_id = ANY ($3::bytea[])
  AND memberships = '{}' AND keys = '{}';

-- name: lock_entries
-- Locks entries, in the order of their keys.
SELECT key, owners, version, extract(epoch FROM due_at)::float8 AS due_s, is_written, in_flight,
       extract(epoch FROM doubtful_until)::float8 AS doubtful_until_s, attempts, reason
FROM mirror_entry
WHERE workspace_id = $1 AND destination_id = $2 AND key = ANY ($3::text[])
ORDER BY key FOR UPDATE;

-- name: lock_due_entries
-- Locks entries that are to be written and that no other replica has locked.
SELECT key, owners, version, extract(epoch FROM due_at)::float8 AS due_s, is_written, in_flight,
       extract(epoch FROM doubtful_until)::float8 AS doubtful_until_s, attempts, reason
FROM mirror_entry
WHERE workspace_id = $1 AND destination_id = $2 AND due_at <= now()
ORDER BY due_at LIMIT $3 FOR UPDATE SKIP LOCKED;

-- name: save_entries
-- Saves entries.
INSERT INTO mirror_entry (workspace_id, destination_id, key, owners, version, due_at, is_written,
                          in_flight, doubtful_until, attempts, reason)
SELECT $1, $2, t.key, t.owners, t.version, to_timestamp(t.due_s), t.is_written, t.in_flight,
       to_timestamp(t.doubtful_until_s), t.attempts, t.reason
FROM unnest($3::text[], $4::text[], $5::bigint[], $6::float8[], $7::boolean[], $8::boolean[],
            $9::float8[], $10::int[], $11::text[])
    AS t (key, owners, version, due_s, is_written, in_flight, doubtful_until_s, attempts, reason)
ON CONFLICT (workspace_id, destination_id, key) DO UPDATE
SET owners = excluded.owners, version = excluded.version, due_at = excluded.due_at,
    is_written = excluded.is_written, in_flight = excluded.in_flight,
    doubtful_until = excluded.doubtful_until, attempts = excluded.attempts,
    reason = excluded.reason;

-- name: delete_entries
-- Deletes entries that the receiver does not have.
DELETE FROM mirror_entry
WHERE workspace_id = $1 AND destination_id = $2 AND key = ANY ($3::text[]);

-- name: is_defined_everywhere
-- Whether the changes of every shard are matched with this version of a destination, or a newer one.
SELECT count(*) >= $4 FROM destination
WHERE workspace_id = $1 AND destination_id = $2 AND version >= $3;

-- name: now_s
-- The clock of the database, Unix seconds.
SELECT extract(epoch FROM clock_timestamp())::float8;

-- name: count_mirror
-- What a mirror has: members, entries, those that are still to be written or removed, and refused.
SELECT
    EXISTS (SELECT FROM mirror WHERE workspace_id = $1 AND destination_id = $2
            AND loaded_version >= $3) AS loaded,
    (SELECT count(*) FROM mirror_member
     WHERE workspace_id = $1 AND destination_id = $2 AND keys <> '{}') AS members,
    (SELECT count(*) FROM mirror_member
     WHERE workspace_id = $1 AND destination_id = $2 AND due_at <= now()) AS underived,
    count(*) FILTER (WHERE owners <> '{}') AS entries,
    count(*) FILTER (WHERE due_at IS NOT NULL AND owners <> '{}') AS unwritten,
    count(*) FILTER (WHERE owners = '{}') AS unremoved,
    count(*) FILTER (WHERE due_at IS NULL AND reason <> '') AS refused,
    coalesce(max(reason) FILTER (WHERE reason <> ''), '') AS reason
FROM mirror_entry WHERE workspace_id = $1 AND destination_id = $2;
