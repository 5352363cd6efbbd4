"""Locks on people: what is found to be at stake under the lock is not waited for."""

from __future__ import annotations

import asyncpg
import pytest

from services.kernel.errors import ServiceUnavailable
from services.kernel.fold.leaf import LeafState, encode
from services.kernel.ids import IdentifierId, LeafId, ProfileId, WorkspaceId, shard_of
from services.profile.domain.assignments import Move
from services.profile.domain.evaluation import EVERYTHING
from services.profile.domain.facts import Assignment
from services.profile.projection.evaluate import Asking, Settler
from services.profile.projection.predicates import Rulebook
from services.profile.store import postgres as store

WORKSPACE, LEAF = WorkspaceId("school"), LeafId(b"l" * 16)
OLD, NEW = ProfileId(b"o" * 16), ProfileId(b"n" * 16)
SALT = store.lock_salt("profile")


def told(profile: ProfileId, version: int) -> Assignment:
    return Assignment(WORKSPACE, IdentifierId(LEAF), profile, version, None)


def asking(profile: ProfileId) -> Asking:
    """As a worker asks that knows a profile only from a fact."""
    return Asking({LEAF: EVERYTHING}, {IdentifierId(LEAF): told(profile, 0)})


async def settle(pool: asyncpg.Pool, profile: ProfileId) -> list[ProfileId]:
    async with pool.acquire() as conn, conn.transaction():
        decided = await Settler(Rulebook(), 4).settle(conn, 0, asking(profile), 7)
        return [standing.profile_id for standing in decided.news]


@pytest.fixture
async def moved(pool: asyncpg.Pool) -> None:
    """The leaf was moved from one profile to another, which the asker has not heard."""
    async with pool.acquire() as conn:
        await store.add_leaves(conn, 0, [store.LeafRow(LEAF, WORKSPACE, encode(LeafState()))])
        await conn.execute("UPDATE leaf SET shard = $1", shard_of(LEAF, 4))
        await store.save_assignments(conn, [Move(None, told(NEW, 5))], 4)


@pytest.mark.usefixtures("moved")
async def test_who_it_is_is_read_under_the_lock(pool: asyncpg.Pool) -> None:
    assert await settle(pool, OLD) == [NEW]


@pytest.mark.usefixtures("moved")
async def test_what_somebody_else_holds_is_not_waited_for_out_of_turn(pool: asyncpg.Pool) -> None:
    async with pool.acquire() as other:
        async with other.transaction():
            await store.lock(other, [NEW], SALT)
            with pytest.raises(ServiceUnavailable):
                await settle(pool, OLD)
        assert await settle(pool, OLD) == [NEW]


async def test_an_unknown_leaf_is_taken_in_as_the_fact_says(pool: asyncpg.Pool) -> None:
    async with pool.acquire() as conn:
        await store.add_leaves(
            conn, shard_of(LEAF, 4), [store.LeafRow(LEAF, WORKSPACE, encode(LeafState()))]
        )
    assert await settle(pool, OLD) == [OLD]
    assert await pool.fetchval("SELECT version FROM assignment") == 0
