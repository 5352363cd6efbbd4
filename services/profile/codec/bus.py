"""Decodes the batches that identity publishes, and encodes those that profile publishes."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from onefold.identity.v1 import identity_stream_pb2
from onefold.log.v1.log_pb2 import Fact, FactBatch
from onefold.profile.v1 import profile_stream_pb2 as stream_pb

from services.chassis.codec.journey_facts import (
    DELIVERY_REPORTED,
    JOURNEY_ENTERED,
    decode_entered,
    report_filter,
)
from services.chassis.codec.tickets import TICKET_KINDS
from services.chassis.messaging.stream import Batch, FoldUnit, OutboxMessage, StreamMessage, UnitId
from services.chassis.projection.checkpoint import Checkpoint
from services.kernel.desk.ticket_events import ticket_filter_id
from services.kernel.fold.events import EventView
from services.kernel.identifiers.model import Identifier
from services.kernel.ids import NO_ID, FactId, IdentifierId, LeafId, ProfileId, WorkspaceId
from services.kernel.index_key import IndexKey
from services.kernel.journeys.inputs import call_filter_id
from services.profile.codec.log import broadcast_fact, event_view, parse_facts
from services.profile.domain.backfill import ScopedId
from services.profile.domain.evaluation import Evaluation
from services.profile.domain.facts import (
    AttributedFact,
    BroadcastFact,
    ProfileAssignment,
    Reassignment,
)
from services.profile.domain.journeys import JourneyCall, MatchedEvent

#: The target size of a message: the bus takes at most a mebibyte.
MAX_MESSAGE_BYTES = 900_000

#: The field of a message that has the parts of a type.
_FIELDS = {
    Fact: "broadcast_facts",
    stream_pb.ProfileChange: "changes",
    stream_pb.MatchedEvent: "matched_events",
    stream_pb.LeafMove: "leaf_moves",
}
#: The facts of persons that reach activation beside the events that journeys wait for.
_CALL_KINDS = frozenset({JOURNEY_ENTERED, DELIVERY_REPORTED, *TICKET_KINDS})
_NO_LEAF, _NO_PROFILE = LeafId(NO_ID), ProfileId(NO_ID)


@dataclass(frozen=True, slots=True)
class DecodedBatch:
    """A batch of identity's stream from its first offset on."""

    facts: list[AttributedFact]
    assignments: list[ProfileAssignment]
    #: The calls of journeys, which are among the facts as facts without an event, and what has
    #: happened to tickets.
    calls: list[JourneyCall]
    #: The identifiers that are gone, as their persons were erased.
    gone: Sequence[ProfileAssignment] = ()


def decode_batch(batch: Batch, index_key: IndexKey) -> DecodedBatch:
    """Decode a batch. Raises ValueError where a message does not cover the range it claims."""
    facts: list[AttributedFact] = []
    assignments: list[ProfileAssignment] = []
    calls: list[JourneyCall] = []
    for message in batch.messages:
        attributed = identity_stream_pb2.FactsAttributed.FromString(message.payload)
        messages = FactBatch.FromString(attributed.fact_batch).facts
        if len(messages) != message.next - message.first:
            raise ValueError(f"facts {message.first} to {message.next} came as {len(messages)}")
        skip = max(0, batch.first - message.first)
        profile_ids = attributed.profile_ids[16 * skip :]
        first = message.first + skip
        if batch.left_out:
            left_out = batch.left_out
            decoded = _decode_some(messages[skip:], profile_ids, first, index_key, calls, left_out)
        else:
            decoded = _decode_facts(messages[skip:], profile_ids, first, index_key, calls)
        facts = facts + decoded if facts else decoded
        assignments += map(assignment_from_proto, attributed.assignments)
    gone = [one for one in assignments if one.profile_id == NO_ID]
    if gone:
        assignments = [one for one in assignments if one.profile_id != NO_ID]
    return DecodedBatch(facts, assignments, calls, gone)


def _decode_facts(
    facts: Iterable[Fact],
    profile_ids: bytes,
    first: int,
    index_key: IndexKey,
    calls: list[JourneyCall],
) -> list[AttributedFact]:
    """Decode facts; add the calls of journeys among them to `calls`."""
    decoded: list[AttributedFact] = []
    add, new, at = decoded.append, tuple.__new__, 0
    for offset, fact in enumerate(facts, first):
        leaf_id = fact.leaf_id
        ids = (leaf_id, profile_ids[at : at + 16]) if leaf_id else (_NO_LEAF, _NO_PROFILE)
        event = event_view(fact, index_key) if leaf_id else None
        broadcast = None if leaf_id else broadcast_fact(fact)
        if (
            (event is None or event.record is not None)
            and broadcast is None
            and fact.kind in _CALL_KINDS
        ):
            calls.append(_journey_call(fact, offset, ProfileId(ids[1]), event))
        # Half the cost of AttributedFact(...), ten thousand times a second.
        row = (offset, fact.recorded_at_us, fact.workspace_id, *ids, event, broadcast)
        add(new(AttributedFact, row))
        at += 16
    return decoded


def _decode_some(
    facts: Iterable[Fact],
    profile_ids: bytes,
    first: int,
    index_key: IndexKey,
    calls: list[JourneyCall],
    left_out: Collection[UnitId],
) -> list[AttributedFact]:
    """Decode facts as `_decode_facts` does; those that are left out have no content."""
    decoded: list[AttributedFact] = []
    for index, fact in enumerate(facts):
        offset, profile_id = first + index, profile_ids[16 * index : 16 * index + 16]
        if UnitId(offset) not in left_out:
            decoded += _decode_facts((fact,), profile_id, offset, index_key, calls)
            continue
        leaf_id = LeafId(fact.leaf_id) if fact.leaf_id else _NO_LEAF
        workspace_id = WorkspaceId(fact.workspace_id)
        row = (offset, fact.recorded_at_us, workspace_id, leaf_id, ProfileId(profile_id))
        decoded.append(AttributedFact(*row, event=None, broadcast=None))
    return decoded


def _journey_call(
    fact: Fact, offset: int, profile_id: ProfileId, event: EventView | None
) -> JourneyCall:
    if event is not None:
        filter_id, properties = ticket_filter_id(TICKET_KINDS[fact.kind]), event.properties
    elif fact.kind == JOURNEY_ENTERED:
        entered = decode_entered(fact.payload)
        filter_id, properties = call_filter_id(entered.journey_id), entered.properties
    else:
        filter_id, properties = report_filter(fact.payload), b""
    return JourneyCall(
        offset,
        fact.recorded_at_us,
        WorkspaceId(fact.workspace_id),
        LeafId(fact.leaf_id),
        profile_id,
        FactId(fact.fact_id),
        fact.occurred_at_us,
        filter_id,
        properties,
        is_ticket=event is not None,
    )


def units_of(message: StreamMessage, first: int) -> list[FoldUnit]:
    """Return the facts of a message from an offset on, each as a message of its own.

    The first one has the assignments of the message.
    """
    attributed = identity_stream_pb2.FactsAttributed.FromString(message.payload)
    batch = FactBatch.FromString(attributed.fact_batch)
    if len(batch.facts) != message.next - message.first:
        raise ValueError(f"facts {message.first} to {message.next} came as {len(batch.facts)}")
    units: list[FoldUnit] = []
    assignments = list(attributed.assignments)
    for offset in range(max(first, message.first), message.next):
        index = offset - message.first
        fact = batch.facts[index]
        part = FactBatch(shard=attributed.shard, first_offset=offset, facts=[fact])
        unit = identity_stream_pb2.FactsAttributed(
            shard=attributed.shard,
            first_offset=offset,
            next_offset=offset + 1,
            fact_batch=part.SerializeToString(),
            profile_ids=attributed.profile_ids[16 * index : 16 * index + 16],
            assignments=assignments,
        )
        assignments = []
        workspace_id = WorkspaceId(fact.workspace_id)
        units.append(FoldUnit(UnitId(offset), workspace_id, unit.SerializeToString()))
    return units


def profiles_in(message: StreamMessage, workspace_id: WorkspaceId) -> Iterator[ProfileId]:
    """Yield the profiles of one workspace that a message of identity's stream concerns.

    They are those of its facts, and those that gain or lose an identifier; some come twice.
    """
    attributed = identity_stream_pb2.FactsAttributed.FromString(message.payload)
    for index, fact in enumerate(FactBatch.FromString(attributed.fact_batch).facts):
        if fact.workspace_id == workspace_id and fact.leaf_id:
            yield ProfileId(attributed.profile_ids[16 * index : 16 * index + 16])
    for moved in attributed.assignments:
        if moved.workspace_id == workspace_id:
            if moved.profile_id != NO_ID:
                yield ProfileId(moved.profile_id)
            if moved.before_profile_id:
                yield ProfileId(moved.before_profile_id)


def assignment_from_proto(message: identity_stream_pb2.Assignment) -> ProfileAssignment:
    """Return the assignment of a message."""
    named = message.identifier if message.HasField("identifier") else None
    return ProfileAssignment(
        WorkspaceId(message.workspace_id),
        IdentifierId(message.identifier_id),
        ProfileId(message.profile_id),
        message.version,
        Identifier(named.namespace, named.value) if named is not None else None,
    )


@dataclass(frozen=True, slots=True)
class Publication:
    """The content that one transaction publishes."""

    evaluations: Sequence[Evaluation] = ()
    broadcast_facts: Sequence[BroadcastFact] = ()
    backfilled: Collection[ScopedId] = ()
    #: Predicates that are not evaluated any more.
    dropped: Collection[ScopedId] = ()
    matched: Sequence[MatchedEvent] = ()
    moves: Sequence[Reassignment] = ()

    def __bool__(self) -> bool:
        parts = (self.evaluations, self.broadcast_facts, self.backfilled, self.dropped)
        return any((*parts, self.matched, self.moves))


def encode_outputs(
    publication: Publication, at: Batch | Checkpoint, log_offset: int, log_time_us: int
) -> tuple[OutboxMessage, ...]:
    """Encode a publication as messages, at least one, which follow the outputs at `at`.

    Only the last one has the new log offset and time: a consumer of the others has not received
    everything before it yet.
    """
    messages = list(_messages(publication))
    for sequence, message in enumerate(messages, at.next_output):
        message.shard = at.shard
        message.sequence = sequence
        message.from_log_offset = message.log_offset = at.log_offset
        message.log_time_us = at.log_time_us
    messages[-1].log_offset = log_offset
    messages[-1].log_time_us = log_time_us
    return tuple(OutboxMessage(m.sequence, m.sequence + 1, m.SerializeToString()) for m in messages)


def encode_position(shard: int, sequence: int, log_offset: int, log_time_us: int) -> OutboxMessage:
    """Return the message that states how far a shard is, and that nothing changed."""
    message = stream_pb.ProfilesChanged(
        shard=shard, sequence=sequence, log_offset=log_offset, log_time_us=log_time_us
    )
    return OutboxMessage(sequence, sequence + 1, message.SerializeToString())


def _messages(publication: Publication) -> Iterator[stream_pb.ProfilesChanged]:
    backfilled, dropped = _by_workspace(publication.backfilled), _by_workspace(publication.dropped)
    for workspace_id in sorted({*backfilled, *dropped}):
        yield stream_pb.ProfilesChanged(
            backfilled_workspace_id=workspace_id,
            backfilled_predicates=backfilled.get(workspace_id, ()),
            dropped_predicates=dropped.get(workspace_id, ()),
        )
    message, size = stream_pb.ProfilesChanged(), 0
    for part in _parts(publication):
        part_size = part.ByteSize() + 8
        if size and size + part_size > MAX_MESSAGE_BYTES:
            yield message
            message, size = stream_pb.ProfilesChanged(), 0
        getattr(message, _FIELDS[type(part)]).append(part)
        size += part_size
    yield message


def _by_workspace(keys: Iterable[ScopedId]) -> dict[str, list[int]]:
    grouped = groupby(sorted(keys), key=lambda key: key.workspace_id)
    return {workspace_id: [key.id for key in own] for workspace_id, own in grouped}


def _parts(publication: Publication) -> Iterator[Any]:
    yield from parse_facts(fact.fact for fact in publication.broadcast_facts)
    yield from map(change_to_proto, publication.evaluations)
    for event in publication.matched:
        message = stream_pb.MatchedEvent()
        fill_matched(message, event)
        yield message
    yield from map(_move_to_proto, publication.moves)


def fill_matched(message: stream_pb.MatchedEvent, event: MatchedEvent) -> None:
    """Write an event that a journey waits for into an empty message, as there are many."""
    message.workspace_id, message.profile_id = event.workspace_id, event.profile_id
    message.leaf_id, message.fact_id = event.leaf_id, event.fact_id
    message.assignment_version, message.properties = event.assignment_version, event.properties
    message.occurred_at_us, message.recorded_at_us = event.occurred_at_us, event.recorded_at_us
    message.filter_ids.extend(event.filter_ids)


def _move_to_proto(move: Reassignment) -> stream_pb.LeafMove:
    after = move.after
    return stream_pb.LeafMove(
        workspace_id=after.workspace_id,
        leaf_id=after.identifier_id,
        profile_id=after.profile_id,
        version=after.version,
        before_profile_id=move.before or b"",
    )


def change_to_proto(evaluation: Evaluation) -> stream_pb.ProfileChange:
    """Return the message of a changed evaluation."""
    return stream_pb.ProfileChange(
        workspace_id=evaluation.workspace_id,
        profile_id=evaluation.profile_id,
        version=evaluation.version,
        true_predicates=sorted(evaluation.true_predicates),
        merged_into=evaluation.merged_into or b"",
        changed_at_us=evaluation.changed_at_us,
        by_time=evaluation.by_time,
        passed=[
            stream_pb.PassedState(
                true_predicates=sorted(state.true_predicates), changed_at_us=state.changed_at_us
            )
            for state in evaluation.passed
        ],
        occurred_at_us=evaluation.occurred_at_us,
        by_event=[
            stream_pb.EventState(
                true_predicates=sorted(state.true_predicates), occurred_at_us=state.occurred_at_us
            )
            for state in evaluation.by_event
        ],
        erased=evaluation.is_erased,
    )
