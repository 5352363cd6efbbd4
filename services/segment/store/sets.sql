-- name: load_number_sets
-- The numbers of the members of some segments, each big-endian in 4 bytes.
SELECT m.segment_id, string_agg(int4send(e.number), ''::bytea) AS numbers
FROM changed_segment s JOIN membership m
    ON m.segment_key = s.segment_key AND m.workspace_id = s.workspace_id
    AND m.segment_id = s.segment_id
JOIN evaluation e USING (profile_id)
WHERE s.workspace_id = $1 AND s.segment_id = ANY ($2::text[]) GROUP BY m.segment_id;

-- name: load_everyone
-- The numbers of all profiles of a workspace that exist.
SELECT workspace_id, string_agg(int4send(number), ''::bytea) AS numbers FROM evaluation
WHERE workspace_id = $1 AND merged_into IS NULL GROUP BY workspace_id;

-- name: load_numbers_at_token
-- The numbers of the members of a segment in the first state that included one offset of each shard.
SELECT e.workspace_id, string_agg(int4send(e.number), ''::bytea) AS numbers FROM (
    SELECT DISTINCT ON (profile_id) profile_id, entered FROM history
    WHERE segment_key = segment_key($1, $2) AND workspace_id = $1 AND segment_id = $2
        AND reached_offset < ($3::bigint[])[shard + 1]
    ORDER BY profile_id, ordinal DESC
) last JOIN evaluation e USING (profile_id) WHERE last.entered GROUP BY e.workspace_id;

-- name: load_merges
-- The number of each profile of a workspace that does not exist, and of the one that it is now.
SELECT e.workspace_id, e.number, i.number AS into_number
FROM evaluation e LEFT JOIN evaluation i ON i.profile_id = e.merged_into
WHERE e.workspace_id = $1 AND e.merged_into IS NOT NULL;

-- name: load_positions
-- The sequence after the last published change of each shard.
SELECT shard, max(sequence) + 1 AS next FROM history GROUP BY shard;

-- name: load_changed_members
-- The changes of a workspace in a shard from a sequence on, each with the number of its profile.
SELECT h.ordinal, h.segment_id, h.entered, e.number
FROM history h JOIN evaluation e USING (profile_id)
WHERE h.workspace_id = $1 AND h.shard = $2 AND h.sequence >= $3
ORDER BY h.sequence, h.position LIMIT $4;

-- name: profiles_numbered
-- The profiles of some numbers in one workspace.
SELECT number, profile_id FROM evaluation WHERE workspace_id = $1 AND number = ANY ($2::int[]);

-- name: state_generation
-- The schema that the state is in: another one numbers profiles otherwise.
SELECT 'evaluation'::regclass::oid::bigint;

-- name: save_snapshot
-- Saves a version of a snapshot unless a newer one is stored.
INSERT INTO snapshot (workspace_id, name, version, payload) VALUES ($1, $2, $3, $4)
ON CONFLICT (workspace_id, name) DO UPDATE
SET version = excluded.version, payload = excluded.payload
WHERE snapshot.version < excluded.version;

-- name: load_snapshots
-- The snapshots of a workspace, also the removed ones.
SELECT workspace_id, payload FROM snapshot WHERE workspace_id = $1 ORDER BY name;

-- name: load_snapshot
-- One snapshot of a workspace, also where it is removed.
SELECT workspace_id, payload FROM snapshot WHERE workspace_id = $1 AND name = $2;
