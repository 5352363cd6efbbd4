"""Protobuf to domain and back: the only file that knows both."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from onefold.identity.v1 import identity_events_pb2 as events_pb2
from onefold.identity.v1.identity_service_pb2 import KnownIdentifier
from onefold.log.v1.log_pb2 import Fact, FactBatch
from onefold.type.v1.event_pb2 import EVENT_TYPE_ALIAS, EVENT_TYPE_GROUP, Event
from onefold.type.v1.identifier_pb2 import Identifier as IdentifierMessage

from services.chassis.stream import Batch, Message, Output
from services.identity.domain.facts import First, Name, Strength
from services.identity.domain.model import Assignment, Seen
from services.identity.domain.naming import Names
from services.kernel.errors import InvalidField
from services.kernel.identifiers import ACCOUNT_ID, fault, standard
from services.kernel.ids import LeafId, WorkspaceId, from_hex, to_hex

EVENT = Event.DESCRIPTOR.full_name
_STRENGTHS = {EVENT_TYPE_ALIAS: Strength.STATED}
#: Small messages are passed on together up to this size: each message costs much by itself.
_OUTPUT_BYTES = 512 * 1024


#: The earliest event with each set of identifiers.
Sightings: TypeAlias = dict[Names, First]


@dataclass(frozen=True, slots=True)
class Heard:
    """What a batch of the log says, as far as identity cares."""

    parts: tuple[Part, ...]
    #: The leaf of each fact in order; empty where it has none.
    leaves: list[LeafId]
    sightings: Sightings
    #: Facts that concern no person.
    leafless: list[Fact]
    #: The log's clock after the last fact, Unix microseconds; 0 where there is no fact.
    log_time_us: int

    @property
    def workspaces(self) -> set[WorkspaceId]:
        """Whose identifiers are told of."""
        return {names[0] for names in self.sightings}


@dataclass(frozen=True, slots=True)
class Part:
    """Contiguous facts that are passed on in one message."""

    first: int
    next: int
    #: A serialised FactBatch.
    payload: bytes


def hear(batch: Batch) -> Heard:
    """Reads a batch from its first place on.

    Raises ValueError where a message does not cover what it says it does.
    """
    parts: list[Part] = []
    leaves: list[LeafId] = []
    sightings: Sightings = {}
    leafless: list[Fact] = []
    log_time_us = 0
    for messages in _groups(batch.messages):
        part, facts = _open(messages, batch.first)
        parts.append(part)
        _hear_facts(facts.facts, leaves, sightings, leafless)
        if facts.facts:
            log_time_us = facts.facts[-1].recorded_at_us
    return Heard(tuple(parts), leaves, sightings, leafless, log_time_us)


def _hear_facts(
    facts: Iterable[Any], leaves: list[LeafId], sightings: Sightings, leafless: list[Fact]
) -> None:
    # Runs ten thousand times a second: plain tuples, no calls, and nothing is made that may not be
    # needed.
    read, strength_of, observed = Event.FromString, _STRENGTHS.get, Strength.OBSERVED
    for fact in facts:
        leaf = fact.leaf_id
        leaves.append(leaf)
        if not leaf:
            leafless.append(fact)
        elif fact.kind == EVENT:
            event = read(fact.payload)
            raw = tuple([(i.namespace, i.value) for i in event.identifiers])
            type_ = event.type
            if type_ == EVENT_TYPE_GROUP and event.member_leaf_id:
                raw = _of_account(event)
            names = (fact.workspace_id, leaf, strength_of(type_, observed), raw)
            at = fact.occurred_at_us
            known = sightings.get(names)
            if known is None:
                sightings[names] = First(at, fact.fact_id)
            elif at <= known[0]:
                sightings[names] = min(known, First(at, fact.fact_id))


def _of_account(event: Event) -> tuple[tuple[str, str], ...]:
    """The identifiers of a group event's copy under the account's leaf: those of the account.

    The copy under the person's leaf tells those of the person: so nobody is linked to an account.
    """
    more = [(i.namespace, i.value) for i in event.group_identifiers]
    return ((ACCOUNT_ID, event.group_id), *more)


def _groups(messages: Iterable[Message]) -> Iterator[list[Message]]:
    """Neighbours that together are not too large."""
    group: list[Message] = []
    size = 0
    for message in messages:
        if group and size + len(message.payload) > _OUTPUT_BYTES:
            yield group
            group, size = [], 0
        group.append(message)
        size += len(message.payload)
    if group:
        yield group


def _open(messages: Sequence[Message], first: int) -> tuple[Part, FactBatch]:
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
    return Part(start, end, payload), facts


def outputs(
    shard: int,
    heard: Heard,
    profiles: Sequence[bytes],
    assignments: Iterable[Assignment],
) -> tuple[Output, ...]:
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
        said.append(Output(part.first, part.next, attributed.SerializeToString()))
        done, learnt = done + count, []
    return tuple(said)


def assignment_message(assignment: Assignment) -> events_pb2.Assignment:
    """An assignment as it is said."""
    return events_pb2.Assignment(
        workspace_id=assignment.name.workspace_id,
        identifier_id=assignment.identifier_id,
        profile_id=assignment.profile_id,
        version=assignment.version,
        identifier=_identifier_message(assignment.name),
    )


def _identifier_message(name: Name) -> IdentifierMessage | None:
    if name.identifier is None:
        return None
    return IdentifierMessage(namespace=name.identifier.namespace, value=name.identifier.value)


def asked_identifiers(
    workspace_id: WorkspaceId, region: str, messages: Iterable[IdentifierMessage]
) -> Iterator[bytes]:
    """The ids of identifiers as they came; empty where one names nobody. Raises InvalidField."""
    for index, message in enumerate(messages):
        wrong = fault(message.namespace, message.value)
        if wrong:
            raise InvalidField(wrong, field=f"identifiers[{index}]")
        identifier = standard(message.namespace, message.value, region)
        yield identifier.id_in(workspace_id) if identifier else b""


def asked_profiles(told: Iterable[str]) -> Iterator[bytes]:
    """Profile ids as they came. Raises InvalidField."""
    for index, text in enumerate(told):
        yield id_from(text, f"profile_ids[{index}]")


def id_from(told: str, field: str) -> bytes:
    """An id as it came. Raises InvalidField."""
    try:
        return from_hex(told)
    except ValueError:
        raise InvalidField(f"{field} has 32 hexadecimal digits", field=field) from None


def known_identifier(seen: Seen) -> KnownIdentifier:
    """An identifier and where it was first seen."""
    namespace, value = seen.identifier
    return KnownIdentifier(
        identifier=IdentifierMessage(namespace=namespace, value=value),
        first_seen_us=seen.first.occurred_at_us,
        fact_id=to_hex(seen.first.fact_id),
    )
