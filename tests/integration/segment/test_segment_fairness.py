"""What one workspace defines or publishes costs the others nothing that grows with it."""

from __future__ import annotations

import asyncpg
import pytest
from integration.segment.segment_fixture import (
    BOUGHT,
    BOUGHT_ID,
    SegmentWorkers,
    defined,
    evaluated,
)

from services.chassis.projection.checkpoint import load_checkpoint
from services.kernel.ids import ProfileId, WorkspaceId
from services.segment.domain.model import MembershipCause, MembershipChange
from services.segment.projection import fold
from services.segment.store import definitions, evaluations, memberships

_MANY_CHANGES = """
INSERT INTO history (shard, sequence, position, workspace_id, segment_id, segment_version,
                     profile_id, entered, ordinal, changed_at_us, cause, reached_offset)
SELECT 0, n, 0, 'large', 's', 1, decode(md5(n::text), 'hex'), true, 1, n, 1, 0
FROM generate_series(1, 20000) AS n;
ANALYZE history
"""
#: The changes of two profiles in a small workspace.
_FEW_CHANGES = """
INSERT INTO history (shard, sequence, position, workspace_id, segment_id, segment_version,
                     profile_id, entered, ordinal, changed_at_us, cause, reached_offset)
SELECT 1, 1, n, 'small', segment_id, 1, decode(repeat(profile, 16), 'hex'), true, ordinal, at, 1, 0
FROM (VALUES
    (1, 's1', '00', 1, 10), (2, 's1', '00', 2, 30), (3, 's2', '01', 1, 10), (4, 's3', '00', 1, 20)
) AS t (n, segment_id, profile, ordinal, at);
INSERT INTO changed_segment (workspace_id, segment_id)
SELECT DISTINCT workspace_id, segment_id FROM history
"""
#: Makes all segments share one key.
_ONE_KEY = """
CREATE OR REPLACE FUNCTION segment.segment_key(workspace_id text, segment_id text) RETURNS bigint
IMMUTABLE STRICT PARALLEL SAFE LANGUAGE sql RETURN 0
"""
_MANY_PROFILES = """
INSERT INTO evaluation
    (shard, profile_id, workspace_id, version, true_predicates, changed_at_us, number)
SELECT 0, decode(md5(n::text), 'hex'), 'large', n, '', 0, n FROM generate_series(1, 20000) AS n;
ANALYZE evaluation
"""


async def plan_of(conn: asyncpg.Connection, statement: str, *args: object) -> str:
    return "\n".join(row[0] for row in await conn.fetch(f"EXPLAIN {statement.strip(' ;')}", *args))


async def test_watcher_of_a_quiet_workspace_reads_no_changes_of_others(
    workers: SegmentWorkers,
) -> None:
    async with workers.pool.acquire() as conn:
        await conn.execute(_MANY_CHANGES)
        statement = memberships.Q.load_changes_of_workspace
        plan = await plan_of(conn, statement, 0, 0, "quiet", 100)
        scans = [line for line in plan.splitlines() if "Scan using" in line or "Seq Scan" in line]
        assert all("history_pkey" in scan for scan in scans), plan
        assert "Filter" not in plan.replace("Join Filter", ""), plan
        assert await conn.fetch(statement, 0, 0, "quiet", 100) == []


async def test_history_of_a_profile_is_searched_by_index_in_each_segment_of_its_workspace(
    workers: SegmentWorkers,
) -> None:
    async with workers.pool.acquire() as conn:
        await conn.execute(_MANY_CHANGES)
        await conn.execute(_FEW_CHANGES)
        statement, profile_id = memberships.Q.load_changes_of_profile, bytes(16)
        plan = await plan_of(conn, statement, "small", profile_id, None)
        scans = [line for line in plan.splitlines() if "Scan using" in line or "Seq Scan" in line]
        assert all("history_by_segment" in s or "changed_segment_pkey" in s for s in scans), plan
        assert "Index Cond: ((segment_key = s.segment_key) AND (profile_id = " in plan, plan
        found = await conn.fetch(statement, "small", profile_id, None)
        assert [(row["segment_id"], row["ordinal"]) for row in found] == [
            *(("s1", 1), ("s3", 1), ("s1", 2))
        ]
        assert await conn.fetch(statement, "quiet", profile_id, None) == []


async def test_changes_of_segments_that_share_a_key_are_distinguished(
    workers: SegmentWorkers,
) -> None:
    async with workers.pool.acquire() as conn:
        transaction = conn.transaction()
        await transaction.start()
        try:
            await conn.execute(_ONE_KEY)
            await conn.execute(_FEW_CHANGES)
            assert await conn.fetchval("SELECT count(DISTINCT segment_key) FROM history") == 1
            members = await conn.fetch(
                memberships.Q.list_members_as_of, *("small", "s2", b""), 9, 90
            )
            assert [row["profile_id"] for row in members] == [b"\1" * 16]
            found = await conn.fetch(
                memberships.Q.load_changes_of_profile, "small", bytes(16), None
            )
            assert [row["segment_id"] for row in found] == ["s1", "s3", "s1"]
            names = (["small"], [bytes(16)], ["s2"])
            assert await conn.fetch(memberships.Q.load_last_changes, *names) == []
        finally:
            await transaction.rollback()


async def test_messages_of_several_workspaces_are_read_in_their_order_and_alone(
    workers: SegmentWorkers,
) -> None:
    def change(workspace: str, byte: int, ordinal: int) -> MembershipChange:
        id_ = ProfileId(bytes([byte]) * 16)
        cause = MembershipCause.RULE
        return MembershipChange(WorkspaceId(workspace), "s", 1, id_, True, 1, cause, None, ordinal)

    first = [change("b", 1, 1), change("a", 2, 1), change("b", 3, 1)]
    second = [change("a", 4, 1)]
    async with workers.pool.acquire() as conn:
        await conn.execute(_MANY_CHANGES)
        await memberships.add_changes(conn, 1, 5, first, 0)
        await memberships.add_changes(conn, 1, 7, second, 0)
        statement = memberships.Q.load_changes
        plan = await plan_of(conn, statement, 1, 5, 8)
        assert "Filter" not in plan, plan
        rows = await conn.fetch(statement, 1, 5, 8)
        assert [memberships.change_from_row(row) for row in rows] == first + second
        sequences = await conn.fetch(memberships.Q.load_sequences, 1, 0, 8, 100)
        assert [row["sequence"] for row in sequences] == [5, 7]
        following = await conn.fetch(memberships.Q.load_next_sequences, 3)
        assert [row["next"] for row in following] == [None, 8, None]


async def test_sweep_of_a_small_workspace_reads_no_profiles_of_others(
    workers: SegmentWorkers,
) -> None:
    async with workers.pool.acquire() as conn:
        await conn.execute(_MANY_PROFILES)
        statement = evaluations.Q.load_profile_page
        plan = await plan_of(conn, statement, 0, "small", b"", 100)
        assert "evaluation_by_workspace" in plan, plan
        assert "Filter" not in plan, plan


@pytest.mark.parametrize("most", [0, 100])
async def test_definition_withholds_tokens_only_where_its_workspace_is_small(
    workers: SegmentWorkers, monkeypatch: pytest.MonkeyPatch, most: int
) -> None:
    monkeypatch.setattr(fold, "BLOCKING_PROFILES", most)
    workers.backfilled()
    for n in range(20):
        workers.publish(0, evaluated(n, 1, BOUGHT_ID))
    await workers.fold_all()
    workers.publish(0, broadcast_facts=[defined("s", BOUGHT)])
    async with workers.pool.acquire() as conn:
        before = await load_checkpoint(conn, 0)
        assert before is not None
        after = await workers.fold_once(conn, before, workers.messages(0, before.next, 5))
        assert await conn.fetchval("SELECT count(*) FROM backfill") == 1
    assert (after.withheld_offset is not None) == (most == 100)
    assert after.log_offset == before.log_offset + (most == 0)
    await workers.fold_all()


async def test_dropped_predicate_is_ready_again_after_its_next_backfill(
    workers: SegmentWorkers,
) -> None:
    workers.backfilled()
    workers.publish_everywhere(dropped_predicates=[BOUGHT_ID], backfilled_workspace_id="school")
    workers.publish_everywhere(broadcast_facts=[defined("s", BOUGHT)])
    workers.publish(0, evaluated(1, 1, BOUGHT_ID))
    await workers.fold_all()
    assert await workers.pool.fetchval("SELECT count(*) FROM membership") == 0
    async with workers.pool.acquire() as conn:
        segments = await definitions.load_active_segments(conn, workers.shards)
    assert len(segments.pending) == 1
    workers.backfilled(BOUGHT_ID)
    await workers.fold_all()
    assert await workers.pool.fetchval("SELECT count(*) FROM membership") == 1
