-- name: load_memberships
-- The segments of these profiles; {schema} is empty, or a schema and a dot.
SELECT profile_id, segment_id FROM {schema}membership WHERE profile_id = ANY ($1::bytea[]);

-- name: load_entries
-- The entry of each member of a segment, as a row of the history with the cause DEFINITION.
SELECT workspace_id, segment_id, segment_version, profile_id, true AS entered,
       since_us AS changed_at_us, 3 AS cause, NULL::bytea AS other_profile_id, 0 AS ordinal,
       NULL::bigint AS occurred_at_us
FROM membership
WHERE segment_key = segment_key($1, $2) AND workspace_id = $1 AND segment_id = $2
ORDER BY profile_id;

-- name: delete_memberships
-- Deletes memberships.
DELETE FROM membership m
USING unnest($1::bytea[], $2::text[]) AS t (profile_id, segment_id)
WHERE m.profile_id = t.profile_id AND m.segment_id = t.segment_id;

-- name: list_members
-- Members of a segment after one, by profile id.
SELECT profile_id, since_us FROM membership
WHERE segment_key = segment_key($1, $2) AND workspace_id = $1 AND segment_id = $2
    AND profile_id > $3
ORDER BY profile_id LIMIT $4;

-- name: count_members
-- The number of members of each segment of a workspace that has some.
SELECT m.segment_id, count(*) AS size
FROM changed_segment s JOIN membership m
    ON m.segment_key = s.segment_key AND m.workspace_id = s.workspace_id
    AND m.segment_id = s.segment_id
WHERE s.workspace_id = $1 GROUP BY m.segment_id;

-- name: load_difference
-- The memberships that exist in one of two schemas only, as rows of the history with the cause RULE.
-- They are learnt now, and follow from what took place when the evaluation changed, or before.
SELECT coalesce(n.workspace_id, l.workspace_id) AS workspace_id,
       coalesce(n.segment_id, l.segment_id) AS segment_id,
       coalesce(n.segment_version, d.version, l.segment_version) AS segment_version,
       coalesce(n.profile_id, l.profile_id) AS profile_id,
       n.profile_id IS NOT NULL AS entered,
       $1::bigint AS changed_at_us,
       1 AS cause, NULL::bytea AS other_profile_id, 0 AS ordinal,
       e.changed_at_us AS occurred_at_us,
       e.profile_id IS NOT NULL AS profile_exists
FROM {live}.membership l
FULL JOIN {new}.membership n USING (profile_id, segment_id)
LEFT JOIN {new}.evaluation e
    ON e.profile_id = coalesce(n.profile_id, l.profile_id) AND e.merged_into IS NULL
LEFT JOIN {new}.definition d ON d.workspace_id = l.workspace_id
    AND d.kind = 'onefold.segment.v1.SegmentDefined' AND d.definition_id = l.segment_id
WHERE l.profile_id IS NULL OR n.profile_id IS NULL
ORDER BY profile_id, segment_id;

-- name: carry_over_memberships
-- Members that stayed keep their entry: its instant and the version of the segment.
UPDATE {new}.membership n SET since_us = l.since_us, segment_version = l.segment_version
FROM {live}.membership l
WHERE l.profile_id = n.profile_id AND l.segment_id = n.segment_id;

-- name: set_since
-- Sets the instant at which members entered.
UPDATE {new}.membership n SET since_us = t.since_us
FROM unnest($1::bytea[], $2::text[], $3::bigint[]) AS t (profile_id, segment_id, since_us)
WHERE n.profile_id = t.profile_id AND n.segment_id = t.segment_id;

-- name: load_last_changes
-- The last published change of each of these profiles and segments; of an erased profile that has
-- no change since, the ordinal alone.
SELECT
    t.profile_id, t.segment_id, coalesce(h.ordinal, e.ordinal) AS ordinal, h.changed_at_us, h.cause
FROM unnest($1::text[], $2::bytea[], $3::text[]) AS t (workspace_id, profile_id, segment_id)
LEFT JOIN erased_profile e ON e.workspace_id = t.workspace_id AND e.profile_id = t.profile_id
LEFT JOIN LATERAL (
    SELECT ordinal, changed_at_us, cause FROM history h
    WHERE h.segment_key = segment_key(t.workspace_id, t.segment_id)
        AND h.workspace_id = t.workspace_id AND h.segment_id = t.segment_id
        AND h.profile_id = t.profile_id
    ORDER BY ordinal DESC LIMIT 1
) h ON true
WHERE h.ordinal IS NOT NULL OR e.ordinal IS NOT NULL;

-- name: add_broadcast_facts
-- Adds the broadcast facts of one message.
INSERT INTO broadcast_fact (shard, sequence, position, fact)
SELECT $1, $2, t.* FROM unnest($3::int[], $4::bytea[]) AS t;

-- name: add_changed
-- Adds the workspaces that one message has changes of, given in order, and the segments. New segments
-- are added in one order, so that two workers never wait for each other in a circle.
WITH segments AS (
    INSERT INTO changed_segment (workspace_id, segment_id)
    SELECT * FROM unnest($4::text[], $5::text[]) AS t (workspace_id, segment_id)
    ORDER BY 1, 2
    ON CONFLICT DO NOTHING
)
INSERT INTO changed_workspace (shard, sequence, workspace_id)
SELECT $1, $2, unnest($3::text[]);

-- name: add_passed
-- Adds what one message passes on.
INSERT INTO passed_on (shard, sequence, payload) VALUES ($1, $2, $3);

-- name: load_passed
-- What the messages of a range of sequences pass on.
SELECT sequence, payload FROM passed_on
WHERE shard = $1 AND sequence >= $2 AND sequence < $3 ORDER BY sequence;

-- name: load_outbox_begin
-- The oldest sequence of a shard that the outbox still has.
SELECT first FROM outbox WHERE shard = $1 ORDER BY first LIMIT 1;

-- name: load_sequences
-- The first sequences of a range that have changes, broadcast facts, or something passed on.
(SELECT DISTINCT sequence FROM changed_workspace
 WHERE shard = $1 AND sequence >= $2 AND sequence < $3 ORDER BY sequence LIMIT $4)
UNION
(SELECT DISTINCT sequence FROM broadcast_fact
 WHERE shard = $1 AND sequence >= $2 AND sequence < $3 ORDER BY sequence LIMIT $4)
UNION
(SELECT sequence FROM passed_on
 WHERE shard = $1 AND sequence >= $2 AND sequence < $3 ORDER BY sequence LIMIT $4)
ORDER BY sequence LIMIT $4;

-- name: load_changes
-- The changes of a shard in a range of sequences. The order of each message makes every plan look
-- up its rows.
SELECT h.* FROM changed_workspace c CROSS JOIN LATERAL (
    SELECT * FROM history
    WHERE workspace_id = c.workspace_id AND shard = c.shard AND sequence = c.sequence
    ORDER BY position
) AS h
WHERE c.shard = $1 AND c.sequence >= $2 AND c.sequence < $3
ORDER BY h.sequence, h.position;

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
WHERE h.shard = $1 AND h.sequence >= $2 AND h.workspace_id = $3
ORDER BY h.sequence, h.position;

-- name: load_changes_of_profile
-- The last changes of one profile in each segment, so many or all (null), searched in each segment of
-- the workspace that has any. No plan can take the index by workspace, which would read all its changes.
SELECT h.* FROM changed_segment AS s CROSS JOIN LATERAL (
    SELECT * FROM history
    WHERE segment_key = s.segment_key AND profile_id = $2
        AND workspace_id || '' = $1 AND segment_id = s.segment_id
    ORDER BY ordinal DESC LIMIT $3
) AS h
WHERE s.workspace_id = $1
ORDER BY h.changed_at_us, h.segment_id, h.ordinal;

-- name: load_next_sequences
-- The sequence after the last change, by shard; null where a shard has no changes.
SELECT shard, (SELECT max(sequence) + 1 FROM changed_workspace c WHERE c.shard = s.shard) AS next
FROM generate_series(0, $1::int - 1) AS s (shard) ORDER BY shard;

-- name: list_members_as_of
-- Members of a segment as published at an instant, after one, by profile id.
SELECT profile_id, changed_at_us AS since_us FROM (
    SELECT DISTINCT ON (profile_id) profile_id, changed_at_us, entered FROM history
    WHERE segment_key = segment_key($1, $2) AND workspace_id = $1 AND segment_id = $2
        AND profile_id > $3 AND changed_at_us <= $5
    ORDER BY profile_id, ordinal DESC
) last WHERE entered ORDER BY profile_id LIMIT $4;

-- name: list_members_as_of_token
-- Members of a segment in the first state that included one offset of each shard, after one, by
-- profile id.
SELECT profile_id, changed_at_us AS since_us FROM (
    SELECT DISTINCT ON (profile_id) profile_id, changed_at_us, entered FROM history
    WHERE segment_key = segment_key($1, $2) AND workspace_id = $1 AND segment_id = $2
        AND profile_id > $3
        AND reached_offset < ($5::bigint[])[shard + 1]
    ORDER BY profile_id, ordinal DESC
) last WHERE entered ORDER BY profile_id LIMIT $4;
