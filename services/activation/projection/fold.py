"""Load, decide, save: one batch of entries and exits becomes rows of the ledger."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Any

import asyncpg
import structlog

from services.activation.codec import bus as wire
from services.activation.domain.model import Change
from services.activation.domain.transitions import effects
from services.activation.store import postgres as store
from services.activation.store.postgres import Place
from services.chassis.access.tables import fold_access_facts
from services.chassis.messaging.stream import Batch, FoldResult
from services.kernel.errors import InvalidField

log = structlog.get_logger(__name__)


class ActivationApp:
    """The projection of this service; it writes the ledger and sends nothing itself.

    `on_effects` is called with the places for which effects were written, `on_defined` where a
    destination was defined; both by `committed`, as nobody sees the rows before.
    """

    def __init__(
        self,
        shards: int,
        *,
        on_effects: Callable[[Collection[Place]], None],
        on_defined: Callable[[], None],
        on_access: Callable[[], None],
    ) -> None:
        self._shards = shards
        self._on_effects = on_effects
        self._on_defined = on_defined
        self._on_access = on_access
        #: By shard, what its fold wrote and did not commit yet.
        self._written: dict[int, set[Place]] = {}
        self._defined: set[int] = set()

    async def fold(self, conn: asyncpg.Connection, batch: Batch) -> FoldResult:
        """Fold one batch; see chassis.stream.Projection.

        Changes are matched with the destinations that were defined before them in their shard.
        """
        facts: list[Any] = []
        waiting: list[Change] = []
        told = [wire.memberships_changed(m.payload) for m in batch.messages]
        for message in told:
            defined = [f for f in message.broadcast_facts if f.kind == wire.DESTINATION_DEFINED]
            if defined:
                await self._write(conn, batch.shard, waiting)
                waiting = []
            for fact in defined:
                await self._define(conn, batch.shard, fact)
            waiting += map(wire.change, message.changes)
            facts += message.broadcast_facts
        await self._write(conn, batch.shard, waiting)
        if await fold_access_facts(conn, facts):
            self._on_access()
        # What is told again from long ago does not say how far the log was.
        reached = max(batch.log_offset, told[-1].log_offset)
        return FoldResult(batch.next, reached, max(batch.log_time_us, told[-1].log_time_us))

    def committed(self, shard: int) -> None:
        """What was folded of a shard can be seen now."""
        if shard in self._defined:
            self._defined.discard(shard)
            self._on_defined()
        if written := self._written.pop(shard, None):
            self._on_effects(written)

    async def _write(self, conn: asyncpg.Connection, shard: int, changes: Sequence[Change]) -> None:
        if not changes:
            return
        workspaces = {change.workspace_id for change in changes}
        known = await store.load_destinations_of_shard(conn, shard, workspaces)
        if found := effects(changes, known):
            await store.add_effects(conn, found, self._shards)
            places = {Place(e.workspace_id, e.destination_id) for e in found}
            self._written.setdefault(shard, set()).update(places)

    async def _define(self, conn: asyncpg.Connection, shard: int, fact: Any) -> None:
        try:
            destination = wire.destination(fact.workspace_id, fact.payload)
        except InvalidField:
            log.warning("definition_skipped", kind=fact.kind, offset=fact.offset)
            return
        await store.save_destination(conn, shard, destination, fact.payload)
        self._defined.add(shard)
