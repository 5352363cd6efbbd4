-- name: load_memberships
-- The segments of these profiles; {schema} is empty, or a schema and a dot.
SELECT profile_id, segment_id FROM {schema}membership WHERE profile_id = ANY ($1::bytea[]);

-- name: load_members
-- The members of a segment.
SELECT segment_version, profile_id, since_us FROM membership
WHERE workspace_id = $1 AND segment_id = $2 ORDER BY profile_id;

-- name: add_memberships
-- Adds memberships.
INSERT INTO membership
    (shard, workspace_id, segment_id, profile_id, segment_version, since_us)
SELECT * FROM unnest($1::int[], $2::text[], $3::text[], $4::bytea[], $5::int[], $6::bigint[])
ON CONFLICT DO NOTHING;

-- name: delete_memberships
-- Deletes memberships.
DELETE FROM membership m
USING unnest($1::bytea[], $2::text[]) AS t (profile_id, segment_id)
WHERE m.profile_id = t.profile_id AND m.segment_id = t.segment_id;

-- name: list_members
-- Members of a segment after one, by profile id.
SELECT profile_id, since_us FROM membership
WHERE workspace_id = $1 AND segment_id = $2 AND profile_id > $3 ORDER BY profile_id LIMIT $4;

-- name: count_members
-- The number of members of each segment of a workspace.
SELECT segment_id, count(*) AS size FROM membership WHERE workspace_id = $1 GROUP BY segment_id;

-- name: load_difference
-- The memberships that exist in one of two schemas only.
SELECT coalesce(n.workspace_id, l.workspace_id) AS workspace_id,
       coalesce(n.segment_id, l.segment_id) AS segment_id,
       coalesce(n.segment_version, d.version, l.segment_version) AS segment_version,
       coalesce(n.profile_id, l.profile_id) AS profile_id,
       n.profile_id IS NOT NULL AS entered,
       coalesce(e.changed_at_us, $1) AS changed_at_us,
       e.profile_id IS NOT NULL AS profile_exists
FROM {live}.membership l
FULL JOIN {new}.membership n USING (profile_id, segment_id)
LEFT JOIN {new}.evaluation e
    ON e.profile_id = coalesce(n.profile_id, l.profile_id) AND e.merged_into IS NULL
LEFT JOIN {new}.definition d ON d.workspace_id = l.workspace_id AND d.segment_id = l.segment_id
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
