"""Stores pools of coupons with their codes, and the coupons that messages have taken along."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from contextlib import suppress
from typing import Any, NamedTuple

import asyncpg

from services.activation.codec.coupons import decode_pool
from services.activation.domain.coupons import Coupon, CouponUsed
from services.chassis.postgres.database import Queries
from services.kernel.errors import InvalidField
from services.kernel.ids import FactId, LeafId, WorkspaceId
from services.kernel.journeys.coupons import CouponPool

Q = Queries.load(__package__, "coupons.sql")


class UsedCode(NamedTuple):
    """An event that has the code of a coupon."""

    workspace_id: WorkspaceId
    pool_id: str
    code: str
    fact_id: FactId
    #: Unix microseconds.
    occurred_at_us: int
    recorded_at_us: int


class PoolCounts(NamedTuple):
    """What has become of the coupons of a pool."""

    free: int = 0
    issued: int = 0
    used: int = 0
    voided: int = 0


async def save_pool(conn: asyncpg.Connection, workspace_id: str, payload: bytes) -> None:
    """Save a version of a pool. Raises InvalidField where the payload is none."""
    pool = decode_pool(payload)
    await conn.execute(Q.save_pool, workspace_id, pool.pool_id, pool.version, payload)


async def load_pools(conn: asyncpg.Connection, workspace_id: WorkspaceId) -> dict[str, CouponPool]:
    """Return the pools of a workspace by id; one that cannot be decoded is left out."""
    found: dict[str, CouponPool] = {}
    for row in await conn.fetch(Q.load_pools, workspace_id):
        with suppress(InvalidField):
            pool = decode_pool(row["payload"])
            found[pool.pool_id] = pool
    return found


async def count_pools(
    conn: asyncpg.Connection, workspace_id: WorkspaceId
) -> Mapping[str, PoolCounts]:
    """Return what has become of the coupons of a workspace, by pool."""
    counts: defaultdict[str, PoolCounts] = defaultdict(PoolCounts)
    for row in await conn.fetch(Q.count_coupons, workspace_id):
        counts[row["pool_id"]] = PoolCounts(0, row["issued"], row["used"], row["voided"])
    for row in await conn.fetch(Q.count_free, workspace_id):
        counts[row["pool_id"]] = counts[row["pool_id"]]._replace(free=row["free"])
    return counts


async def take_codes(
    conn: asyncpg.Connection, workspace_id: WorkspaceId, pool_id: str, coupons: Collection[bytes]
) -> dict[bytes, str]:
    """Take a code for each of some coupons, as far as the pool has any; return them by coupon.

    No call waits for another one.
    """
    rows = await conn.fetch(Q.take_codes, workspace_id, pool_id, coupons)
    return {row["coupon_id"]: row["code"] for row in rows}


async def add_coupons(conn: asyncpg.Connection, coupons: Collection[Coupon]) -> None:
    """Add coupons; those that are there stay as they are."""
    rows = [
        (
            *(c.coupon_id, c.workspace_id, c.effect_id, c.run_id, c.leaf_id, c.journey_id),
            *(c.name, c.pool_id, c.code, c.until_us, c.is_published),
        )
        for c in coupons
    ]
    if rows:
        await conn.execute(Q.add_coupons, *zip(*rows, strict=True))


async def restore_coupons(
    conn: asyncpg.Connection, coupons: Collection[Coupon], voided: Collection[bytes]
) -> None:
    """Add the coupons that the log has, with their codes; `voided`: those that were taken back."""
    await add_coupons(conn, coupons)
    rows = [(c.coupon_id, c.workspace_id, c.pool_id, c.code) for c in coupons]
    if rows:
        await conn.execute(Q.keep_codes, *zip(*rows, strict=True))
    if voided:
        await conn.execute(Q.void_coupons, voided)


async def load_coupons_of_runs(
    conn: asyncpg.Connection, workspace_id: WorkspaceId, run_ids: Collection[bytes]
) -> dict[bytes, list[Coupon]]:
    """Return the coupons of runs of a workspace, by run."""
    found: defaultdict[bytes, list[Coupon]] = defaultdict(list)
    for row in await conn.fetch(Q.load_of_runs, workspace_id, run_ids):
        found[row["run_id"]].append(_coupon(row))
    return found


async def load_coupons_of_leaves(
    conn: asyncpg.Connection, workspaces: Collection[str], leaf_ids: Collection[bytes]
) -> list[Coupon]:
    """Return the coupons of runs of leaves, which are named by two columns."""
    return [_coupon(row) for row in await conn.fetch(Q.load_of_leaves, workspaces, leaf_ids)]


async def use_coupons(
    conn: asyncpg.Connection, used: Iterable[UsedCode]
) -> set[tuple[WorkspaceId, str, LeafId]]:
    """Record uses; return the workspaces, journeys and leaves of the coupons of which each is."""
    first: dict[tuple[str, str, str], UsedCode] = {}
    for each in sorted(used, key=lambda own: (own.occurred_at_us, own.fact_id)):
        first.setdefault(each[:3], each)
    if not first:
        return set()
    rows = await conn.fetch(Q.use_coupons, *zip(*first.values(), strict=True))
    return {(WorkspaceId(r["workspace_id"]), r["journey_id"], LeafId(r["leaf_id"])) for r in rows}


def _coupon(row: Any) -> Coupon:
    used = None
    if row["used_at_us"] is not None:
        used = CouponUsed(row["used_at_us"], FactId(row["used_fact_id"]), row["used_recorded_us"])
    return Coupon(
        row["coupon_id"],
        WorkspaceId(row["workspace_id"]),
        row["effect_id"],
        row["run_id"],
        LeafId(row["leaf_id"]),
        row["journey_id"],
        row["name"],
        row["pool_id"],
        row["code"],
        row["until_us"],
        row["published"],
        row["voided"],
        used,
    )
