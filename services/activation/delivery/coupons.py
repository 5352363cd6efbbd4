"""Issues the coupons that messages of runs take along: a code first, then a fact, then the attempt.

A coupon is named by its message and its name, so a repeated attempt takes no other code. What the
gate does not let begin gives its codes back in the same transaction.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

import asyncpg

from services.activation.codec.coupons import issued_fact
from services.activation.delivery.render import Unsendable
from services.activation.domain.coupons import Coupon, coupon_id, generated_code
from services.activation.domain.model import RunEffect
from services.activation.store.coupons import (
    Q,
    add_coupons,
    load_coupons_of_runs,
    load_pools,
    take_codes,
)
from services.activation.store.effects import Attempt
from services.chassis.postgres.database import Database, acquire
from services.chassis.rpc.clients import LogClient
from services.kernel.ids import WorkspaceId
from services.kernel.journeys.coupons import CouponPool
from services.kernel.journeys.model import CouponIssue, SendStep


@dataclass(frozen=True)
class TakenCoupons:
    """The coupons of the runs of some effects, in an open transaction."""

    #: Those that were issued before, by run.
    earlier: Mapping[bytes, Sequence[Coupon]]
    #: Those that were taken now, by effect; none of them is stored.
    new: Mapping[bytes, list[Coupon]] = field(default_factory=dict)
    #: Why effects have no coupon.
    missing: Mapping[bytes, Unsendable] = field(default_factory=dict)

    def known_to(self, run: RunEffect) -> Sequence[Coupon] | Unsendable:
        """Return the coupons that the message of an effect can name, or why it is not sent."""
        if run.effect_id in self.missing:
            return self.missing[run.effect_id]
        return [*self.earlier.get(run.run_id, ()), *self.new.get(run.effect_id, ())]


@dataclass(frozen=True)
class CouponIssuer:
    """Takes coupons from their pools, and appends the facts of their issue."""

    database: Database
    log: LogClient
    actor: str
    #: The key of generated codes: without it they cannot be guessed.
    key: bytes

    async def take(
        self,
        conn: asyncpg.Connection,
        workspace_id: WorkspaceId,
        effects: Collection[tuple[Attempt, RunEffect, SendStep]],
    ) -> TakenCoupons:
        """Take the coupons that the messages of effects need; their persons are locked."""
        if not effects:
            return TakenCoupons({})
        runs = {run.run_id for _, run, _ in effects}
        earlier = await load_coupons_of_runs(conn, workspace_id, runs)
        issued = {coupon.coupon_id for own in earlier.values() for coupon in own}
        wanted: defaultdict[str, list[tuple[bytes, RunEffect, str, CouponIssue]]]
        wanted = defaultdict(list)
        for attempt, run, step in effects:
            # A message that is fixed has what it needs.
            for name, issue in step.issue.items() if attempt.payload is None else ():
                id_ = coupon_id(run.effect_id, name)
                if id_ not in issued:
                    wanted[issue.pool].append((id_, run, name, issue))
        pools = await load_pools(conn, workspace_id) if wanted else {}
        new: defaultdict[bytes, list[Coupon]] = defaultdict(list)
        missing: dict[bytes, Unsendable] = {}
        for pool_id in sorted(wanted):
            pool, ids = pools.get(pool_id), [id_ for id_, *_ in wanted[pool_id]]
            codes = await self._codes(conn, workspace_id, pool, ids)
            for id_, run, name, issue in wanted[pool_id]:
                if id_ not in codes:
                    missing[run.effect_id] = Unsendable(_why_none(pool_id, pool))
                    continue
                until_us = run.at_us + issue.valid_us
                keys = run.effect_id, run.run_id, run.leaf_id, run.journey_id
                coupon = Coupon(id_, workspace_id, *keys, name, pool_id, codes[id_], until_us)
                new[run.effect_id].append(coupon)
        return TakenCoupons(earlier, new, missing)

    async def store(
        self,
        conn: asyncpg.Connection,
        taken: TakenCoupons,
        begun: Collection[bytes],
        suppressed: Collection[bytes],
    ) -> list[Coupon]:
        """Store the coupons of effects that begin, and give the codes of the others back.

        Returns those of effects that begin which are not in the log.
        """
        begins = [c for id_, own in taken.new.items() if id_ in begun for c in own]
        others = [c.coupon_id for id_, own in taken.new.items() if id_ not in begun for c in own]
        await add_coupons(conn, begins)
        if others:
            await conn.execute(Q.free_codes, others)
        if suppressed:
            await conn.execute(Q.take_back, suppressed)
        earlier = (c for own in taken.earlier.values() for c in own)
        return [*begins, *(c for c in earlier if c.effect_id in begun and not c.is_published)]

    async def publish(self, coupons: Sequence[Coupon]) -> None:
        """Append the facts of coupons; a repeat is the same fact. Raises OnefoldError."""
        await self.log.append([issued_fact(coupon, self.actor) for coupon in coupons])
        async with acquire(self.database.pool) as conn:
            await conn.execute(Q.mark_published, [coupon.coupon_id for coupon in coupons])

    async def _codes(
        self,
        conn: asyncpg.Connection,
        workspace_id: WorkspaceId,
        pool: CouponPool | None,
        ids: Sequence[bytes],
    ) -> dict[bytes, str]:
        """Return the codes of coupons of a pool, as far as it has any."""
        if pool is None or pool.retired:
            return {}
        if pool.prefix:
            return {id_: generated_code(self.key, pool.prefix, id_) for id_ in ids}
        return await take_codes(conn, workspace_id, pool.pool_id, ids)


def _why_none(pool_id: str, pool: CouponPool | None) -> str:
    if pool is None or pool.retired:
        return f"the pool {pool_id!r} is not defined, or is retired"
    return f"the pool {pool_id!r} has no free code: load more"
