-- name: lock_profiles
-- Takes the profiles in one order, so that two workers never wait for each other in a circle.
SELECT count(pg_advisory_xact_lock(key)) FROM unnest($1::bigint[]) AS key;

-- name: load_standings
-- How these profiles stand.
SELECT profile_id, workspace_id, version, holds, merged_into, at_us
FROM standing WHERE profile_id = ANY ($1::bytea[]);

-- name: save_standings
-- Puts newer standings in the place of older ones.
INSERT INTO standing (shard, profile_id, workspace_id, version, holds, merged_into, at_us)
SELECT * FROM unnest($1::int[], $2::bytea[], $3::text[], $4::bigint[], $5::bytea[], $6::bytea[],
                     $7::bigint[])
ON CONFLICT (profile_id, shard) DO UPDATE
SET version = excluded.version, holds = excluded.holds,
    merged_into = excluded.merged_into, at_us = excluded.at_us;

-- name: load_memberships
-- The segments of these profiles.
SELECT profile_id, segment_id FROM membership WHERE profile_id = ANY ($1::bytea[]);

-- name: load_memberships_in
-- The segments of these profiles in another schema.
SELECT profile_id, segment_id FROM {schema}.membership WHERE profile_id = ANY ($1::bytea[]);

-- name: load_segment
-- The members of a segment.
SELECT segment_version, profile_id, since_us FROM membership
WHERE workspace_id = $1 AND segment_id = $2 ORDER BY profile_id;

-- name: load_difference
-- Who is in what in one of two schemas and not in the other.
SELECT coalesce(n.workspace_id, l.workspace_id), coalesce(n.segment_id, l.segment_id),
       coalesce(n.segment_version, d.version, l.segment_version),
       coalesce(n.profile_id, l.profile_id), n.profile_id IS NOT NULL,
       coalesce(s.at_us, $1), s.profile_id IS NOT NULL
FROM {live}.membership l
FULL JOIN {new}.membership n USING (profile_id, segment_id)
LEFT JOIN {new}.standing s ON s.profile_id = coalesce(n.profile_id, l.profile_id) AND s.merged_into IS NULL
LEFT JOIN {new}.definition d ON d.workspace_id = l.workspace_id AND d.segment_id = l.segment_id
WHERE l.profile_id IS NULL OR n.profile_id IS NULL
ORDER BY 4, 2;

-- name: take_on_memberships
-- Members who stayed in are in since they came, by the version that let them in.
UPDATE membership n SET since_us = l.since_us, segment_version = l.segment_version
FROM {live}.membership l
WHERE l.profile_id = n.profile_id AND l.segment_id = n.segment_id;

-- name: set_since
-- Since when members are in.
UPDATE membership n SET since_us = t.since_us
FROM unnest($1::bytea[], $2::text[], $3::bigint[]) AS t (profile_id, segment_id, since_us)
WHERE n.profile_id = t.profile_id AND n.segment_id = t.segment_id;

-- name: take_on_revision
-- What was cached of definitions is outdated.
UPDATE revision SET value = (SELECT value + 1 FROM {live}.revision);

-- name: enter
-- Adds memberships.
INSERT INTO membership
    (shard, workspace_id, segment_id, profile_id, segment_version, since_us)
SELECT * FROM unnest($1::int[], $2::text[], $3::text[], $4::bytea[], $5::int[], $6::bigint[])
ON CONFLICT DO NOTHING;

-- name: leave
-- Takes memberships away.
DELETE FROM membership m
USING unnest($1::bytea[], $2::text[]) AS t (p, s)
WHERE m.profile_id = t.p AND m.segment_id = t.s;

-- name: load_ordinals
-- The last ordinal and instant announced for each of these profiles and segments.
SELECT t.p AS profile_id, t.s AS segment_id, h.ordinal, h.at_us
FROM unnest($1::bytea[], $2::text[]) AS t (p, s)
CROSS JOIN LATERAL (
    SELECT ordinal, at_us FROM history h
    WHERE h.profile_id = t.p AND h.segment_id = t.s ORDER BY ordinal DESC LIMIT 1
) h;

-- name: load_causes
-- Why each of these profiles entered or left these segments last.
SELECT t.p AS profile_id, t.s AS segment_id, h.cause
FROM unnest($1::bytea[], $2::text[]) AS t (p, s)
CROSS JOIN LATERAL (
    SELECT cause FROM history h
    WHERE h.profile_id = t.p AND h.segment_id = t.s ORDER BY ordinal DESC LIMIT 1
) h;

-- name: write_history
-- Keeps what is announced.
INSERT INTO history (shard, sequence, position, workspace_id, segment_id, segment_version,
                     profile_id, entered, ordinal, at_us, cause, other_profile_id)
SELECT $1, $2, t.*
FROM unnest($3::int[], $4::text[], $5::text[], $6::int[], $7::bytea[], $8::bool[], $9::int[],
            $10::bigint[], $11::smallint[], $12::bytea[]) AS t;

-- name: write_notices
-- Keeps facts that concern no person and are passed on.
INSERT INTO notice (shard, sequence, position, fact)
SELECT $1, $2, t.* FROM unnest($3::int[], $4::bytea[]) AS t;

-- name: outbox_begin
-- The oldest sequence of a shard that the outbox still has.
SELECT first FROM outbox WHERE shard = $1 ORDER BY first LIMIT 1;

-- name: telling_sequences
-- The first sequences of a range at which anything was announced or passed on.
(SELECT DISTINCT sequence FROM history
 WHERE shard = $1 AND sequence >= $2 AND sequence < $3 ORDER BY sequence LIMIT $4)
UNION
(SELECT DISTINCT sequence FROM notice
 WHERE shard = $1 AND sequence >= $2 AND sequence < $3 ORDER BY sequence LIMIT $4)
ORDER BY sequence LIMIT $4;

-- name: announced
-- What was announced on a shard in a range of sequences.
SELECT * FROM history WHERE shard = $1 AND sequence >= $2 AND sequence < $3
ORDER BY sequence, position;

-- name: noticed
-- What was passed on by a shard in a range of sequences.
SELECT sequence, fact FROM notice WHERE shard = $1 AND sequence >= $2 AND sequence < $3
ORDER BY sequence, position;

-- name: load_revision
-- Whether definitions changed since they were read.
SELECT value FROM revision;

-- name: lock_revision
-- Lets one worker at a time change what is defined.
SELECT value FROM revision FOR UPDATE;

-- name: bump_revision
-- Tells every cache that definitions changed.
UPDATE revision SET value = value + 1;

-- name: load_definitions
-- The segments of every workspace.
SELECT workspace_id, segment_id, version, message FROM definition ORDER BY 1, 2;

-- name: load_definition
-- One segment.
SELECT message FROM definition WHERE workspace_id = $1 AND segment_id = $2;

-- name: load_live
-- On how many shards each predicate is live.
SELECT workspace_id, predicate_id, count(*) AS shards FROM live_predicate GROUP BY 1, 2;

-- name: save_definition
-- Takes a version of a segment unless a newer one is there.
INSERT INTO definition (workspace_id, segment_id, version, message) VALUES ($1, $2, $3, $4)
ON CONFLICT (workspace_id, segment_id) DO UPDATE
SET version = excluded.version, message = excluded.message
WHERE definition.version < excluded.version;

-- name: save_live
-- A shard has taken in the whole log for these predicates; tells which were new.
INSERT INTO live_predicate (workspace_id, predicate_id, shard)
SELECT $1, p, $3 FROM unnest($2::bigint[]) AS p ON CONFLICT DO NOTHING RETURNING predicate_id;

-- name: ask_sweep
-- Asks for a sweep of a shard for one version of a segment.
INSERT INTO sweep (shard, workspace_id, segment_id, version)
VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING;

-- name: ask_again
-- Asks for a sweep of a shard anew, whatever was swept before.
INSERT INTO sweep (shard, workspace_id, segment_id, version)
VALUES ($1, $2, $3, $4)
ON CONFLICT (shard, workspace_id, segment_id, version)
DO UPDATE SET after = '\x', done = false, asked = sweep.asked + 1;

-- name: next_sweep
-- One sweep of a shard that is not done.
SELECT workspace_id, segment_id, version, after, asked FROM sweep
WHERE shard = $1 AND NOT done ORDER BY workspace_id, segment_id, version LIMIT 1;

-- name: join_sweeps
-- Those of a shard and workspace that did not begin are done when the one that begins is.
UPDATE sweep SET done = true
WHERE shard = $1 AND workspace_id = $2 AND NOT done AND after = '\x'
  AND (segment_id, version) <> ($3, $4);

-- name: sweep_page
-- The next profiles of a shard and workspace to look at.
SELECT profile_id FROM standing
WHERE shard = $1 AND workspace_id = $2 AND profile_id > $3 ORDER BY profile_id LIMIT $4;

-- name: save_sweep
-- How far a sweep is, unless it was asked for anew meanwhile.
UPDATE sweep SET after = $5, done = $6
WHERE shard = $1 AND workspace_id = $2 AND segment_id = $3 AND version = $4 AND asked = $7;

-- name: sizes
-- Members of each segment of a workspace.
SELECT segment_id, count(*) AS size FROM membership WHERE workspace_id = $1 GROUP BY segment_id;

-- name: members
-- Members of a segment, by profile id, after one.
SELECT profile_id, since_us FROM membership
WHERE workspace_id = $1 AND segment_id = $2 AND profile_id > $3 ORDER BY profile_id LIMIT $4;

-- name: members_as_of
-- Members of a segment as announced at an instant, by profile id, after one.
SELECT profile_id, at_us AS since_us FROM (
    SELECT DISTINCT ON (profile_id) profile_id, at_us, entered FROM history
    WHERE workspace_id = $1 AND segment_id = $2 AND profile_id > $3 AND at_us <= $5
    ORDER BY profile_id, ordinal DESC
) last WHERE entered ORDER BY profile_id LIMIT $4;

-- name: history_of_profile
-- What was announced of one profile.
SELECT * FROM history WHERE workspace_id = $1 AND profile_id = $2 ORDER BY at_us, segment_id, ordinal;

-- name: history_since
-- What was announced on a shard for a workspace, from a sequence on.
-- The page may cut a batch only where the batch alone is longer; so it ends with whole ones.
WITH page AS (
    SELECT DISTINCT sequence FROM (
        SELECT sequence FROM history
        WHERE shard = $1 AND sequence >= $2 AND workspace_id = $3
        ORDER BY sequence, position LIMIT $4
    ) AS first_rows
)
SELECT h.* FROM history h JOIN page USING (sequence)
WHERE h.shard = $1 AND h.workspace_id = $3 ORDER BY h.sequence, h.position;

-- name: last_sequence
-- The sequence after the last announcement of a shard.
SELECT coalesce(max(sequence) + 1, 0) FROM history WHERE shard = $1;

-- name: all_profiles
-- Every profile that stands somehow.
SELECT profile_id FROM standing ORDER BY profile_id;

-- name: count_rows
-- Named counts for the status.
SELECT (SELECT count(*) FROM membership) AS memberships,
       (SELECT count(*) FROM standing WHERE merged_into IS NULL) AS standings,
       (SELECT count(*) FROM definition) AS segments,
       (SELECT count(*) FROM history) AS announcements;
