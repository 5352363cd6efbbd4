-- The event log. Its rows are never rebuilt or pruned, and only an erasure changes them.
--
-- Size: a row takes about 130 bytes beside its payload, and its entries in the three indexes 145 more
-- (measured); with events of 500 bytes, 100 million facts are about 80 GB. Columns of fixed width come
-- first, so that there is no padding between them; ids are bytes, kinds are numbers, and pages are
-- filled completely, because hardly any row is ever updated.
--
-- Partitions: the table can be partitioned by LIST or HASH of `shard` as it is, because `shard` is in
-- both unique indexes (a table distributed by `shard` is partitioned in the same way). Ranges of
-- "offset" inside a shard would need the unique (fact_id, shard) in a table of its own, because a
-- unique index cannot span ranges.

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
    -- A keyed hash of the content in canonical form: what tells a repeat from a reused id.
    content_tag bytea NOT NULL CHECK (octet_length(content_tag) = 16),
    PRIMARY KEY (shard, "offset")
);
-- The id is compared first: nearly every shard is equal, and each event is searched here.
CREATE UNIQUE INDEX fact_id_once ON fact (fact_id, shard);
-- Timelines and erasure: the facts of a leaf by time. Broadcast facts have no entry.
CREATE INDEX fact_leaf ON fact (leaf_id, occurred_at) WHERE leaf_id IS NOT NULL;
-- Broadcast facts (definitions, ticks) are few, and are searched on their own.
CREATE INDEX fact_without_leaf ON fact (shard, "offset") WHERE leaf_id IS NULL;
-- Not compressed: pglz is slow, lz4 is not in every server, and sealed payloads do not shrink.
ALTER TABLE fact ALTER COLUMN payload SET STORAGE EXTERNAL;
-- No query filters by payload, so ANALYZE need not sample it.
ALTER TABLE fact ALTER COLUMN payload SET STATISTICS 0;
-- Rows are only inserted: vacuum by their number, to freeze them while they are still in memory.
ALTER TABLE fact SET (autovacuum_vacuum_insert_scale_factor = 0.05);

-- The end of each shard, and the instant of its last fact. Its rows are the locks of the log.
CREATE TABLE head (
    shard smallint PRIMARY KEY,
    next bigint NOT NULL DEFAULT 0,
    recorded_at bigint NOT NULL DEFAULT 0,
    -- The newest life of the log, the same in every row; see the table stream_life.
    life bigint NOT NULL DEFAULT 0
) WITH (fillfactor = 10);

-- The lead of the log's clock over the server's, microseconds. One row.
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

-- Locks the heads of some shards (in ascending order) until the transaction ends. Returns their next
-- offsets, the life of the log, and the instant of the transaction: never before the last fact of these
-- shards.
--
-- Raises OF001 where the clock of the server is later than `latest` (Unix microseconds, without the
-- lead), and more than an hour after that last fact: nothing takes back a recorded instant.
--
-- In PL/pgSQL because each of its statements sees what was committed before that statement, so that
-- the instant is taken while the locks are held and not when the wait for them began. A lookup of
-- existing facts must come after it in another statement, for the same reason.
CREATE FUNCTION lock_heads(
    locked smallint [], latest bigint, OUT instant bigint, OUT nexts bigint [], OUT life bigint
)
LANGUAGE plpgsql AS $$
DECLARE
    last bigint;
    server bigint;
    lead bigint;
BEGIN
    SELECT array_agg(h.next ORDER BY h.shard), max(h.recorded_at), max(h.life)
    INTO nexts, last, life
    FROM (
        SELECT head.shard, head.next, head.recorded_at, head.life FROM head
        WHERE shard = ANY (locked) ORDER BY shard FOR UPDATE
    ) AS h;
    SELECT (extract(EPOCH FROM clock_timestamp()) * 1000000)::bigint, c.offset_us
    INTO server, lead FROM clock AS c;
    instant := greatest(last, server + lead);
    IF server > latest AND server + lead > last + 3600000000 THEN
        RAISE EXCEPTION 'the clock of the server is ahead' USING ERRCODE = 'OF001';
    END IF;
END
$$;

-- Moves the heads of the shards that have new facts.
CREATE FUNCTION advance_heads(locked smallint [], counts bigint [], instant bigint)
RETURNS void LANGUAGE sql AS $$
    UPDATE head SET next = head.next + u.count, recorded_at = instant
    FROM unnest(locked, counts) AS u (shard, count)
    WHERE head.shard = u.shard AND u.count > 0
$$;

-- Appends facts that are all new, in one call; raises unique_violation where one is not.
-- `slots` are indexes in `locked` from 1; `ranks` count the new facts of each shard from 0, and the
-- offset of a fact is its shard's head plus its rank.
CREATE FUNCTION append_in_one_call(
    locked smallint [], counts bigint [], slots int [], ranks bigint [],
    occurred bigint [], kinds smallint [], fact_ids bytea [], leaf_ids bytea [],
    workspaces text [], sources text [], actors text [], payloads bytea [], tags bytea [],
    latest bigint, OUT instant bigint, OUT nexts bigint [], OUT life bigint
) LANGUAGE plpgsql AS $$
BEGIN
    SELECT h.instant, h.nexts, h.life INTO instant, nexts, life
    FROM lock_heads(locked, latest) AS h;
    INSERT INTO fact (
        "offset", occurred_at, recorded_at, shard, kind_id, fact_id, leaf_id,
        workspace_id, source_id, actor, payload, content_tag
    )
    SELECT
        nexts[n.slot] + n.rank, least(n.occurred, instant), instant, locked[n.slot],
        n.kind, n.fact_id, n.leaf_id, n.workspace, n.source, n.actor, n.payload, n.tag
    FROM unnest(
        slots, ranks, occurred, kinds, fact_ids, leaf_ids, workspaces, sources, actors, payloads,
        tags
    ) AS n (
        slot, rank, occurred, kind, fact_id, leaf_id, workspace, source, actor, payload, tag
    );
    PERFORM advance_heads(locked, counts, instant);
END
$$;
