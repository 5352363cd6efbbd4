"""Folds membership changes into effects of the ledger: load, decide, save."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import asyncpg
import structlog

from services.activation.codec.bus import decode_memberships_changed, triggering_change
from services.activation.codec.dashboards import DASHBOARD_DEFINED
from services.activation.codec.definitions import DESTINATION_DEFINED, decode_destination
from services.activation.codec.templates import TEMPLATE_DEFINED, decode_template
from services.activation.codec.units import UNITS
from services.activation.domain.transitions import plan_effects
from services.activation.projection.decisions import SlotIntake
from services.activation.projection.desk.intake import take_in_desk
from services.activation.projection.journeys.intake import JourneyIntake
from services.activation.store.dashboards import save_dashboard
from services.activation.store.destinations import load_destinations_of_shard, save_destination
from services.activation.store.effects import DestinationKey, add_effects
from services.activation.store.erasure import erase_persons, leave_mirrors
from services.activation.store.mirrors import save_changes
from services.activation.store.templates import save_template
from services.chassis.access.tables import fold_access_facts
from services.chassis.codec.erasures import erasures_in
from services.chassis.messaging.stream import Batch, FoldResult, FoldUnit, StreamMessage
from services.chassis.projection.erased_rows import save_erased_rows
from services.chassis.projection.failed_facts import delete_units
from services.chassis.projection.parked_facts import fold_parked_facts
from services.kernel.erasures import PersonErasure
from services.kernel.errors import InvalidField

log = structlog.get_logger(__name__)


@dataclass(eq=False)
class ActivationProjection:
    """The projection of this service; it adds effects to the ledger and sends nothing.

    `on_effects` is called with the destinations that got effects, `on_defined` where a destination
    was defined; both by `committed`, as the rows are not visible before.
    """

    shards: int
    on_effects: Callable[[Collection[DestinationKey]], None]
    on_defined: Callable[[], None]
    on_access: Callable[[], None]
    slots: SlotIntake = field(default_factory=SlotIntake)
    #: Called after a commit with which persons are to be looked at in journeys.
    on_looks: Callable[[], None] = lambda: None
    #: Called after a commit with which tickets are to be looked at.
    on_tickets: Callable[[], None] = lambda: None
    #: By shard, the destinations that got effects in the open transaction.
    _uncommitted: dict[int, set[DestinationKey]] = field(default_factory=dict, init=False)
    #: The shards whose open transaction has definitions.
    _defined: set[int] = field(default_factory=set, init=False)
    #: The shards whose open transaction has made persons due in journeys.
    _to_look_at: set[int] = field(default_factory=set, init=False)
    #: The shards in whose open transaction something has happened to tickets.
    _tickets: set[int] = field(default_factory=set, init=False)
    _journeys: JourneyIntake = field(default_factory=JourneyIntake, init=False)

    async def fold(self, conn: asyncpg.Connection, batch: Batch) -> FoldResult:
        """Fold one batch; see `Projection`.

        Changes are matched with the destinations that were defined before them in their shard.
        """
        changes: list[Any] = []
        erasures: list[PersonErasure] = []
        messages = [
            UNITS.without(decode_memberships_changed(m.payload), m.first, batch.left_out)
            for m in batch.messages
        ]
        for message in messages:
            definitions = [f for f in message.broadcast_facts if f.kind == DESTINATION_DEFINED]
            if definitions:
                await self._add_effects(conn, batch.shard, changes)
                changes = []
            for fact in definitions:
                await self._define(conn, batch.shard, fact)
            for fact in message.broadcast_facts:
                if fact.kind in (TEMPLATE_DEFINED, DASHBOARD_DEFINED):
                    await _save_definition(conn, fact)
            if erased := list(erasures_in(message.broadcast_facts)):
                await self._add_effects(conn, batch.shard, changes)
                changes = []
                mirrors = await leave_mirrors(conn, erased)
                self._uncommitted.setdefault(batch.shard, set()).update(mirrors)
                erasures += erased
            changes += message.changes
        await self._add_effects(conn, batch.shard, changes)
        if await self._journeys.take_in(conn, batch.shard, messages):
            self._to_look_at.add(batch.shard)
        await self.slots.take_in(conn, batch.shard, messages)
        if await take_in_desk(conn, messages):
            self._tickets.add(batch.shard)
        # At the end, as the batch has what happened before: what is recorded later stays.
        for each, rows in zip(erasures, await erase_persons(conn, erasures), strict=True):
            await save_erased_rows(conn, each, batch.shard, rows)
            is_erased = partial(UNITS.names, ids=each.ids)
            await delete_units(conn, batch.shard, each.workspace_id, batch.next, is_erased)
        facts = [fact for message in messages for fact in message.broadcast_facts]
        await fold_parked_facts(conn, "activation", batch.shard, facts)
        if await fold_access_facts(conn, facts):
            self.on_access()
        # Messages that segment replays from its history have no offset and no time.
        log_offset = max(batch.log_offset, *(m.log_offset for m in messages))
        log_time_us = max(batch.log_time_us, *(m.log_time_us for m in messages))
        return FoldResult(batch.next, log_offset, log_time_us)

    def units(self, message: StreamMessage, first: int) -> list[FoldUnit]:
        """Return the units of a message; see `Isolating`."""
        return UNITS.units_of(message)

    def forget(self, shard: int) -> None:
        """Forget what is remembered of a shard; see `Remembering`."""
        self._journeys.forget(shard)
        self.slots.forget(shard)

    def committed(self, shard: int) -> None:
        """Call the callbacks for the batch that a shard folded last."""
        self.slots.committed(shard)
        if shard in self._to_look_at:
            self._to_look_at.discard(shard)
            self.on_looks()
        if shard in self._tickets:
            self._tickets.discard(shard)
            self.on_tickets()
        if shard in self._defined:
            self._defined.discard(shard)
            self.on_defined()
        if keys := self._uncommitted.pop(shard, None):
            self.on_effects(keys)

    async def _add_effects(
        self, conn: asyncpg.Connection, shard: int, messages: Sequence[Any]
    ) -> None:
        if not messages:
            return
        workspaces = {message.workspace_id for message in messages}
        destinations = await load_destinations_of_shard(conn, shard, workspaces)
        # Most changes concern no destination: only the others are decoded.
        wanted = {(d.workspace_id, id_) for d in destinations for id_ in d.segment_ids}
        changes = [
            triggering_change(message)
            for message in messages
            if (message.workspace_id, message.segment_id) in wanted
        ]
        if not changes:
            return
        mirrors = await save_changes(conn, changes, destinations)
        self._uncommitted.setdefault(shard, set()).update(mirrors)
        if effects := plan_effects(changes, destinations):
            await add_effects(conn, effects, self.shards)
            keys = {DestinationKey(e.workspace_id, e.destination_id) for e in effects}
            self._uncommitted.setdefault(shard, set()).update(keys)

    async def _define(self, conn: asyncpg.Connection, shard: int, fact: Any) -> None:
        try:
            destination = decode_destination(fact.workspace_id, fact.payload)
        except InvalidField:
            log.warning("definition_skipped", kind=fact.kind, offset=fact.offset)
            return
        await save_destination(conn, shard, destination, fact.payload)
        self._defined.add(shard)


async def _save_definition(conn: asyncpg.Connection, fact: Any) -> None:
    """Save a template or a dashboard."""
    try:
        if fact.kind == DASHBOARD_DEFINED:
            await save_dashboard(conn, fact.workspace_id, fact.payload)
        else:
            template = decode_template(fact.workspace_id, fact.payload)
            await save_template(conn, template, fact.payload)
    except InvalidField:
        log.warning("definition_skipped", kind=fact.kind, offset=fact.offset)
