-- name: save_pool
-- Saves a version of a pool.
INSERT INTO coupon_pool (workspace_id, pool_id, version, payload) VALUES ($1, $2, $3, $4)
ON CONFLICT DO NOTHING;

-- name: load_pools
-- The newest version of each pool of a workspace.
SELECT DISTINCT ON (pool_id) payload FROM coupon_pool
WHERE workspace_id = $1 ORDER BY pool_id, version DESC;

-- name: count_free
-- How many codes of each pool of a workspace are free.
SELECT pool_id, count(*) AS free FROM coupon_code
WHERE workspace_id = $1 AND coupon_id IS NULL GROUP BY pool_id;

-- name: count_coupons
-- How many coupons of each pool of a workspace were issued, used and voided.
SELECT pool_id, count(*) AS issued, count(used_at_us) AS used, count(*) FILTER (WHERE voided) AS voided
FROM coupon WHERE workspace_id = $1 GROUP BY pool_id;

-- name: add_codes
-- Adds codes to a pool; those that it has stay as they are. A coupon that was restored before its
-- code keeps it.
INSERT INTO coupon_code (workspace_id, pool_id, code, coupon_id)
SELECT $1, $2, t.code,
       (SELECT c.coupon_id FROM coupon c
        WHERE c.workspace_id = $1 AND c.pool_id = $2 AND c.code = t.code LIMIT 1)
FROM unnest($3::text[]) AS t (code) ORDER BY t.code
ON CONFLICT DO NOTHING;

-- name: take_codes
-- Takes a free code of a pool for each of some coupons, as far as there are any.
WITH free AS (
    SELECT code FROM coupon_code
    WHERE workspace_id = $1 AND pool_id = $2 AND coupon_id IS NULL
    LIMIT cardinality($3::bytea[]) FOR UPDATE SKIP LOCKED
),
numbered AS (SELECT code, row_number() OVER () AS number FROM free)
UPDATE coupon_code c SET coupon_id = t.coupon_id
FROM numbered n JOIN unnest($3::bytea[]) WITH ORDINALITY AS t (coupon_id, number) USING (number)
WHERE c.workspace_id = $1 AND c.pool_id = $2 AND c.code = n.code
RETURNING c.coupon_id, c.code;

-- name: free_codes
-- Gives the codes of coupons back that are not issued after all.
UPDATE coupon_code SET coupon_id = NULL WHERE coupon_id = ANY($1::bytea[]);

-- name: add_coupons
-- Adds coupons; those that are there stay as they are.
INSERT INTO coupon (coupon_id, workspace_id, effect_id, run_id, leaf_id, journey_id, name, pool_id,
                    code, until_us, published)
SELECT t.* FROM unnest($1::bytea[], $2::text[], $3::bytea[], $4::bytea[], $5::bytea[], $6::text[],
                       $7::text[], $8::text[], $9::text[], $10::bigint[], $11::boolean[]) AS t
ON CONFLICT DO NOTHING;

-- name: keep_codes
-- Records which codes restored coupons have.
UPDATE coupon_code c SET coupon_id = t.coupon_id
FROM unnest($1::bytea[], $2::text[], $3::text[], $4::text[])
    AS t (coupon_id, workspace_id, pool_id, code)
WHERE c.workspace_id = t.workspace_id AND c.pool_id = t.pool_id AND c.code = t.code;

-- name: load_of_runs
-- The coupons of some runs of a workspace.
SELECT * FROM coupon WHERE workspace_id = $1 AND run_id = ANY($2::bytea[]);

-- name: load_of_leaves
-- The coupons of runs of some leaves.
SELECT c.* FROM unnest($1::text[], $2::bytea[]) AS t (workspace_id, leaf_id)
CROSS JOIN LATERAL (SELECT * FROM coupon o WHERE o.leaf_id = t.leaf_id OFFSET 0) AS c
WHERE c.workspace_id = t.workspace_id;

-- name: mark_published
-- Records that the log has coupons.
UPDATE coupon SET published = true WHERE coupon_id = ANY($1::bytea[]);

-- name: take_back
-- Deletes the coupons of messages that are not sent, where the log does not have them.
WITH gone AS (
    DELETE FROM coupon WHERE effect_id = ANY($1::bytea[]) AND NOT published RETURNING coupon_id
)
UPDATE coupon_code SET coupon_id = NULL WHERE coupon_id IN (SELECT coupon_id FROM gone);

-- name: use_coupons
-- Records the first use of coupons by their codes. They are locked in the order of their ids.
WITH found AS (
    SELECT c.coupon_id, t.fact_id, t.at_us, t.recorded_us
    FROM unnest($1::text[], $2::text[], $3::text[], $4::bytea[], $5::bigint[], $6::bigint[])
        AS t (workspace_id, pool_id, code, fact_id, at_us, recorded_us)
    JOIN coupon c
      ON c.workspace_id = t.workspace_id AND c.pool_id = t.pool_id AND c.code = t.code
    ORDER BY c.coupon_id FOR UPDATE OF c
)
UPDATE coupon c
SET used_fact_id = t.fact_id, used_at_us = t.at_us, used_recorded_us = t.recorded_us
FROM found t
WHERE c.coupon_id = t.coupon_id
  AND (c.used_at_us IS NULL OR (t.at_us, t.fact_id) < (c.used_at_us, c.used_fact_id))
RETURNING c.workspace_id, c.journey_id, c.leaf_id;

-- name: void_coupons
-- Records that coupons were taken back.
UPDATE coupon SET voided = true WHERE coupon_id = ANY($1::bytea[]);
