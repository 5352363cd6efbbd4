-- name: load_last_changes
-- The last published change of each of these profiles and segments.
SELECT t.profile_id, t.segment_id, h.ordinal, h.changed_at_us, h.cause
FROM unnest($1::bytea[], $2::text[]) AS t (profile_id, segment_id)
CROSS JOIN LATERAL (
    SELECT ordinal, changed_at_us, cause FROM history h
    WHERE h.profile_id = t.profile_id AND h.segment_id = t.segment_id
    ORDER BY ordinal DESC LIMIT 1
) h;

-- name: add_changes
-- Adds the changes of one message.
INSERT INTO history (shard, sequence, position, workspace_id, segment_id, segment_version,
                     profile_id, entered, ordinal, changed_at_us, cause, other_profile_id)
SELECT $1, $2, t.*
FROM unnest($3::int[], $4::text[], $5::text[], $6::int[], $7::bytea[], $8::bool[], $9::int[],
            $10::bigint[], $11::smallint[], $12::bytea[]) AS t;

-- name: add_broadcast_facts
-- Adds the broadcast facts of one message.
INSERT INTO broadcast_fact (shard, sequence, position, fact)
SELECT $1, $2, t.* FROM unnest($3::int[], $4::bytea[]) AS t;

-- name: load_outbox_begin
-- The oldest sequence of a shard that the outbox still has.
SELECT first FROM outbox WHERE shard = $1 ORDER BY first LIMIT 1;

-- name: load_sequences
-- The first sequences of a range that have changes or broadcast facts.
(SELECT DISTINCT sequence FROM history
 WHERE shard = $1 AND sequence >= $2 AND sequence < $3 ORDER BY sequence LIMIT $4)
UNION
(SELECT DISTINCT sequence FROM broadcast_fact
 WHERE shard = $1 AND sequence >= $2 AND sequence < $3 ORDER BY sequence LIMIT $4)
ORDER BY sequence LIMIT $4;

-- name: load_changes
-- The changes of a shard in a range of sequences.
SELECT * FROM history WHERE shard = $1 AND sequence >= $2 AND sequence < $3
ORDER BY sequence, position;

-- name: load_broadcast_facts
-- The broadcast facts of a shard in a range of sequences.
SELECT sequence, fact FROM broadcast_fact
WHERE shard = $1 AND sequence >= $2 AND sequence < $3 ORDER BY sequence, position;

-- name: load_changes_of_workspace
-- The changes of a shard and workspace from a sequence on, about a page of them. It ends with a
-- whole message, so it is longer than a page where one message is.
WITH page AS (
    SELECT DISTINCT sequence FROM (
        SELECT sequence FROM history
        WHERE shard = $1 AND sequence >= $2 AND workspace_id = $3
        ORDER BY sequence, position LIMIT $4
    ) AS first_rows
)
SELECT h.* FROM history h JOIN page USING (sequence)
WHERE h.shard = $1 AND h.workspace_id = $3 ORDER BY h.sequence, h.position;

-- name: load_changes_of_profile
-- The changes of one profile.
SELECT * FROM history WHERE workspace_id = $1 AND profile_id = $2
ORDER BY changed_at_us, segment_id, ordinal;

-- name: load_next_sequences
-- The sequence after the last change, by shard; a shard without changes is left out.
SELECT shard, max(sequence) + 1 AS next FROM history GROUP BY shard;

-- name: list_members_as_of
-- Members of a segment as published at an instant, after one, by profile id.
SELECT profile_id, changed_at_us AS since_us FROM (
    SELECT DISTINCT ON (profile_id) profile_id, changed_at_us, entered FROM history
    WHERE workspace_id = $1 AND segment_id = $2 AND profile_id > $3 AND changed_at_us <= $5
    ORDER BY profile_id, ordinal DESC
) last WHERE entered ORDER BY profile_id LIMIT $4;
