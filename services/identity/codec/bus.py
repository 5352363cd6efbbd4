"""Protobuf to domain and back: the only file that knows both."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple, TypeAlias

from onefold.identity.v1 import identity_stream_pb2 as events_pb2
from onefold.identity.v1.identity_facts_pb2 import (
    ASSESSMENT_ACCEPTED,
    MATCH_MODE_ALWAYS,
    MATCH_MODE_NEVER,
    MATCH_MODE_VERIFIED,
    BlockedValue,
    IdentityPolicy,
    IdentityPolicyDefined,
    LinkDecided,
    MatchAssessed,
    NamespacePolicy,
)
from onefold.identity.v1.identity_facts_pb2 import MatchMode as LinkingMessage
from onefold.identity.v1.identity_service_pb2 import ProfileIdentifier
from onefold.internal.v1.event_identifiers_pb2 import EventIdentifiers
from onefold.log.v1.log_pb2 import Fact, FactBatch
from onefold.type.v1.event_pb2 import EVENT_TYPE_ALIAS, EVENT_TYPE_GROUP, Event
from onefold.type.v1.identifier_pb2 import Identifier as IdentifierMessage

from services.chassis.messaging.stream import Batch, OutboxMessage, StreamMessage
from services.identity.domain.evidence import (
    SEEN_PERIOD_DAYS,
    SEEN_PERIOD_US,
    Decision,
    EvidenceKind,
    FirstSeen,
    IdentifierInWorkspace,
    SeenSpan,
)
from services.identity.domain.normalize import IdentifierSet, RawIdentifier
from services.identity.domain.policy import Blocked, MatchMode, NamespaceRule, Policy
from services.identity.domain.rows import IdentifierAssignment, SeenIdentifier
from services.kernel.errors import InvalidField
from services.kernel.identifiers import ACCOUNT_ID, Identifier, normalize, validation_error
from services.kernel.ids import IdentifierId, LeafId, ProfileId, WorkspaceId, parse_id, to_hex

_LINKINGS: dict[int, MatchMode] = {
    MATCH_MODE_VERIFIED: MatchMode.VERIFIED,
    MATCH_MODE_NEVER: MatchMode.NEVER,
}
_TOLD: dict[MatchMode, LinkingMessage] = {
    MatchMode.ALWAYS: MATCH_MODE_ALWAYS,
    MatchMode.VERIFIED: MATCH_MODE_VERIFIED,
    MatchMode.NEVER: MATCH_MODE_NEVER,
}
EVENT = Event.DESCRIPTOR.full_name
LINK_DECIDED = LinkDecided.DESCRIPTOR.full_name
MATCH_ASSESSED = MatchAssessed.DESCRIPTOR.full_name
POLICY_DEFINED = IdentityPolicyDefined.DESCRIPTOR.full_name
_STRENGTHS = {EVENT_TYPE_ALIAS: EvidenceKind.STATED}
#: Small messages are passed on together up to this size: each message costs much by itself.
_OUTPUT_BYTES = 512 * 1024


#: The earliest event with each set of identifiers, and the day of the last.
Observations: TypeAlias = dict[IdentifierSet, SeenSpan]


class LinkDecision(NamedTuple):
    """What a person decided, as it came."""

    workspace_id: WorkspaceId
    #: Two.
    identifiers: tuple[RawIdentifier, ...]
    decision: Decision


class PolicyFact(NamedTuple):
    """A policy, as it came."""

    workspace_id: WorkspaceId
    version: int
    #: A serialised IdentityPolicy.
    message: bytes
    offset: int
    recorded_at_us: int


class MatchFact(NamedTuple):
    """A judgement of a probable match, as it came."""

    workspace_id: WorkspaceId
    #: Two.
    identifiers: tuple[RawIdentifier, ...]
    at: FirstSeen
    assessment: int
    purposes: tuple[str, ...]
    #: A serialised MatchAssessed.
    message: bytes


@dataclass(frozen=True, slots=True)
class DecodedLogBatch:
    """What a batch of the log says, as far as identity cares."""

    parts: tuple[OutputPart, ...]
    #: The leaf of each fact in order; empty where it has none.
    leaves: list[LeafId]
    observations: Observations
    decisions: list[LinkDecision]
    matches: list[MatchFact]
    #: Facts that concern no person.
    leafless: list[Fact]
    #: The log's clock after the last fact, Unix microseconds; 0 where there is no fact.
    log_time_us: int

    @property
    def workspaces(self) -> set[WorkspaceId]:
        """Whose identifiers are told of."""
        told = {names[0] for names in self.observations}
        told.update(decided.workspace_id for decided in self.decisions)
        told.update(match.workspace_id for match in self.matches)
        return told

    @property
    def policies(self) -> list[PolicyFact]:
        """The policies that were defined."""
        return [decode_policy(fact) for fact in self.leafless if fact.kind == POLICY_DEFINED]


@dataclass(frozen=True, slots=True)
class OutputPart:
    """Contiguous facts that are passed on in one message."""

    first: int
    next: int
    #: A serialised FactBatch.
    payload: bytes


def decode_batch(batch: Batch) -> DecodedLogBatch:
    """Reads a batch from its first place on.

    Raises ValueError where a message does not cover what it says it does.
    """
    parts: list[OutputPart] = []
    leaves: list[LeafId] = []
    sightings: Observations = {}
    leafless: list[Fact] = []
    others: list[Fact] = []
    log_time_us = 0
    for messages in _groups(batch.messages):
        part, facts = _open(messages, batch.first)
        parts.append(part)
        _hear_facts(facts.facts, leaves, sightings, leafless, others)
        if facts.facts:
            log_time_us = facts.facts[-1].recorded_at_us
    decisions = [_decided(fact) for fact in others if fact.kind == LINK_DECIDED]
    matches = [_match_told(fact) for fact in others if fact.kind == MATCH_ASSESSED]
    return DecodedLogBatch(
        tuple(parts), leaves, sightings, decisions, matches, leafless, log_time_us
    )


class DecodedEvidence(NamedTuple):
    """What some facts say about people."""

    observations: Observations
    decisions: list[LinkDecision]


def decode_facts(facts: Iterable[Fact]) -> DecodedEvidence:
    """What facts say, wherever they were read."""
    sightings: Observations = {}
    others: list[Fact] = []
    _hear_facts(facts, [], sightings, [], others)
    return DecodedEvidence(
        sightings, [_decided(fact) for fact in others if fact.kind == LINK_DECIDED]
    )


def _hear_facts(
    facts: Iterable[Any],
    leaves: list[LeafId],
    sightings: Observations,
    leafless: list[Fact],
    others: list[Fact],
) -> None:
    # Runs ten thousand times a second: plain tuples, no calls, and nothing is made that may not be
    # needed.
    read, strength_of, observed = EventIdentifiers.FromString, _STRENGTHS.get, EvidenceKind.OBSERVED
    for fact in facts:
        leaf = fact.leaf_id
        leaves.append(leaf)
        if not leaf:
            leafless.append(fact)
        elif fact.kind == EVENT:
            event = read(fact.payload)
            type_ = event.type
            if type_ == EVENT_TYPE_GROUP:
                raw = _of_group_event(Event.FromString(fact.payload))
            else:
                raw = _taken_apart(tuple(event.identifiers))
            names = (fact.workspace_id, leaf, strength_of(type_, observed), raw)
            at = fact.occurred_at_us
            day = (
                at // SEEN_PERIOD_US * SEEN_PERIOD_DAYS + SEEN_PERIOD_DAYS - 1
            )  # last_day(at), without the call
            known = sightings.get(names)
            if known is None:
                sightings[names] = SeenSpan(FirstSeen(at, fact.fact_id), day)
            elif at <= known[0][0] or day > known[1]:
                sightings[names] = known.union(SeenSpan(FirstSeen(at, fact.fact_id), day))
        else:
            others.append(fact)


def _decided(fact: Any) -> LinkDecision:
    said = LinkDecided.FromString(fact.payload)
    at = FirstSeen(fact.occurred_at_us, fact.fact_id)
    decision = Decision(at, said.decision, fact.actor, said.reason)
    return LinkDecision(fact.workspace_id, _two(said), decision)


def _match_told(fact: Any) -> MatchFact:
    said = MatchAssessed.FromString(fact.payload)
    at = FirstSeen(fact.occurred_at_us, fact.fact_id)
    purposes = tuple(said.purposes) if said.assessment == ASSESSMENT_ACCEPTED else ()
    parts = (at, said.assessment, purposes, fact.payload)
    return MatchFact(fact.workspace_id, _two(said), *parts)


def decode_policy(fact: Any) -> PolicyFact:
    """The policy of a fact."""
    said = IdentityPolicyDefined.FromString(fact.payload)
    message = said.policy.SerializeToString(deterministic=True)
    return PolicyFact(fact.workspace_id, said.version, message, fact.offset, fact.recorded_at_us)


def _two(said: Any) -> tuple[RawIdentifier, ...]:
    return tuple((i.namespace, i.value, False) for i in (said.a, said.b))


# The same people come again and again.
@lru_cache(maxsize=1 << 15)
def _taken_apart(serialised: tuple[bytes, ...]) -> tuple[RawIdentifier, ...]:
    return _raw(map(IdentifierMessage.FromString, serialised))


def _of_group_event(event: Event) -> tuple[RawIdentifier, ...]:
    """The copy under the account's leaf tells the identifiers of the account, the one under the
    person's leaf those of the person: so nobody is linked to an account."""
    if event.member_leaf_id:
        return ((ACCOUNT_ID, event.group_id, False), *_raw(event.group_identifiers))
    return _raw(event.identifiers)


def _raw(identifiers: Iterable[Any]) -> tuple[RawIdentifier, ...]:
    return tuple([(i.namespace, i.value, i.verified) for i in identifiers])


def _groups(messages: Iterable[StreamMessage]) -> Iterator[list[StreamMessage]]:
    """Neighbours that together are not too large."""
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
    """The facts of neighbours from `first` on, and the part to pass on.

    One whole message is passed on as it came.
    """
    # Protobuf: serialised messages in a row are their merger, repeated fields one after the other.
    payload = b"".join(message.payload for message in messages)
    facts = FactBatch.FromString(payload)
    start, end = messages[0].first, messages[-1].next
    if len(facts.facts) != end - start:
        raise ValueError(f"facts {start} to {end} of the log came as {len(facts.facts)}")
    if start < first or len(messages) > 1:
        del facts.facts[: max(0, first - start)]
        facts.first_offset = start = max(start, first)
        payload = facts.SerializeToString()
    return OutputPart(start, end, payload), facts


def outputs(
    shard: int,
    heard: DecodedLogBatch,
    profiles: Sequence[bytes],
    assignments: Iterable[IdentifierAssignment],
) -> tuple[OutboxMessage, ...]:
    """What is said downstream: each part with the profiles of its facts (16 bytes a fact).

    Assignments go with the first part: nobody then sees a fact without what it led to.
    """
    said = []
    learnt = [assignment_message(a) for a in assignments]
    done = 0
    for part in heard.parts:
        count = part.next - part.first
        attributed = events_pb2.FactsAttributed(
            shard=shard,
            first_offset=part.first,
            next_offset=part.next,
            fact_batch=part.payload,
            profile_ids=b"".join(profiles[done : done + count]),
            assignments=learnt,
        )
        said.append(OutboxMessage(part.first, part.next, attributed.SerializeToString()))
        done, learnt = done + count, []
    return tuple(said)


def assignment_message(assignment: IdentifierAssignment) -> events_pb2.Assignment:
    """An assignment as it is said."""
    return events_pb2.Assignment(
        workspace_id=assignment.name.workspace_id,
        identifier_id=assignment.identifier_id,
        profile_id=assignment.profile_id,
        version=assignment.version,
        identifier=_identifier_message(assignment.name),
        before_profile_id=assignment.before or b"",
    )


def decode_assignments(payload: bytes) -> Iterator[IdentifierAssignment]:
    """The assignments of what was said."""
    for told in events_pb2.FactsAttributed.FromString(payload).assignments:
        named = told.identifier
        spelled = Identifier(named.namespace, named.value) if told.HasField("identifier") else None
        yield IdentifierAssignment(
            IdentifierId(told.identifier_id),
            ProfileId(told.profile_id),
            told.version,
            IdentifierInWorkspace(WorkspaceId(told.workspace_id), spelled),
            ProfileId(told.before_profile_id) if told.before_profile_id else None,
        )


def _identifier_message(name: IdentifierInWorkspace) -> IdentifierMessage | None:
    if name.identifier is None:
        return None
    return IdentifierMessage(namespace=name.identifier.namespace, value=name.identifier.value)


def requested_identifiers(
    workspace_id: WorkspaceId, region: str, messages: Iterable[IdentifierMessage]
) -> Iterator[bytes]:
    """The ids of identifiers as they came; empty where one names nobody. Raises InvalidField."""
    for index, message in enumerate(messages):
        wrong = validation_error(message.namespace, message.value)
        if wrong:
            raise InvalidField(wrong, field=f"identifiers[{index}]")
        identifier = normalize(message.namespace, message.value, region)
        yield identifier.id_in(workspace_id) if identifier else b""


def requested_profiles(told: Iterable[str]) -> Iterator[bytes]:
    """Profile ids as they came. Raises InvalidField."""
    for index, text in enumerate(told):
        yield parse_id(text, f"profile_ids[{index}]")


def profile_identifier(workspace_id: WorkspaceId, seen: SeenIdentifier) -> ProfileIdentifier:
    """An identifier and where it was first seen."""
    namespace, value = seen.identifier
    return ProfileIdentifier(
        identifier=IdentifierMessage(namespace=namespace, value=value),
        first_seen_us=seen.first.occurred_at_us,
        fact_id=to_hex(seen.first.fact_id),
        identifier_id=to_hex(seen.identifier.id_in(workspace_id)),
    )


def policy_from(message: IdentityPolicy, version: int) -> Policy:
    """The policy that a message says, which was checked when it was asked for."""
    rules = {said.namespace: _rule(said) for said in message.namespaces}
    blocked = tuple(Blocked(said.namespace, said.pattern) for said in message.blocked)
    return Policy(version, rules, blocked, frozenset(message.ignored))


def policy_message(policy: Policy) -> IdentityPolicy:
    """A policy as it is said."""
    return IdentityPolicy(
        namespaces=[
            NamespacePolicy(
                namespace=name,
                limit=rule.limit,
                shared_after=rule.shared_after,
                recycled_after_days=rule.recycled_after_days,
                match_mode=_TOLD[rule.match_mode],
            )
            for name, rule in policy.rules.items()
        ],
        blocked=[BlockedValue(namespace=one, pattern=two) for one, two in policy.blocked],
        ignored=sorted(policy.ignored),  # type: ignore[arg-type]  # a strength's number is its name
    )


@lru_cache(maxsize=1_000)
def read_policy(message: bytes, version: int) -> Policy:
    """The policy of a serialised message."""
    return policy_from(IdentityPolicy.FromString(message), version)


def _rule(said: NamespacePolicy) -> NamespaceRule:
    linking = _LINKINGS.get(said.match_mode, MatchMode.ALWAYS)
    return NamespaceRule(said.limit, said.shared_after, said.recycled_after_days, linking)
