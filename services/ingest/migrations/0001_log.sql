-- The event log: the only truth. Nothing here is ever rebuilt, changed or pruned.
--
-- Room: a row costs 92 bytes beside its payload, its entries in the three indexes some 100 more; with
-- events of 500 bytes, 100 million facts take about 70 GB. Fixed-width columns stand first, so that
-- no padding lies between them; ids are bytes, kinds are numbers, rows are packed to the brim
-- (nothing is ever updated).
--
-- Partitions: by LIST or HASH of `shard` this table can be cut as it is, for `shard` is in both
-- unique indexes (a table distributed by `shard` is cut in the same way). Ranges of "offset" inside a
-- shard would need the unique (shard, fact_id) in a table of its own, as it cannot span ranges.

CREATE TABLE fact (
    "offset" bigint NOT NULL,
    occurred_at bigint NOT NULL,
    recorded_at bigint NOT NULL,
    shard smallint NOT NULL,
    kind_id smallint NOT NULL,
    fact_id bytea NOT NULL CHECK (octet_length(fact_id) = 16),
    leaf_id bytea CHECK (octet_length(leaf_id) = 16),
    workspace_id text NOT NULL,
    source_id text NOT NULL,
    actor text NOT NULL,
    payload bytea NOT NULL,
    PRIMARY KEY (shard, "offset")
);
CREATE UNIQUE INDEX fact_id_once ON fact (shard, fact_id);
-- Timelines and erasure: the facts of a leaf by time. Facts without a leaf have no entry.
CREATE INDEX fact_leaf ON fact (leaf_id, occurred_at) WHERE leaf_id IS NOT NULL;
-- Not compressed: pglz is slow, lz4 is not in every server, and sealed payloads do not shrink.
ALTER TABLE fact ALTER COLUMN payload SET STORAGE EXTERNAL;
-- Rows only ever come: vacuum by their number, to freeze them while they are still in memory.
ALTER TABLE fact SET (autovacuum_vacuum_insert_scale_factor = 0.05);

-- Where each shard ends, and what time it is there. Its rows are the locks of the log.
CREATE TABLE head (
    shard smallint PRIMARY KEY,
    next bigint NOT NULL DEFAULT 0,
    recorded_at bigint NOT NULL DEFAULT 0
) WITH (fillfactor = 10);

-- How far the log's clock is ahead of the server's, microseconds. One row.
CREATE TABLE clock (
    one boolean PRIMARY KEY DEFAULT true CHECK (one),
    offset_us bigint NOT NULL CHECK (offset_us >= 0)
);
INSERT INTO clock (offset_us) VALUES (0);

-- The names of the kinds of facts.
CREATE TABLE kind (
    kind_id smallint PRIMARY KEY GENERATED ALWAYS AS IDENTITY,
    name text NOT NULL UNIQUE
);

-- Locks the ends of some shards (ascending) until the transaction ends; answers where they end, the
-- instant of the log, and which of the given facts are there already (by their place, from 1).
--
-- In PL/pgSQL because each of its statements sees what was committed before that statement: one
-- statement that locks and looks would look at the state from before it had the locks, and would
-- miss the facts of the transaction it waited for.
CREATE FUNCTION reserve(
    touched smallint [], shards smallint [], fact_ids bytea [],
    OUT instant bigint, OUT nexts bigint [],
    OUT known int [], OUT known_kinds smallint [], OUT known_payloads bytea []
) LANGUAGE plpgsql AS $$
DECLARE
    last bigint;
BEGIN
    SELECT array_agg(h.next ORDER BY h.shard), max(h.recorded_at) INTO nexts, last
    FROM (
        SELECT shard, next, recorded_at FROM head
        WHERE shard = ANY (touched) ORDER BY shard FOR UPDATE
    ) AS h;
    SELECT greatest(last, (extract(epoch FROM clock_timestamp()) * 1000000)::bigint + c.offset_us)
    INTO instant FROM clock AS c;
    SELECT array_agg(n.place), array_agg(f.kind_id), array_agg(f.payload)
    INTO known, known_kinds, known_payloads
    FROM unnest(shards, fact_ids) WITH ORDINALITY AS n (shard, fact_id, place)
    INNER JOIN fact AS f ON f.shard = n.shard AND f.fact_id = n.fact_id;
END
$$;
