"""Takes in slots, and what changes the persons that decisions have read."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import asyncpg
import structlog

from services.activation.codec.person_changes import changes_of_persons, instants_of, other_changes
from services.activation.domain.decisions import changed_persons
from services.activation.store import decisions as store
from services.activation.store.slots import save_slot
from services.chassis.codec.journey_facts import SLOT_DEFINED
from services.chassis.runtime.declared_latency import DeclaredLatency
from services.chassis.runtime.telemetry import Metrics
from services.kernel.errors import InvalidField
from services.kernel.ids import WorkspaceId

log = structlog.get_logger(__name__)


def latency_of_decisions(metrics: Metrics, limit_s: float) -> DeclaredLatency:
    """Return what measures how long a change takes until decisions follow it (seconds)."""
    return DeclaredLatency(
        metrics,
        "changes_decided",
        "from recording an event, or the instant of a change by time, to the decisions that follow"
        " the change",
        limit_s,
    )


class SlotIntake:
    """Stores slots, and keeps the stored persons of workspaces with slots up to date."""

    def __init__(self, decided: DeclaredLatency | None = None) -> None:
        self._decided = decided
        #: By shard, the instants of the changes by events and by time of its open transaction.
        self._uncommitted: dict[int, list[int]] = {}
        #: By shard, the workspaces that have or had a slot.
        self._followed: dict[int, frozenset[WorkspaceId]] = {}

    def forget(self, shard: int) -> None:
        """Forget what is remembered of a shard."""
        self._followed.pop(shard, None)

    def committed(self, shard: int) -> None:
        """Measure the changes that a shard has committed: decisions follow them from now on."""
        instants = self._uncommitted.pop(shard, ())
        if self._decided is not None:
            self._decided.measure(instants)

    async def take_in(self, conn: asyncpg.Connection, shard: int, messages: Sequence[Any]) -> None:
        """Store what messages of segment say, inside the transaction of the fold."""
        facts = [f for m in messages for f in m.broadcast_facts if f.kind == SLOT_DEFINED]
        if facts:
            await store.follow(conn, {WorkspaceId(fact.workspace_id) for fact in facts}, shard)
            self.forget(shard)
        for fact in facts:
            try:
                await save_slot(conn, fact.workspace_id, fact.payload)
            except InvalidField:
                log.warning("definition_skipped", kind=fact.kind, offset=fact.offset)
        followed = self._followed.get(shard)
        if followed is None:
            followed = self._followed[shard] = await store.load_followed(conn, shard)
        self._uncommitted[shard] = []
        if followed:
            self._uncommitted[shard] = instants_of(messages, followed)
            changes = changes_of_persons(messages, followed)
            others = other_changes(messages, followed)
            await store.change_persons(conn, changed_persons(changes, others))
