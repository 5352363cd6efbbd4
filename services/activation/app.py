"""Load, decide, save: one batch of entries and exits becomes rows of the ledger."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import asyncpg
import structlog

from services.activation import store, wire
from services.activation.domain.decide import effects
from services.chassis.access import fold_access
from services.chassis.stream import Batch, Folded
from services.kernel.errors import InvalidField

log = structlog.get_logger(__name__)


class ActivationApp:
    """The projection of this service; it writes the ledger and sends nothing itself."""

    def __init__(
        self, shards: int, *, on_effects: Callable[[], None], on_access: Callable[[], None]
    ) -> None:
        self._shards = shards
        self._on_effects = on_effects
        self._on_access = on_access

    async def fold(self, conn: asyncpg.Connection, batch: Batch) -> Folded:
        """Fold one batch; see chassis.stream.Projection."""
        told = [wire.memberships_changed(m.payload) for m in batch.messages]
        facts = [fact for message in told for fact in message.facts]
        defined = [fact for fact in facts if fact.kind == wire.DESTINATION_DEFINED]
        for fact in defined:
            await self._define(conn, fact)
        changes = [wire.change(c) for message in told for c in message.changes]
        if changes:
            found = effects(changes, await store.load_destinations(conn))
            if found:
                await store.add_effects(conn, found, self._shards)
        if await fold_access(conn, facts):
            self._on_access()
        if changes or defined:
            self._on_effects()
        last = told[-1]
        return Folded(batch.next, last.log_offset, last.log_time_us)

    async def _define(self, conn: asyncpg.Connection, fact: Any) -> None:
        try:
            destination = wire.destination(fact.workspace_id, fact.payload)
        except InvalidField:
            log.warning("definition_skipped", kind=fact.kind, offset=fact.offset)
            return
        await store.save_destination(conn, destination, fact.payload)
