"""Carries out the effects of runs that are facts of the log: entries of other journeys, tags."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import asyncpg
import structlog

from services.activation.codec.own_effects import own_effect_fact
from services.activation.domain.coupons import Coupon
from services.activation.domain.journeys.catalogue import JourneyHistory
from services.activation.domain.model import DeliveryState
from services.activation.store.coupons import Q as COUPONS
from services.activation.store.coupons import load_coupons_of_runs
from services.activation.store.journeys import load_journeys
from services.activation.store.runs import OWN
from services.chassis.postgres.database import Database, acquire, transaction
from services.chassis.rpc.clients import LogClient
from services.chassis.runtime.backoff import Backoff
from services.chassis.runtime.repeat import repeat, wait_at_most
from services.kernel.ids import WorkspaceId
from services.kernel.journeys.model import EffectStep, VoidStep

log = structlog.get_logger(__name__)

#: Effects in one call.
PAGE: Final = 500
#: The most journeys that begin each other in a row.
MAX_DEPTH: Final = 8
POLL_INTERVAL_S: Final = 0.5
MAX_BACKOFF_S: Final = 10.0
TOO_DEEP: Final = f"more than {MAX_DEPTH} journeys have begun each other"
NOT_SERVED: Final = "the step is not defined any more, or nothing carries it out"

NOT_ISSUED: Final = "the coupon was not issued"
USED: Final = "the coupon was used"


@dataclass
class OwnEffects:
    """Appends the facts of effects; a repeat after a crash is the same fact."""

    database: Database
    log_client: LogClient
    actor: str
    #: Set when effects were released.
    released: asyncio.Event

    async def run(self) -> None:
        """Carry out until cancelled. Errors are logged and retried."""
        await repeat("own_effects", self._step, Backoff(2 * POLL_INTERVAL_S, MAX_BACKOFF_S))

    async def _step(self) -> None:
        self.released.clear()
        if not await self.carry_out():
            await wait_at_most(self.released, POLL_INTERVAL_S)

    async def carry_out(self) -> int:
        """Carry out one page of effects; return how many there were."""
        async with acquire(self.database.pool) as conn:
            now_us = await conn.fetchval("SELECT max(log_time_us) FROM checkpoint")
            rows = await conn.fetch(OWN.begin_own_effects, now_us, PAGE)
            if not rows:
                return 0
            histories = await load_journeys(conn, {row["workspace_id"] for row in rows})
            deep = await _too_deep(conn, rows)
            coupons = await _coupons(conn, rows)
        facts, gone = [], []
        refused: dict[bytes, str] = {row["effect_id"]: TOO_DEEP for row in rows if row in deep}
        for row in rows:
            if row["effect_id"] in refused:
                continue
            step, voided = _step(row, histories), None
            if isinstance(step, VoidStep):
                voided = coupons.get((row["run_id"], step.coupon))
                if reason := _not_voidable(voided):
                    refused[row["effect_id"]] = reason
                    continue
            fact = own_effect_fact(row, step, self.actor, voided)
            if fact is None:
                refused[row["effect_id"]] = NOT_SERVED
                continue
            facts.append(fact)
            if voided is not None:
                gone.append(voided.coupon_id)
        if facts:
            await self.log_client.append(facts)
        async with transaction(self.database.pool) as conn:
            if gone:
                await conn.execute(COUPONS.void_coupons, gone)
            await _end(conn, rows, refused)
        return len(rows)


async def _coupons(
    conn: asyncpg.Connection, rows: Iterable[Any]
) -> dict[tuple[bytes, str], Coupon]:
    """Return the coupons of the runs of effects, by run and name."""
    runs: defaultdict[WorkspaceId, set[bytes]] = defaultdict(set)
    for row in rows:
        runs[WorkspaceId(row["workspace_id"])].add(row["run_id"])
    found: dict[tuple[bytes, str], Coupon] = {}
    for workspace_id, own in runs.items():
        for run_id, coupons in (await load_coupons_of_runs(conn, workspace_id, own)).items():
            found |= {(run_id, coupon.name): coupon for coupon in coupons}
    return found


def _not_voidable(coupon: Coupon | None) -> str:
    """Return why a coupon cannot be taken back; empty = it can."""
    if coupon is None or not coupon.is_published:
        return NOT_ISSUED
    return USED if coupon.used is not None else ""


async def _too_deep(conn: asyncpg.Connection, rows: Iterable[Any]) -> list[Any]:
    """Return the effects of runs that too many journeys have begun in a row."""
    found = []
    for row in rows:
        key = row["workspace_id"], row["run_id"]
        if await conn.fetchval(OWN.load_depth, *key, MAX_DEPTH + 1) > MAX_DEPTH:
            found.append(row)
    return found


def _step(
    row: Any, histories: Mapping[tuple[WorkspaceId, str], JourneyHistory]
) -> EffectStep | None:
    history = histories.get((row["workspace_id"], row["journey_id"]))
    if history is None:
        return None
    try:
        return history.program(row["journey_version"]).effects.get(row["step_id"])
    except LookupError:
        return None


async def _end(
    conn: asyncpg.Connection, rows: Collection[Any], refused: Mapping[bytes, str]
) -> None:
    columns: defaultdict[int, list[Any]] = defaultdict(list)
    for row in sorted(rows, key=lambda row: row["effect_id"]):
        reason = refused.get(row["effect_id"], "")
        state = DeliveryState.SUPPRESSED if reason else DeliveryState.DELIVERED
        for place, value in enumerate((row["effect_id"], row["shard"], state, reason)):
            columns[place].append(value)
    await conn.execute(OWN.end_own_effects, *columns.values())
