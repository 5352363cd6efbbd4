"""Cuts the messages of profile and segment into units that a fold can leave out."""

from __future__ import annotations

from collections.abc import Callable, Collection, Container, Iterator
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from google.protobuf.message import Message

from services.chassis.messaging.stream import FoldUnit, StreamMessage, UnitId
from services.kernel.ids import WorkspaceId

M = TypeVar("M", bound=Message)


@dataclass(frozen=True, slots=True)
class UnitCodec(Generic[M]):
    """Cuts messages of one kind, such as ProfilesChanged."""

    kind: type[M]
    #: Yields each part of a message, with the key of its unit and its workspace.
    parts: Callable[[M], Iterator[tuple[bytes, str, M]]]

    def units_of(self, message: StreamMessage) -> list[FoldUnit]:
        """Return the units of a message; parts of one key are one unit."""
        whole = self.kind.FromString(message.payload)
        units: dict[bytes, tuple[str, M]] = {}
        for key, workspace_id, part in self.parts(whole):
            _, found = units.setdefault(key, (workspace_id, self._empty(whole)))
            found.MergeFrom(part)
        return [
            FoldUnit(UnitId(message.first, key), WorkspaceId(workspace), part.SerializeToString())
            for key, (workspace, part) in units.items()
        ]

    def names(self, payload: bytes, ids: Container[bytes]) -> bool:
        """Return whether a unit is of one of some profiles or leaves: its changes, an event, or
        where it belongs."""
        unit: Any = self.kind.FromString(payload)
        leaves = (*unit.matched_events, *unit.leaf_moves)
        named = (*(one.profile_id for one in unit.changes), *(one.leaf_id for one in leaves))
        return any(id_ in ids for id_ in named)

    def without(self, message: M, sequence: int, left_out: Collection[UnitId]) -> M:
        """Return a message without some of its units."""
        if not any(unit.sequence == sequence for unit in left_out):
            return message
        rest = self._empty(message)
        for key, _, part in self.parts(message):
            if UnitId(sequence, key) not in left_out:
                rest.MergeFrom(part)
        return rest

    def _empty(self, message: Any) -> M:
        """Return a message without parts, at the same place of the stream."""
        kind: Any = self.kind
        empty: M = kind(
            shard=message.shard,
            sequence=message.sequence,
            log_offset=message.log_offset,
            log_time_us=message.log_time_us,
        )
        return empty
