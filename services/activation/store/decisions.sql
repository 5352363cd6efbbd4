-- name: follow
-- Records that a shard follows the persons of workspaces.
INSERT INTO slot_follower (workspace_id, shard) SELECT id, $2 FROM unnest($1::text[]) AS id
ON CONFLICT DO NOTHING;

-- name: load_followed
-- The workspaces whose persons a shard follows.
SELECT workspace_id FROM slot_follower WHERE shard = $1;

-- name: lock_persons
-- Locks those of some persons that are stored, in one order, until the transaction ends.
SELECT p.workspace_id, p.profile_id
FROM unnest($1::text[], $2::bytea[]) AS t (workspace_id, profile_id)
JOIN slot_person p USING (workspace_id, profile_id)
ORDER BY 1, 2 FOR UPDATE OF p;

-- name: save_memberships
-- Folds the last changes of memberships of persons; changes that arrive late change nothing.
UPDATE slot_person p
SET memberships = p.memberships || (
    SELECT coalesce(jsonb_object_agg(n.key, n.value), '{}') FROM jsonb_each(t.changes::jsonb) n
    WHERE n.value::int > coalesce((p.memberships ->> n.key)::int, 0)
)
FROM unnest($1::text[], $2::bytea[], $3::text[]) AS t (workspace_id, profile_id, changes)
WHERE p.workspace_id = t.workspace_id AND p.profile_id = t.profile_id;

-- name: delete_persons
-- Deletes persons, who are read again where a decision needs them.
DELETE FROM slot_person p USING unnest($1::text[], $2::bytea[]) AS t (workspace_id, profile_id)
WHERE p.workspace_id = t.workspace_id AND p.profile_id = t.profile_id;

-- name: delete_old
-- Deletes a page of the persons that were inserted longer ago than an interval.
DELETE FROM slot_person WHERE (workspace_id, profile_id) IN (
    SELECT workspace_id, profile_id FROM slot_person WHERE inserted_at < now() - $1::interval
    ORDER BY inserted_at LIMIT $2 FOR UPDATE SKIP LOCKED
);

-- name: load_decision
-- What a decision needs: the payloads of its slots; whether all of so many shards follow the persons
-- of the workspace; the profile of an identifier, by its assignment and the moves that were folded
-- since; and the person, as far as it is stored.
SELECT ARRAY(
        SELECT payload FROM slot WHERE slot.workspace_id = $1 AND slot_id = ANY ($2::text[])
    ) AS slots,
    (SELECT count(*) FROM slot_follower WHERE slot_follower.workspace_id = $1) >= $3 AS is_followed,
    owner.profile_id, person.memberships, person.refuses_profiling
FROM (
    SELECT coalesce((
        SELECT profile_id FROM leaf_profile
        WHERE leaf_profile.workspace_id = $1 AND leaf_id = $4 AND version > $6
        ORDER BY version DESC LIMIT 1
    ), $5::bytea) AS profile_id
) AS owner
LEFT JOIN slot_person AS person
    ON person.workspace_id = $1 AND person.profile_id = owner.profile_id;

-- name: expect_person
-- Inserts a person that is read next, or finds it; from then on what changes is folded into it.
INSERT INTO slot_person (workspace_id, profile_id) VALUES ($1, $2)
ON CONFLICT (workspace_id, profile_id) DO UPDATE SET row_id = slot_person.row_id
RETURNING row_id;

-- name: save_person
-- Saves what was read of a person, unless the row was deleted meanwhile. What was folded since it
-- was inserted may be newer.
UPDATE slot_person p
SET memberships = p.memberships || (
        SELECT coalesce(jsonb_object_agg(n.key, n.value), '{}') FROM jsonb_each($4::jsonb) n
        WHERE n.value::int > coalesce((p.memberships ->> n.key)::int, 0)
    ),
    refuses_profiling = $5
WHERE workspace_id = $1 AND profile_id = $2 AND row_id = $3 AND refuses_profiling IS NULL;
