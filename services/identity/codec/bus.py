"""Decodes batches of the log, and encodes what identity publishes."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, NamedTuple, TypeAlias

from onefold.identity.v1 import identity_stream_pb2 as stream_pb
from onefold.identity.v1.identity_facts_pb2 import ASSESSMENT_ACCEPTED, LinkDecided, MatchAssessed
from onefold.internal.v1.event_identifiers_pb2 import EventIdentifiers
from onefold.log.v1.erasure_pb2 import FactErased
from onefold.log.v1.log_pb2 import Fact, FactBatch
from onefold.type.v1.event_pb2 import EVENT_TYPE_ALIAS, EVENT_TYPE_GROUP, Event
from onefold.type.v1.identifier_pb2 import Identifier as IdentifierMessage

from services.chassis.messaging.stream import Batch, FoldUnit, OutboxMessage, StreamMessage, UnitId
from services.identity.codec.policy import POLICY_DEFINED, PolicyFact, decode_policy
from services.identity.domain.evidence import (
    SEEN_PERIOD_DAYS,
    SEEN_PERIOD_US,
    Decision,
    EvidenceKind,
    FirstSeen,
    IdentifierInWorkspace,
    SeenSpan,
    span_of,
)
from services.identity.domain.normalize import IdentifierSet, RawIdentifier
from services.identity.domain.rows import IdentifierAssignment
from services.kernel.identifiers.model import ACCOUNT_ID, Identifier
from services.kernel.ids import FactId, IdentifierId, LeafId, ProfileId, WorkspaceId
from services.kernel.trust import SourceTrust

EVENT = Event.DESCRIPTOR.full_name
FACT_ERASED = FactErased.DESCRIPTOR.full_name
_NO_LEAF = LeafId(b"")
LINK_DECIDED = LinkDecided.DESCRIPTOR.full_name
MATCH_ASSESSED = MatchAssessed.DESCRIPTOR.full_name
_KINDS = {EVENT_TYPE_ALIAS: EvidenceKind.STATED}
#: Small messages are published together up to this size, as each message has a fixed cost.
_OUTPUT_BYTES = 512 * 1024

#: When the events with each identifier set occurred.
Observations: TypeAlias = dict[IdentifierSet, SeenSpan]


class LinkDecision(NamedTuple):
    """A manual decision about two raw identifiers."""

    workspace_id: WorkspaceId
    identifiers: tuple[RawIdentifier, ...]
    decision: Decision


class MatchFact(NamedTuple):
    """The assessment of a probable match of two raw identifiers."""

    workspace_id: WorkspaceId
    identifiers: tuple[RawIdentifier, ...]
    at: FirstSeen
    assessment: int
    purposes: tuple[str, ...]
    #: A serialised MatchAssessed.
    message: bytes


class OutputPart(NamedTuple):
    """Contiguous facts that are published in one message."""

    first: int
    next: int
    #: A serialised FactBatch.
    payload: bytes
    #: A life of the log that has them; 0 where none is known.
    life: int = 0


@dataclass(frozen=True, slots=True)
class DecodedEvidence:
    """The evidence in some facts."""

    observations: Observations
    decisions: list[LinkDecision]
    matches: list[MatchFact]
    #: Facts without a leaf.
    broadcast: list[Fact]

    @property
    def workspaces(self) -> set[WorkspaceId]:
        """The workspaces of the identifiers."""
        found = {identifier_set[0] for identifier_set in self.observations}
        found.update(one.workspace_id for one in self.decisions)
        found.update(one.workspace_id for one in self.matches)
        return found


@dataclass(frozen=True, slots=True)
class DecodedLogBatch(DecodedEvidence):
    """A batch of the log, as far as identity depends on it."""

    parts: tuple[OutputPart, ...]
    #: The leaf of each fact in order; empty where it has none.
    leaves: list[LeafId]
    #: The log's clock after the last fact, Unix microseconds; 0 where there is no fact.
    log_time_us: int

    @property
    def policies(self) -> list[PolicyFact]:
        return [decode_policy(fact) for fact in self.broadcast if fact.kind == POLICY_DEFINED]


def decode_batch(batch: Batch) -> DecodedLogBatch:
    """Decode a batch from its first offset on.

    Raises ValueError where a message does not hold the facts that it covers.
    """
    decoder = _BatchDecoder()
    parts: list[OutputPart] = []
    log_time_us = 0
    for messages in _groups(batch.messages):
        part, facts = _open(messages, batch.first)
        parts.append(part)
        if batch.left_out:
            decoder.add_some(facts.facts, part.first, batch.left_out)
        else:
            decoder.add(facts.facts)
        if facts.facts:
            log_time_us = facts.facts[-1].recorded_at_us
    return DecodedLogBatch(
        parts=tuple(parts),
        leaves=decoder.leaves,
        observations=decoder.observations,
        decisions=decoder.decisions(),
        matches=decoder.matches(),
        broadcast=decoder.broadcast,
        log_time_us=log_time_us,
    )


def units_of(message: StreamMessage, first: int) -> list[FoldUnit]:
    """Return the facts of a message from an offset on, each as a message of its own."""
    _, facts = _open((message,), first)
    return [
        FoldUnit(
            UnitId(offset),
            WorkspaceId(fact.workspace_id),
            encode_facts(facts.shard, offset, [fact]),
        )
        for offset, fact in enumerate(facts.facts, max(first, message.first))
    ]


def decode_facts(facts: Iterable[Fact]) -> DecodedEvidence:
    """Decode the evidence in facts, wherever they were read."""
    decoder = _BatchDecoder()
    decoder.add(facts)
    decisions, matches = decoder.decisions(), decoder.matches()
    return DecodedEvidence(decoder.observations, decisions, matches, decoder.broadcast)


class _BatchDecoder:
    """Collects facts by their type."""

    __slots__ = ("broadcast", "leaves", "observations", "other")

    def __init__(self) -> None:
        self.leaves: list[LeafId] = []
        self.observations: Observations = {}
        self.broadcast: list[Fact] = []
        #: Facts with a leaf that are no events.
        self.other: list[Fact] = []

    def add(self, facts: Iterable[Any]) -> None:
        """Decode facts. This runs ten thousand times a second: it calls nothing and creates nothing
        that most events do not need."""
        leaves, observations = self.leaves, self.observations
        parse, kind_of, observed = EventIdentifiers.FromString, _KINDS.get, EvidenceKind.OBSERVED
        public, claimed = SourceTrust.PUBLIC, EvidenceKind.CLAIMED
        for fact in facts:
            leaf = fact.leaf_id
            leaves.append(leaf)
            if not leaf:
                self.broadcast.append(fact)
            elif fact.kind == EVENT:
                event = parse(fact.payload)
                type_ = event.type
                if type_ == EVENT_TYPE_GROUP:
                    raw = group_identifiers(Event.FromString(fact.payload))
                else:
                    raw = _parse_identifiers(tuple(event.identifiers))
                kind = kind_of(type_, observed) if event.trust > public else claimed
                key = (fact.workspace_id, leaf, kind, raw)
                at = fact.occurred_at_us
                # period_end_day(at), without the call
                day = at // SEEN_PERIOD_US * SEEN_PERIOD_DAYS + SEEN_PERIOD_DAYS - 1
                span = observations.get(key)
                if span is None:
                    observations[key] = SeenSpan(FirstSeen(at, fact.fact_id), day)
                elif at <= span.first.occurred_at_us or day > span.last_seen_day:
                    observations[key] = span.union(SeenSpan(FirstSeen(at, fact.fact_id), day))
            elif fact.kind == FACT_ERASED:
                self._add_erased(fact)
            else:
                self.other.append(fact)

    def _add_erased(self, fact: Fact) -> None:
        """Add what an erased fact says about the identifiers of others: no leaf is among them."""
        erased = FactErased.FromString(fact.payload)
        if not erased.identifiers:
            return
        kind = EvidenceKind.OBSERVED if erased.co_observed else EvidenceKind.CLAIMED
        raw = raw_identifiers(erased.identifiers)
        key = (WorkspaceId(fact.workspace_id), _NO_LEAF, kind, raw)
        span = span_of(FirstSeen(fact.occurred_at_us, FactId(fact.fact_id)))
        existing = self.observations.get(key)
        self.observations[key] = span if existing is None else existing.union(span)

    def add_some(self, facts: Iterable[Any], first: int, left_out: Collection[UnitId]) -> None:
        """Decode facts that begin at an offset. Of those that are left out only the leaf counts:
        they are published like the others."""
        for offset, fact in enumerate(facts, first):
            if UnitId(offset) in left_out:
                self.leaves.append(fact.leaf_id)
            else:
                self.add((fact,))

    def decisions(self) -> list[LinkDecision]:
        return [_link_decision(fact) for fact in self.other if fact.kind == LINK_DECIDED]

    def matches(self) -> list[MatchFact]:
        return [_match_fact(fact) for fact in self.other if fact.kind == MATCH_ASSESSED]


def _link_decision(fact: Fact) -> LinkDecision:
    message = LinkDecided.FromString(fact.payload)
    at = FirstSeen(fact.occurred_at_us, FactId(fact.fact_id))
    decision = Decision(at, message.decision, fact.actor, message.reason)
    return LinkDecision(WorkspaceId(fact.workspace_id), _raw_pair(message), decision)


def _match_fact(fact: Fact) -> MatchFact:
    message = MatchAssessed.FromString(fact.payload)
    is_accepted = message.assessment == ASSESSMENT_ACCEPTED
    return MatchFact(
        workspace_id=WorkspaceId(fact.workspace_id),
        identifiers=_raw_pair(message),
        at=FirstSeen(fact.occurred_at_us, FactId(fact.fact_id)),
        assessment=message.assessment,
        purposes=tuple(message.purposes) if is_accepted else (),
        message=fact.payload,
    )


def _raw_pair(message: LinkDecided | MatchAssessed) -> tuple[RawIdentifier, ...]:
    return tuple((one.namespace, one.value, False) for one in (message.a, message.b))


# The same identifiers recur often.
@lru_cache(maxsize=1 << 15)
def _parse_identifiers(serialized: tuple[bytes, ...]) -> tuple[RawIdentifier, ...]:
    return raw_identifiers(map(IdentifierMessage.FromString, serialized))


def group_identifiers(event: Event) -> tuple[RawIdentifier, ...]:
    """Return the identifiers of the account where the event lies under the account's leaf, and
    those of the person where it lies under the person's. So no event links the two."""
    if event.member_leaf_id:
        return ((ACCOUNT_ID, event.group_id, False), *raw_identifiers(event.group_identifiers))
    return raw_identifiers(event.identifiers)


def raw_identifiers(identifiers: Iterable[IdentifierMessage]) -> tuple[RawIdentifier, ...]:
    """Return identifiers as they were sent."""
    return tuple([(one.namespace, one.value, one.verified) for one in identifiers])


def _groups(messages: Iterable[StreamMessage]) -> Iterator[list[StreamMessage]]:
    """Yield runs of messages that together are not too large."""
    group: list[StreamMessage] = []
    size = 0
    for message in messages:
        if group and size + len(message.payload) > _OUTPUT_BYTES:
            yield group
            group, size = [], 0
        group.append(message)
        size += len(message.payload)
    if group:
        yield group


def _open(messages: Sequence[StreamMessage], first: int) -> tuple[OutputPart, FactBatch]:
    """Return the part to publish and the facts of contiguous messages, from the offset `first` on.

    Whole messages are published unchanged, one after the other.
    """
    # Serialised protobuf messages in a row are their merger: repeated fields are concatenated.
    payload = b"".join(message.payload for message in messages)
    facts = FactBatch.FromString(payload)
    start, end = messages[0].first, messages[-1].next
    if len(facts.facts) != end - start:
        raise ValueError(f"messages of offsets {start} to {end} hold {len(facts.facts)} facts")
    if len(messages) > 1 and start >= first > 0:
        # The last value of a field counts, and that of the last message is not the first offset.
        payload += FactBatch(first_offset=start).SerializeToString()
    elif len(messages) > 1 or start < first:
        del facts.facts[: max(0, first - start)]
        facts.first_offset = start = max(start, first)
        payload = facts.SerializeToString()
    return OutputPart(start, end, payload, messages[-1].life), facts


def outputs(
    shard: int,
    decoded: DecodedLogBatch,
    profiles: Sequence[bytes],
    assignments: Iterable[IdentifierAssignment],
) -> tuple[OutboxMessage, ...]:
    """Return the messages to publish: each part with the profiles of its facts, 16 bytes a fact.

    The assignments go with the first part, so that no consumer reads a fact before its effects. The
    outbox does not store the facts, as the log has them: see `output_with_facts`.
    """
    found: list[OutboxMessage] = []
    pending = [assignment_to_proto(one) for one in assignments]
    done = 0
    for part in decoded.parts:
        count = part.next - part.first
        message = stream_pb.FactsAttributed(
            shard=shard,
            first_offset=part.first,
            next_offset=part.next,
            profile_ids=b"".join(profiles[done : done + count]),
            assignments=pending,
            log_life=part.life,
        )
        stored = OutboxMessage(part.first, part.next, message.SerializeToString())
        found.append(output_with_facts(stored, part.payload))
        done, pending = done + count, []
    return tuple(found)


def output_with_facts(output: OutboxMessage, fact_batch: bytes) -> OutboxMessage:
    """Return an output as it is published, from what the outbox stores of it."""
    facts = stream_pb.FactsAttributed(fact_batch=fact_batch).SerializeToString()
    # Serialised messages in a row are their merger.
    return replace(output, payload=output.payload + facts, stored=output.payload)


def log_life_of(output: OutboxMessage) -> int:
    """Return a life of the log that has the facts of an output; 0 where none is known."""
    return stream_pb.FactsAttributed.FromString(output.payload).log_life


def facts_in(messages: Iterable[StreamMessage]) -> list[Fact]:
    """Return the facts of messages of the log."""
    return [fact for message in messages for fact in FactBatch.FromString(message.payload).facts]


def encode_facts(shard: int, first: int, facts: Iterable[Fact]) -> bytes:
    """Return a serialised FactBatch of contiguous facts from an offset on."""
    return FactBatch(shard=shard, first_offset=first, facts=facts).SerializeToString()


def assignment_to_proto(assignment: IdentifierAssignment) -> stream_pb.Assignment:
    """Return the message of an assignment."""
    workspace_id, identifier = assignment.identifier
    return stream_pb.Assignment(
        workspace_id=workspace_id,
        identifier_id=assignment.identifier_id,
        profile_id=assignment.profile_id,
        version=assignment.version,
        identifier=identifier_to_proto(identifier),
        before_profile_id=assignment.before or b"",
    )


def decode_assignments(payload: bytes) -> Iterator[IdentifierAssignment]:
    """Yield the assignments in a serialised FactsAttributed."""
    for message in stream_pb.FactsAttributed.FromString(payload).assignments:
        named, identifier = message.identifier, None
        if message.HasField("identifier"):
            identifier = Identifier(named.namespace, named.value)
        before = message.before_profile_id
        yield IdentifierAssignment(
            IdentifierId(message.identifier_id),
            ProfileId(message.profile_id),
            message.version,
            IdentifierInWorkspace(WorkspaceId(message.workspace_id), identifier),
            ProfileId(before) if before else None,
        )


def identifier_to_proto(identifier: Identifier | None) -> IdentifierMessage | None:
    """Return the message of an identifier; None for None."""
    if identifier is None:
        return None
    return IdentifierMessage(namespace=identifier.namespace, value=identifier.value)
