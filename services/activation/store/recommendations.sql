-- name: claim
-- Lets one replica compute the items of a slot, if the last computation is older than an instant or
-- went by another version.
INSERT INTO item_fit AS f (workspace_id, slot_id, claimed_until)
VALUES ($1, $2, now() + interval '10 min')
ON CONFLICT (workspace_id, slot_id) DO UPDATE SET claimed_until = excluded.claimed_until
WHERE f.claimed_until <= now() AND (f.fitted_at_us < $3 OR f.slot_version <> $4)
RETURNING true;

-- name: begin_fit
-- Locks the computations of a slot; returns the number of the next one, unless a newer one is there.
INSERT INTO item_fit AS f (workspace_id, slot_id, fit, slot_version, fitted_at_us, persons, items)
VALUES ($1, $2, 1, $3, $4, $5, $6)
ON CONFLICT (workspace_id, slot_id) DO UPDATE
SET fit = f.fit + 1, slot_version = excluded.slot_version, fitted_at_us = excluded.fitted_at_us,
    persons = excluded.persons, items = excluded.items, claimed_until = now()
WHERE f.fitted_at_us <= excluded.fitted_at_us
RETURNING fit;

-- name: delete_fits
-- Deletes the rows of the computations before one.
DELETE FROM item_ranking WHERE workspace_id = $1 AND slot_id = $2 AND fit < $3;

-- name: load_fit
-- The last computation of a slot.
SELECT slot_version, fitted_at_us, persons, items FROM item_fit
WHERE workspace_id = $1 AND slot_id = $2 AND fit > 0;

-- name: load_rankings
-- Rows of the last computation of a slot, by kind and keys.
SELECT r.key, r.payload FROM item_fit f
JOIN item_ranking r USING (workspace_id, slot_id, fit)
WHERE f.workspace_id = $1 AND f.slot_id = $2 AND r.kind = $3 AND r.key = ANY ($4::text[]);
