"""Appends the transitions of runs to the log, and only then lets their effects be sent.

The fact of a transition is named by its run and its number, so the log accepts one content for
each. Where it refuses one, another worker was first: the run is then the fold of what the log has.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import asyncpg
import structlog

from services.activation.codec.journey_runs import (
    RUN_TRANSITIONED,
    LoggedTransition,
    logged_transition,
    planned_keys,
    stored_transitions,
    transition_fact,
)
from services.activation.domain.journeys.transitions import WithdrawalReason, run_effect_id
from services.activation.projection.journeys.restore import logged_runs, restore_runs
from services.activation.store import runs as store
from services.activation.store.effects import DestinationKey
from services.activation.store.journeys import FOREVER_US, load_journeys
from services.activation.store.run_effects import (
    load_begun,
    lock_persons,
    release_effects,
    withdraw_effects,
)
from services.activation.store.run_reads import load_known_us
from services.activation.store.runs import DueKey
from services.chassis.postgres.database import Database, acquire, transaction
from services.chassis.rpc.clients import LogClient
from services.chassis.runtime.backoff import Backoff
from services.chassis.runtime.repeat import repeat, wait_at_most
from services.kernel.errors import Conflict
from services.kernel.ids import LeafId, ProfileId, WorkspaceId

log = structlog.get_logger(__name__)

#: Runs in one call.
PAGE: Final = 500
#: Seconds between two polls, where nothing wakes the publisher.
POLL_INTERVAL_S: Final = 0.5
MAX_BACKOFF_S: Final = 10.0
_REVISED: Final = WithdrawalReason.REVISED.value


class _Unpublished(NamedTuple):
    """The transitions of a run that are not in the log."""

    workspace_id: WorkspaceId
    run_id: bytes
    leaf_id: LeafId
    #: The number of the last one.
    number: int
    transitions: list[LoggedTransition]

    def planned(self) -> list[tuple[bytes, LeafId]]:
        return [
            (run_effect_id(self.run_id, key), self.leaf_id)
            for each in self.transitions
            for key in planned_keys(each)
        ]


@dataclass
class TransitionPublisher:
    """Appends transitions; a repeat after a crash is the same fact."""

    database: Database
    log_client: LogClient
    actor: str
    shards: int
    #: Called with the destinations that got effects to send.
    on_effects: Callable[[Collection[DestinationKey]], None]
    #: Set when runs have new transitions.
    transitions: asyncio.Event

    async def run(self) -> None:
        """Publish until cancelled. Errors are logged and retried."""
        await repeat("transitions", self._step, Backoff(2 * POLL_INTERVAL_S, MAX_BACKOFF_S))

    async def _step(self) -> None:
        self.transitions.clear()
        if not await self.publish_once():
            await wait_at_most(self.transitions, POLL_INTERVAL_S)

    async def publish_once(self) -> int:
        """Publish the transitions of one page of runs; return how many runs there were."""
        async with acquire(self.database.pool) as conn:
            known_us = await load_known_us(conn)
            rows = await conn.fetch(store.Q.load_unpublished, PAGE)
        runs = list(map(_unpublished, rows))
        if not runs:
            return 0
        try:
            await self._append(runs, known_us)
        except Conflict:
            # The log refuses the call as a whole: each run is appended alone.
            for run in runs:
                try:
                    await self._append([run], known_us)
                except Conflict:
                    await self._read_again(run)
        return len(runs)

    async def _append(self, runs: Collection[_Unpublished], known_us: int) -> None:
        facts = [
            transition_fact(run.workspace_id, run.leaf_id, each, self.actor)
            for run in runs
            for each in run.transitions
        ]
        await self.log_client.append(facts, known_us)
        async with transaction(self.database.pool) as conn:
            queues = await self._release(conn, runs)
        self.on_effects(queues)

    async def _release(
        self, conn: asyncpg.Connection, runs: Iterable[_Unpublished]
    ) -> set[DestinationKey]:
        """Let the effects be sent; they are locked before the transitions, as a look does it."""
        own = list(runs)
        planned = [effect for run in own for effect in run.planned()]
        queues = await release_effects(conn, planned, self.shards) if planned else set()
        await conn.execute(
            store.Q.mark_published,
            [run.workspace_id for run in own],
            [run.run_id for run in own],
            [run.number for run in own],
        )
        return queues

    async def _read_again(self, run: _Unpublished) -> None:
        """Replace a run by what the log has of it, and look at it again."""
        log.warning("transition_refused", number=run.transitions[0].number)
        facts = await self.log_client.read_leaves(run.workspace_id, [run.leaf_id])
        found = [logged_transition(fact.payload) for fact in facts if fact.kind == RUN_TRANSITIONED]
        own = [(run.workspace_id, each) for each in found if each.run_id == run.run_id]
        key = DueKey(run.workspace_id, run.transitions[0].journey_id, run.leaf_id)
        async with transaction(self.database.pool) as conn:
            await store.add_dues(conn, [(key, 0)])
            profiles = await store.profiles_of(conn, [(run.workspace_id, run.leaf_id)], FOREVER_US)
            await lock_persons(conn, {*profiles.values(), ProfileId(run.leaf_id)})
            await load_begun(conn, [run.leaf_id])
            await withdraw_effects(conn, run.planned(), self.shards, _REVISED)
            histories = await load_journeys(conn, [run.workspace_id])
            await restore_runs(conn, logged_runs(own), histories, self.shards, closes=False)


def _unpublished(row: Any) -> _Unpublished:
    return _Unpublished(
        WorkspaceId(row["workspace_id"]),
        row["run_id"],
        LeafId(row["leaf_id"]),
        row["number"],
        stored_transitions(row["transitions"]),
    )
