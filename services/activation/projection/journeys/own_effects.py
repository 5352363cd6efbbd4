"""Carries out the effects of runs that are facts of the log: journeys, tags, stages, tasks."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final

import asyncpg
import structlog

from services.activation.codec.coupons import COUPON_VOIDED, voided_coupon
from services.activation.codec.desk import closed_task_fact, task_fact
from services.activation.codec.own_effects import own_effect_fact
from services.activation.domain.coupons import Coupon
from services.activation.domain.journeys.catalogue import JourneyHistory
from services.activation.domain.journeys.program import Program
from services.activation.domain.model import DeliveryState
from services.activation.projection.journeys.knowledge import JourneyReads, Person
from services.activation.store.coupons import Q as COUPONS
from services.activation.store.coupons import load_coupons_of_runs
from services.activation.store.journeys import load_journeys
from services.activation.store.run_reads import load_known_us
from services.activation.store.runs import OWN
from services.chassis.postgres.database import Database, acquire, transaction
from services.chassis.rpc.clients import LogClient
from services.chassis.runtime.backoff import Backoff
from services.chassis.runtime.repeat import repeat, wait_at_most
from services.kernel.errors import Conflict
from services.kernel.ids import ProfileId, WorkspaceId
from services.kernel.journeys.model import CloseStep, EffectStep, TaskStep, VoidStep

log = structlog.get_logger(__name__)

#: Effects in one call.
PAGE: Final = 500
#: The most journeys that begin each other in a row.
MAX_DEPTH: Final = 8
POLL_INTERVAL_S: Final = 0.5
MAX_BACKOFF_S: Final = 10.0
TOO_DEEP: Final = f"more than {MAX_DEPTH} journeys have begun each other"
NOT_SERVED: Final = "the step is not defined any more, or nothing carries it out"

NOT_OPENED: Final = "the task was not opened"
NOT_ISSUED: Final = "the coupon was not issued"
USED: Final = "the coupon was used"


@dataclass
class OwnEffects:
    """Appends the facts of effects; a repeat after a crash is the same fact."""

    database: Database
    log_client: LogClient
    upstream: JourneyReads
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
            known_us = await load_known_us(conn)
            now_us = await conn.fetchval("SELECT max(log_time_us) FROM checkpoint")
            rows = await conn.fetch(OWN.begin_own_effects, now_us, PAGE)
            if not rows:
                return 0
            histories = await load_journeys(conn, {row["workspace_id"] for row in rows})
            deep = await _too_deep(conn, rows)
            coupons = await _coupons(conn, rows)
            tasks = await _tasks(conn, rows)
        steps = {row["effect_id"]: _step(row, histories) for row in rows}
        traits = await self._traits(rows, steps)
        facts: list[Any] = []
        gone: list[bytes] = []
        refused: dict[bytes, str] = {row["effect_id"]: TOO_DEEP for row in rows if row in deep}
        for row in rows:
            if row["effect_id"] in refused:
                continue
            found = self._facts(row, steps[row["effect_id"]], coupons, tasks, traits)
            if isinstance(found, str):
                refused[row["effect_id"]] = found
                continue
            facts += found
            gone += [voided_coupon(f.payload) for f in found if f.kind == COUPON_VOIDED]
        await self._append(facts, known_us)
        async with transaction(self.database.pool) as conn:
            if gone:
                await conn.execute(COUPONS.void_coupons, gone)
            await _end(conn, rows, refused)
        return len(rows)

    async def _append(self, facts: list[Any], known_us: int) -> None:
        """Append facts. One that the log has with another content stays as it is there.

        So does a task whose agent was another one when a repeated effect was begun first.
        """
        if not facts:
            return
        try:
            await self.log_client.append(facts, known_us)
        except Conflict:
            for fact in facts:
                with suppress(Conflict):
                    await self.log_client.append([fact], known_us)

    def _facts(
        self,
        row: Any,
        step: tuple[EffectStep, Program] | None,
        coupons: Mapping[tuple[bytes, str], Coupon],
        tasks: Mapping[tuple[bytes, str], list[bytes]],
        traits: Mapping[Person, Mapping[str, str]],
    ) -> list[Any] | str:
        """Return the facts of an effect, or why there are none."""
        if step is None:
            return NOT_SERVED
        voided: Coupon | None = None
        match step[0]:
            case TaskStep() as task:
                own = traits.get(_person(row), {})
                return [task_fact(row, task, own.get(task.to_trait, ""), self.actor)]
            case CloseStep(task=id_):
                opened, queue_id = tasks.get((row["run_id"], id_), []), _queue_of(*step)
                facts = [closed_task_fact(row, own, queue_id, self.actor) for own in opened]
                return facts or NOT_OPENED
            case VoidStep(coupon=name):
                voided = coupons.get((row["run_id"], name))
                if reason := _not_voidable(voided):
                    return reason
            case _:
                pass
        fact = own_effect_fact(row, step[0], self.actor, voided)
        return NOT_SERVED if fact is None else [fact]

    async def _traits(
        self, rows: Iterable[Any], steps: Mapping[bytes, tuple[EffectStep, Program] | None]
    ) -> dict[Person, dict[str, str]]:
        """Return the traits that name the agents of tasks. Raises OnefoldError."""
        wanted: defaultdict[Person, set[str]] = defaultdict(set)
        for row in rows:
            step = steps[row["effect_id"]]
            if step is not None and isinstance(step[0], TaskStep) and step[0].to_trait:
                wanted[_person(row)].add(step[0].to_trait)
        return await self.upstream.texts(wanted) if wanted else {}


def _person(row: Any) -> Person:
    return WorkspaceId(row["workspace_id"]), ProfileId(row["leaf_id"])


def _queue_of(step: EffectStep, program: Program) -> str:
    """Return the queue of the task that a step closes."""
    task = program.effects.get(step.task) if isinstance(step, CloseStep) else None
    return task.queue if isinstance(task, TaskStep) else ""


async def _tasks(
    conn: asyncpg.Connection, rows: Iterable[Any]
) -> dict[tuple[bytes, str], list[bytes]]:
    """Return the tasks that the runs of effects have opened, by run and step."""
    found: defaultdict[tuple[bytes, str], list[bytes]] = defaultdict(list)
    leaves, runs = {row["leaf_id"] for row in rows}, {row["run_id"] for row in rows}
    for row in await conn.fetch(OWN.load_facts_of_runs, sorted(leaves), sorted(runs)):
        found[row["run_id"], row["step_id"]].append(row["effect_id"])
    return found


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
) -> tuple[EffectStep, Program] | None:
    history = histories.get((row["workspace_id"], row["journey_id"]))
    if history is None:
        return None
    try:
        program = history.program(row["journey_version"])
        return program.effects[row["step_id"]], program
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
