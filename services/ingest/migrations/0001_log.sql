-- The event log: the only truth. Nothing here is ever rebuilt, changed or pruned.
--
-- Room: a row takes some 130 bytes beside its payload, its entries in the three indexes 145 more
-- (measured); with events of 500 bytes, 100 million facts are about 80 GB. Columns of fixed width stand
-- first, so that no padding lies between them; ids are bytes, kinds are numbers, pages are packed to
-- the brim, for nothing is ever updated.
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
-- Nothing is looked up by it: what ANALYZE would learn of it is of no use.
ALTER TABLE fact ALTER COLUMN payload SET STATISTICS 0;
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

-- Locks the ends of some shards (given ascending) until the transaction ends; answers where they end,
-- and the instant of the log: never before what was recorded there.
--
-- In PL/pgSQL because each of its statements sees what was committed before that statement, so that
-- the instant is taken when the locks are held and not when waiting for them began. Whoever looks
-- for known facts after it has to do so in another statement, for the same reason.
CREATE FUNCTION hold(touched smallint [], OUT instant bigint, OUT nexts bigint [])
LANGUAGE plpgsql AS $$
DECLARE
    last bigint;
BEGIN
    SELECT array_agg(h.next ORDER BY h.shard), max(h.recorded_at) INTO nexts, last
    FROM (
        SELECT shard, next, recorded_at FROM head
        WHERE shard = ANY (touched) ORDER BY shard FOR UPDATE
    ) AS h;
    SELECT greatest(last, (extract(EPOCH FROM clock_timestamp()) * 1000000)::bigint + c.offset_us)
    INTO instant FROM clock AS c;
END
$$;

-- Moves the ends of the shards that got something new.
CREATE FUNCTION move_on(touched smallint [], counts bigint [], instant bigint)
RETURNS void LANGUAGE sql AS $$
    UPDATE head SET next = head.next + u.count, recorded_at = instant
    FROM unnest(touched, counts) AS u (shard, count)
    WHERE head.shard = u.shard AND u.count > 0
$$;

-- Appends facts that are all new, in one call: raises unique_violation where one is not.
-- `slots` are places in `touched` from 1; `ranks` count the new facts of each shard from 0.
CREATE FUNCTION append_few(
    touched smallint [], counts bigint [], slots int [], ranks bigint [],
    occurred bigint [], kinds smallint [], fact_ids bytea [], leaf_ids bytea [],
    workspaces text [], sources text [], actors text [], payloads bytea [],
    OUT instant bigint, OUT nexts bigint []
) LANGUAGE plpgsql AS $$
BEGIN
    SELECT h.instant, h.nexts INTO instant, nexts FROM hold(touched) AS h;
    INSERT INTO fact (
        "offset", occurred_at, recorded_at, shard, kind_id, fact_id, leaf_id,
        workspace_id, source_id, actor, payload
    )
    SELECT
        nexts[n.slot] + n.rank, least(n.occurred, instant), instant, touched[n.slot],
        n.kind, n.fact_id, n.leaf_id, n.workspace, n.source, n.actor, n.payload
    FROM unnest(
        slots, ranks, occurred, kinds, fact_ids, leaf_ids, workspaces, sources, actors, payloads
    ) AS n (
        slot, rank, occurred, kind, fact_id, leaf_id, workspace, source, actor, payload
    );
    PERFORM move_on(touched, counts, instant);
END
$$;
