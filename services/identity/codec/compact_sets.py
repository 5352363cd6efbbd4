"""Collects the identifier sets of a whole log in a compact form, for loads in bulk."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeAlias

import msgspec
from onefold.internal.v1.event_identifiers_pb2 import EventIdentifiers
from onefold.log.v1.log_pb2 import Fact
from onefold.type.v1.event_pb2 import EVENT_TYPE_ALIAS, EVENT_TYPE_GROUP, Event
from onefold.type.v1.identifier_pb2 import Identifier as IdentifierMessage

from services.identity.codec.bus import (
    EVENT,
    DecodedEvidence,
    decode_facts,
    group_identifiers,
    raw_identifiers,
)
from services.identity.domain.evidence import (
    SEEN_PERIOD_DAYS,
    SEEN_PERIOD_US,
    EvidenceKind,
    FirstSeen,
    SeenSpan,
)
from services.identity.domain.normalize import IdentifierSet, RawIdentifier
from services.kernel.ids import FactId, LeafId, WorkspaceId
from services.kernel.trust import SourceTrust

#: When a set was first seen (Unix microseconds), the fact, and the last day; see `SeenSpan`.
CompactSpan: TypeAlias = tuple[int, bytes, int]
#: The sets of one workspace, each as MessagePack: leaf, kind, and serialised identifiers.
CompactSets: TypeAlias = dict[bytes, CompactSpan]

_pack = msgspec.msgpack.Encoder().encode
_unpack = msgspec.msgpack.Decoder(tuple[bytes, int, tuple[bytes, ...]]).decode


class SetCollector:
    """Collects identifier sets, about 0.6 KB each; add each fact once, in any order."""

    __slots__ = ("by_workspace",)

    def __init__(self) -> None:
        self.by_workspace: dict[WorkspaceId, CompactSets] = {}

    def __len__(self) -> int:
        """Return the number of sets."""
        return sum(map(len, self.by_workspace.values()))

    def add(self, facts: Iterable[Fact]) -> DecodedEvidence:
        """Add the sets of events, also of erased ones, and return the evidence of all other facts.

        This runs once for each event of the log: it parses no identifier.
        """
        rest: list[Fact] = []
        by_workspace, parse = self.by_workspace, EventIdentifiers.FromString
        alias, group, public = EVENT_TYPE_ALIAS, EVENT_TYPE_GROUP, int(SourceTrust.PUBLIC)
        stated, observed = int(EvidenceKind.STATED), int(EvidenceKind.OBSERVED)
        claimed = int(EvidenceKind.CLAIMED)
        for fact in facts:
            leaf = fact.leaf_id
            if not leaf or fact.kind != EVENT:
                rest.append(fact)
                continue
            event = parse(fact.payload)
            type_, kind = event.type, claimed
            if event.trust > public:
                kind = stated if type_ == alias else observed
            of_group = _group_parts(fact) if type_ == group else None
            key = _pack((leaf, kind, of_group or tuple(event.identifiers)))
            at = fact.occurred_at_us
            # period_end_day(at), without the call
            day = at // SEEN_PERIOD_US * SEEN_PERIOD_DAYS + SEEN_PERIOD_DAYS - 1
            workspace = WorkspaceId(fact.workspace_id)
            sets = by_workspace.get(workspace)
            if sets is None:
                sets = by_workspace[workspace] = {}
            span = sets.get(key)
            if span is None:
                sets[key] = (at, fact.fact_id, day)
            elif at <= span[0] or day > span[2]:
                sets[key] = (*min(span[:2], (at, fact.fact_id)), max(day, span[2]))
        decoded = decode_facts(rest)
        for (workspace_id, leaf, kind, raw), found in decoded.observations.items():
            key = _pack((leaf, int(kind), _serialized(raw)))
            sets = by_workspace.setdefault(workspace_id, {})
            span = (*found.first, found.last_seen_day)
            if (before := sets.get(key)) is not None:
                span = (*min(before[:2], span[:2]), max(before[2], span[2]))
            sets[key] = span
        return decoded


def identifier_set_of(workspace_id: WorkspaceId, packed: bytes) -> IdentifierSet:
    """Return a set that `SetCollector` has packed."""
    leaf, kind, parts = _unpack(packed)
    raw = raw_identifiers(map(IdentifierMessage.FromString, parts))
    return workspace_id, LeafId(leaf), EvidenceKind(kind), raw


def span_of_compact(span: CompactSpan) -> SeenSpan:
    """Return the span of a set."""
    at_us, fact_id, day = span
    return SeenSpan(FirstSeen(at_us, FactId(fact_id)), day)


def _group_parts(fact: Fact) -> tuple[bytes, ...]:
    return _serialized(group_identifiers(Event.FromString(fact.payload)))


def _serialized(raw: Iterable[RawIdentifier]) -> tuple[bytes, ...]:
    return tuple(
        IdentifierMessage(namespace=name, value=value, verified=is_verified).SerializeToString()
        for name, value, is_verified in raw
    )
