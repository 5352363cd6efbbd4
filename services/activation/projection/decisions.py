"""Takes in slots, and what changes the persons that decisions have read."""

from __future__ import annotations

from collections.abc import Container, Iterator, Sequence
from typing import Any, Final

import asyncpg
import structlog
from onefold.segment.v1 import segment_stream_pb2 as pb

from services.activation.domain.decisions import ScopedPerson, changed_persons
from services.activation.store import decisions as store
from services.activation.store.slots import save_slot
from services.chassis.codec.journey_facts import SLOT_DEFINED
from services.chassis.runtime.declared_latency import DeclaredLatency
from services.kernel.errors import InvalidField
from services.kernel.ids import ProfileId, WorkspaceId
from services.kernel.journeys.inputs import CONSENT_FILTER_ID, MEMBERSHIP_PREFIX

_MEASURED: Final = (pb.MEMBERSHIP_CAUSE_RULE, pb.MEMBERSHIP_CAUSE_TIME)

log = structlog.get_logger(__name__)


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
            self._uncommitted[shard] = _instants(messages, followed)
            changes = _changes(messages, followed)
            await store.change_persons(conn, changed_persons(changes, _others(messages, followed)))


def _instants(messages: Sequence[Any], followed: Container[str]) -> list[int]:
    """Return the instants of changes by events and by time; replays of a history have no offset."""
    return [
        change.changed_at_us
        for message in messages
        if message.log_offset
        for change in message.changes
        if change.workspace_id in followed and change.cause in _MEASURED
    ]


def _changes(
    messages: Sequence[Any], followed: Container[str]
) -> Iterator[tuple[ScopedPerson, str, int]]:
    """Yield the person, the segment and the ordinal of each change of a membership."""
    for message in messages:
        for change in message.changes:
            hidden = change.segment_id.startswith(MEMBERSHIP_PREFIX)
            if change.workspace_id in followed and not hidden:
                yield _person(change, change.profile_id), change.segment_id, change.ordinal


def _others(messages: Sequence[Any], followed: Container[str]) -> Iterator[ScopedPerson]:
    """Yield the persons with other identifiers or another answer to a purpose."""
    for message in messages:
        for move in message.leaf_moves:
            if move.workspace_id in followed:
                yield _person(move, move.profile_id)
                yield _person(move, move.before_profile_id)
        for event in message.matched_events:
            if event.workspace_id in followed and CONSENT_FILTER_ID in event.filter_ids:
                yield _person(event, event.profile_id)


def _person(part: Any, profile_id: bytes) -> ScopedPerson:
    return ScopedPerson(WorkspaceId(part.workspace_id), ProfileId(profile_id))
