"""Decodes erasures of persons, and takes persons out of what was passed on."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from onefold.log.v1.erasure_pb2 import PersonErased
from onefold.log.v1.log_pb2 import Fact
from onefold.segment.v1.segment_stream_pb2 import MembershipsChanged

PERSON_ERASED: str = PersonErased.DESCRIPTOR.full_name


class Erasure(NamedTuple):
    """A person was erased."""

    workspace_id: str
    #: The identifiers; leaves and profile ids are among them.
    ids: frozenset[bytes]
    #: Unix microseconds.
    recorded_at_us: int


def erasures_in(facts: Iterable[Fact]) -> Iterator[Erasure]:
    """Yield the erasures among broadcast facts."""
    for fact in facts:
        if fact.kind == PERSON_ERASED:
            erased = PersonErased.FromString(fact.payload)
            ids = frozenset(erased.identifier_ids)
            yield Erasure(fact.workspace_id, ids, fact.recorded_at_us)


def passed_without(payload: bytes, erasure: Erasure) -> bytes:
    """Return what was passed on without the events and moves of a person's leaves."""
    message = MembershipsChanged.FromString(payload)
    events = [one for one in message.matched_events if one.leaf_id not in erasure.ids]
    moves = [one for one in message.leaf_moves if one.leaf_id not in erasure.ids]
    return MembershipsChanged(matched_events=events, leaf_moves=moves).SerializeToString()
