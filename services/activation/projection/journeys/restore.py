"""Makes runs and the ledger from what the log has, where the database was lost.

An effect that was planned and has no end may have been sent: it is in the state UNKNOWN, and its
channel decides whether it is sent again. A run that has ended stays as it is.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, Final, NamedTuple

import asyncpg
import structlog

from services.activation.codec.bus import DELIVERY_ENDED, reported_delivery
from services.activation.codec.coupons import (
    COUPON_ISSUED,
    COUPON_VOIDED,
    issued_coupon,
    voided_coupon,
)
from services.activation.codec.desk import QUEUE_DEFINED, OwnTicketFact, logged_ticket_fact
from services.activation.codec.journey_runs import (
    RUN_ENDS,
    RUN_TRANSITIONED,
    LoggedTransition,
    first_leaf,
    logged_transition,
    record_from_bytes,
    stored_bytes,
)
from services.activation.domain.coupons import Coupon
from services.activation.domain.journeys.catalogue import JourneyHistory
from services.activation.domain.journeys.planned import effects_of
from services.activation.domain.model import RunEffect
from services.activation.projection.desk.intake import define_queues
from services.activation.projection.journeys.intake import DEFINITIONS, define
from services.activation.store import runs as store
from services.activation.store.coupons import restore_coupons
from services.activation.store.desk import take_in_facts
from services.activation.store.journeys import load_journeys
from services.activation.store.reports import restore_reports
from services.activation.store.restore import mark_unknown, restore_ends
from services.activation.store.run_effects import add_planned_effects, release_effects
from services.activation.store.runs import DueKey
from services.chassis.codec.journey_facts import DELIVERY_REPORTED
from services.chassis.codec.tickets import TICKET_KINDS
from services.chassis.postgres.database import Database, acquire, transaction
from services.chassis.rpc.clients import LogClient
from services.chassis.runtime.backoff import Backoff
from services.kernel.errors import RetryableError
from services.kernel.ids import ProfileId, WorkspaceId

log = structlog.get_logger(__name__)

#: Seconds before the first repetition where the log is not available.
RETRY_S: Final = 0.5
MAX_BACKOFF_S: Final = 10.0
_RESTORED: Final = (
    *(DELIVERY_ENDED, DELIVERY_REPORTED, RUN_TRANSITIONED),
    *(COUPON_ISSUED, COUPON_VOIDED, *TICKET_KINDS),
)


async def restore_ledger(database: Database, log_client: LogClient, shards: int) -> None:
    """Restore runs and the ledger, once in the life of a database, before anything is sent.

    Waits until the log is available.
    """
    backoff = Backoff(RETRY_S, MAX_BACKOFF_S)
    async with acquire(database.pool) as conn:
        if await conn.fetchval(store.Q.is_restored):
            return
    while True:
        try:
            await _restore(database, log_client, shards)
        except RetryableError as error:
            log.warning("restore_delayed", reason=error.reason)
            await asyncio.sleep(backoff.next_s())
        else:
            return


async def _restore(database: Database, log_client: LogClient, shards: int) -> None:
    async with transaction(database.pool) as conn:
        async for page in log_client.read(0, 0, 0, kinds=sorted({*DEFINITIONS, QUEUE_DEFINED})):
            for fact in page:
                await define(conn, fact)
            await define_queues(conn, [fact for fact in page if fact.kind == QUEUE_DEFINED])
    for shard in range(shards):
        transitions: list[tuple[WorkspaceId, LoggedTransition]] = []
        ends: list[Any] = []
        reports: list[tuple[Any, ...]] = []
        coupons: list[Coupon] = []
        voided: list[bytes] = []
        tickets: list[OwnTicketFact] = []
        async for page in log_client.read(shard, 0, 0, kinds=_RESTORED):
            for fact in page:
                if fact.kind == RUN_TRANSITIONED:
                    message = logged_transition(fact.payload)
                    transitions.append((WorkspaceId(fact.workspace_id), message))
                elif fact.kind == DELIVERY_ENDED:
                    ends.append(fact)
                elif fact.kind == DELIVERY_REPORTED:
                    reports.append(reported_delivery(fact))
                elif fact.kind == COUPON_ISSUED:
                    coupons.append(issued_coupon(fact))
                elif fact.kind == COUPON_VOIDED:
                    voided.append(voided_coupon(fact.payload))
                elif (ticket := logged_ticket_fact(fact)) is not None:
                    tickets.append(ticket)
        async with transaction(database.pool) as conn:
            runs = logged_runs(transitions)
            histories = await load_journeys(conn, {run.workspace_id for run in runs})
            await store.add_dues(conn, [(_key_of(run), 0) for run in runs])
            planned = await restore_runs(conn, runs, histories, shards, closes=True)
            await restore_ends(conn, ends, shards)
            sent = [effect for effect in planned if effect.destination_id]
            await mark_unknown(conn, [(e.effect_id, e.leaf_id) for e in sent], shards)
            await restore_reports(conn, reports)
            await restore_coupons(conn, coupons, voided)
            await take_in_facts(conn, tickets)
        if runs or ends:
            log.info("ledger_restored", shard=shard, runs=len(runs), ends=len(ends))
    async with acquire(database.pool) as conn:
        await conn.execute(store.Q.mark_restored)


def _key_of(run: LoggedRun) -> DueKey:
    journey_id = run.transitions[0].journey_id
    return DueKey(run.workspace_id, journey_id, first_leaf(run.transitions))


class LoggedRun(NamedTuple):
    """A run as the log has it."""

    workspace_id: WorkspaceId
    #: In the order of their numbers, from the first.
    transitions: Sequence[LoggedTransition]


async def restore_runs(
    conn: asyncpg.Connection,
    runs: Collection[LoggedRun],
    histories: Mapping[tuple[WorkspaceId, str], JourneyHistory],
    shards: int,
    *,
    closes: bool,
) -> list[RunEffect]:
    """Store runs as the log has them, and let their effects be sent.

    Effects that the ledger has stay as they are. `closes`: nothing changes the runs any more that
    have ended, as their facts are not known. Returns all effects that the runs have planned.
    """
    rows, effects = [], list[RunEffect]()
    for workspace_id, transitions in runs:
        stored = stored_bytes(transitions)
        record, journey_id = record_from_bytes(stored), transitions[0].journey_id
        ending, leaf_id = record.ending, record.first.leaf_id
        state, end = (1, 0) if ending is None else (3, RUN_ENDS.to_proto(ending.reason))
        rows.append(
            (
                *(workspace_id, record.run_id, journey_id, record.version, leaf_id),
                *(record.first.occurred_at_us, record.number, stored),
                *(state, end, "", None, closes and ending is not None, record.first.fact_id),
                *(None if ending is None else ending.at_us,),
            )
        )
        history = histories.get((workspace_id, journey_id))
        if history is not None:
            # The person of the leaf is not known here; a look and the gate find it.
            effects += effects_of(workspace_id, ProfileId(leaf_id), history, record)
    if rows:
        await store.save_restored(conn, rows)
    if effects:
        await add_planned_effects(conn, effects, shards)
        await release_effects(conn, [(e.effect_id, e.leaf_id) for e in effects], shards)
    return effects


def logged_runs(transitions: Iterable[tuple[WorkspaceId, LoggedTransition]]) -> list[LoggedRun]:
    """Return the runs of transitions in any order; a repeated one counts once."""
    found: dict[tuple[WorkspaceId, bytes], dict[int, LoggedTransition]] = {}
    for workspace_id, each in transitions:
        found.setdefault((workspace_id, each.run_id), {})[each.number] = each
    return [
        LoggedRun(workspace_id, [own[number] for number in sorted(own)])
        for (workspace_id, _), own in found.items()
    ]
