"""Tests the locks of an evaluation: ids that turn out to be needed are locked without waiting."""

from __future__ import annotations

import asyncpg
import pytest

from services.kernel.errors import ServiceUnavailable
from services.kernel.fold.leaf import LeafState, encode
from services.kernel.ids import IdentifierId, LeafId, ProfileId, WorkspaceId, shard_of
from services.profile.domain.evaluation import ALL_PREDICATES
from services.profile.domain.facts import ProfileAssignment, Reassignment
from services.profile.projection.evaluate import EvaluationRequest, ProfileEvaluator
from services.profile.projection.predicates import PredicateIndexCache
from services.profile.store.evaluations import lock_ids
from services.profile.store.profiles import LeafRow, add_leaves, save_assignments

WORKSPACE, LEAF = WorkspaceId("school"), LeafId(b"l" * 16)
OLD, NEW = ProfileId(b"o" * 16), ProfileId(b"n" * 16)


def assigned(profile: ProfileId, version: int) -> ProfileAssignment:
    return ProfileAssignment(WORKSPACE, IdentifierId(LEAF), profile, version, None)


async def evaluate(pool: asyncpg.Pool, profile: ProfileId) -> list[ProfileId]:
    """Evaluate like a worker that has the leaf's profile only from a fact."""
    assignments = {IdentifierId(LEAF): assigned(profile, 0)}
    request = EvaluationRequest({LEAF: ALL_PREDICATES}, assignments)
    async with pool.acquire() as conn, conn.transaction():
        evaluator = ProfileEvaluator(PredicateIndexCache(), 4)
        changes = await evaluator.evaluate(conn, 0, request, 7)
        return [evaluation.profile_id for evaluation in changes.changed]


async def add_leaf(conn: asyncpg.Connection) -> None:
    row = LeafRow(LEAF, WORKSPACE, encode(LeafState()))
    await add_leaves(conn, shard_of(LEAF, 4), [row])


@pytest.fixture
async def moved_leaf(pool: asyncpg.Pool) -> None:
    """A leaf that belongs to another profile than the one in the worker's fact."""
    async with pool.acquire() as conn:
        await add_leaf(conn)
        await save_assignments(conn, [Reassignment(None, assigned(NEW, 5))], 4)


@pytest.mark.usefixtures("moved_leaf")
async def test_profile_of_a_leaf_is_read_under_the_lock(pool: asyncpg.Pool) -> None:
    assert await evaluate(pool, OLD) == [NEW]


@pytest.mark.usefixtures("moved_leaf")
async def test_lock_that_another_worker_holds_is_not_waited_for_out_of_order(
    pool: asyncpg.Pool,
) -> None:
    async with pool.acquire() as other:
        async with other.transaction():
            await lock_ids(other, "profile", [NEW])
            with pytest.raises(ServiceUnavailable):
                await evaluate(pool, OLD)
        assert await evaluate(pool, OLD) == [NEW]


async def test_unknown_leaf_is_assigned_to_the_profile_of_the_fact(pool: asyncpg.Pool) -> None:
    async with pool.acquire() as conn:
        await add_leaf(conn)
    assert await evaluate(pool, OLD) == [OLD]
    assert await pool.fetchval("SELECT version FROM assignment") == 0
