"""Measures sets of segment members: the algebra beside plain pyroaring, and whole calls."""

from __future__ import annotations

import random
import time
from pathlib import Path

import asyncpg
from pyroaring import BitMap

from bench.harness import Contender, Result, compare, interleave, print_progress
from services.chassis.codec.named_rules import SEGMENT_DEFINED
from services.chassis.postgres.database import Database
from services.chassis.postgres.migrate import migrate
from services.devstack.postgres import PostgresServer
from services.kernel.ids import WorkspaceId
from services.kernel.rules.forms.json_form import parse_rule
from services.segment.codec.definitions import definition_to_proto
from services.segment.domain.model import SegmentDefinition
from services.segment.domain.sets import InAll, InAny, InSegment, NotIn, SetExpression, compute
from services.segment.queries.sets import MemberSets
from services.segment.settings import SegmentSettings

ROUNDS = 5
#: Expressions that are computed in one round.
REPEATED = 20
PROFILES = 1_000_000
SHARDS = 4
WORKSPACE = WorkspaceId("bench")
#: Of so many profiles one is a member of the segment.
ONE_IN = (1, 2, 2, 3, 3, 4, 5, 8, 20, 100)
IDS = [f"s{i}" for i in range(len(ONE_IN))]
S = [InSegment(id_) for id_ in IDS]
#: Four `all` and one `not`, and three `any` and two `all`.
NARROW: SetExpression = InAll((S[0], S[1], S[2], S[3], NotIn(S[4])))
WIDE: SetExpression = InAll((InAny((S[5], S[6], S[7], S[8])), S[1], S[2]))
GOAL = 0.5

_FILL = """
INSERT INTO evaluation (shard, profile_id, workspace_id, version, true_predicates, changed_at_us,
                        number)
SELECT n % $2::int, decode(md5(n::text), 'hex'), $1, n, '', 0, n
FROM generate_series(1, $3::int) AS n
"""
_JOIN = """
WITH joined AS (
    INSERT INTO membership (shard, workspace_id, segment_id, profile_id, segment_version, since_us)
    SELECT shard, workspace_id, $1, profile_id, 1, 0 FROM evaluation
    WHERE hashtextextended($1, number) % $2::bigint = 0
    RETURNING workspace_id, segment_id
)
INSERT INTO changed_segment (workspace_id, segment_id)
SELECT DISTINCT workspace_id, segment_id FROM joined ON CONFLICT DO NOTHING
"""
_CHANGE = """
INSERT INTO history (shard, sequence, position, workspace_id, segment_id, segment_version,
                     profile_id, entered, ordinal, changed_at_us, cause, reached_offset)
SELECT 0, $3::bigint, n, $1, $2, 1, decode(md5((n + $3::bigint)::text), 'hex'), true, $3::bigint,
       0, 1, 0
FROM generate_series(1, 100) AS n
"""


def narrow_plain(members: dict[str, BitMap]) -> int:
    """Return the size of `NARROW` as pyroaring computes it."""
    m = [members[id_] for id_ in IDS]
    return len((m[3] & m[1] & m[2] & m[0]) - m[4])


def wide_plain(members: dict[str, BitMap]) -> int:
    """Return the size of `WIDE` as pyroaring computes it."""
    m = [members[id_] for id_ in IDS]
    return len((m[5] | m[6] | m[7] | m[8]) & m[1] & m[2])


async def algebra_row() -> Result:
    """Measure the expressions beside the same operations written out."""
    chance = random.Random(7)
    members = {
        id_: BitMap(n for n in range(PROFILES) if chance.randrange(one_in) == 0)
        for id_, one_in in zip(IDS, ONE_IN, strict=True)
    }
    if (len(compute(NARROW, members)), len(compute(WIDE, members))) != (
        narrow_plain(members),
        wide_plain(members),
    ):
        raise RuntimeError("the sizes differ")

    async def ours() -> float:
        began = time.perf_counter()
        for _ in range(REPEATED):
            len(compute(NARROW, members))
            len(compute(WIDE, members))
        return 2 * REPEATED / (time.perf_counter() - began)

    async def theirs() -> float:
        began = time.perf_counter()
        for _ in range(REPEATED):
            narrow_plain(members)
            wide_plain(members)
        return 2 * REPEATED / (time.perf_counter() - began)

    contenders: dict[str, Contender] = {"sets": ours, "pyroaring": theirs}
    figures = await interleave(ROUNDS, contenders)
    return compare(
        "sets_vs_pyroaring",
        figures["sets"],
        figures["pyroaring"],
        goal=GOAL,
        unit="sets/s",
        note=f"{PROFILES:,} profiles, {len(IDS)} segments; 4 all and 1 not, and 3 any and 2 all",
    )


async def call_rows(folder: Path) -> list[Result]:
    """Measure whole calls with the store: the first one, and those after some changes."""
    async with PostgresServer(folder, settings={"shared_buffers": "512MB"}) as server:
        await migrate(server.superuser_dsn, "segment", shards=SHARDS)
        admin = await asyncpg.connect(server.superuser_dsn)
        try:
            await admin.execute("SET search_path = segment_g1, segment")
            await _fill(admin)
            async with Database(server.superuser_dsn, SegmentSettings.service) as database:
                return await _calls(admin, database)
        finally:
            await admin.close()


async def _fill(admin: asyncpg.Connection) -> None:
    await admin.execute(_FILL, WORKSPACE, SHARDS, PROFILES)
    rule = parse_rule({"count": {"event": "bought", "at_least": 1}})
    for id_, one_in in zip(IDS, ONE_IN, strict=True):
        await admin.execute(_JOIN, id_, one_in)
        message = definition_to_proto(SegmentDefinition(WORKSPACE, id_, 1, "", rule))
        await admin.execute(
            "INSERT INTO definition VALUES ($1, $2, $3, 1, $4)",
            *(WORKSPACE, SEGMENT_DEFINED, id_, message.SerializeToString()),
        )
        print_progress(f"filled {id_}")
    await admin.execute("VACUUM ANALYZE")


async def _calls(admin: asyncpg.Connection, database: Database) -> list[Result]:
    first: list[float] = []
    later: list[float] = []
    sequence = 1
    for _ in range(ROUNDS):
        sets = MemberSets(database, SHARDS)
        began = time.perf_counter()
        await sets.page(WORKSPACE, S[0], -1, 0)
        first.append((time.perf_counter() - began) * 1e3)
        await sets.page(WORKSPACE, NARROW, -1, 0)
        for _ in range(REPEATED):
            await admin.execute(_CHANGE, WORKSPACE, IDS[1], sequence)
            sequence += 1
            began = time.perf_counter()
            await sets.page(WORKSPACE, NARROW, -1, 0)
            later.append((time.perf_counter() - began) * 1e3)
        held = sets.cached_bytes
    note = f"{PROFILES:,} profiles; {held:,} bytes of bitmaps for 5 segments"
    return [
        compare("set_first_read", first, [], goal=0.0, unit="ms", note=note),
        compare("set_after_100_changes", later, [], goal=0.0, unit="ms", note=note),
    ]


async def measure(folder: Path) -> list[Result]:
    """Return all rows."""
    return [await algebra_row(), *await call_rows(folder)]
