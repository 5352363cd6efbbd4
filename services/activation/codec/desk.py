"""Translates queues and what happens to tickets between the domain and their facts."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import Any, Final, NamedTuple

import msgspec
from onefold.activation.v1 import desk_pb2 as pb
from onefold.log.v1.log_pb2 import Fact
from onefold.segment.v1.segment_stream_pb2 import MembershipsChanged

from services.activation.domain.desk.assignment import Assignment, AssignmentReason
from services.activation.domain.desk.looks import Decision, Passed, Withdrawal
from services.activation.domain.desk.tickets import Ticket, TicketFact
from services.chassis.codec.comparisons import EnumNumbers
from services.chassis.codec.journeys import queue_from_proto, queue_to_proto
from services.chassis.codec.payloads import decode_payload
from services.chassis.codec.tickets import MESSAGES, TICKET_KINDS, ticket_properties
from services.chassis.definitions import DefinitionFact
from services.kernel.desk.model import TASK, DeskQueue, SlaLimit
from services.kernel.desk.ticket_events import TicketEvent, ticket_filter_id
from services.kernel.fold.events import read_object
from services.kernel.ids import FactId, LeafId, WorkspaceId, from_hex, hash_id, to_hex
from services.kernel.journeys.model import TaskStep

QUEUE_DEFINED: Final[str] = pb.DeskQueueDefined.DESCRIPTOR.full_name
LIMITS: Final = EnumNumbers(SlaLimit, pb.SlaLimit, "limit")
_REASONS: Final = EnumNumbers(AssignmentReason, pb.AssignmentReason, "reason of an assignment")
_EVENTS: Final = {ticket_filter_id(event): event for event in TicketEvent}
_TICKET: Final = "ticket_id"


class OwnTicketFact(NamedTuple):
    """Something that has happened to a ticket, with where it lies."""

    workspace_id: WorkspaceId
    ticket_id: bytes
    leaf_id: LeafId
    fact: TicketFact
    #: The fact for the log, serialised; None = the log has it.
    unpublished: bytes | None = None


@lru_cache(maxsize=1_024)
def decode_queue(payload: bytes) -> DeskQueue:
    """Return the queue of a serialised DeskQueueDefined. Raises InvalidField."""
    return queue_from_proto(decode_payload(pb.DeskQueueDefined, payload).queue)


def queue_definition(workspace_id: WorkspaceId, queue: DeskQueue) -> DefinitionFact:
    """Return the fact that defines a version of a queue."""
    return DefinitionFact.from_message(
        pb.DeskQueueDefined(queue=queue_to_proto(queue)),
        workspace_id=workspace_id,
        key=queue.queue_id,
        version=queue.version,
    )


def streamed_ticket_facts(messages: Iterable[MembershipsChanged]) -> Iterator[OwnTicketFact]:
    """Yield what has happened to tickets, by messages of segment."""
    for message in messages:
        for event in message.matched_events:
            for filter_id in event.filter_ids:
                if filter_id in _EVENTS:
                    fact = _fact(event, _EVENTS[filter_id], read_object(event.properties))
                    if fact is not None:
                        yield fact


def logged_ticket_fact(fact: Any) -> OwnTicketFact | None:
    """Return what a fact of the log says about a ticket; None where it cannot be read."""
    event = TICKET_KINDS[fact.kind]
    return _fact(fact, event, ticket_properties(event, fact.payload))


def own_ticket_fact(fact: Fact) -> OwnTicketFact:
    """Return a fact that the log does not have yet."""
    own = logged_ticket_fact(fact)
    if own is None:
        raise AssertionError("a fact about a ticket names it")
    return own._replace(unpublished=fact.SerializeToString())


def decode_fact(serialized: bytes) -> Fact:
    """Return a fact that the log does not have yet."""
    return Fact.FromString(serialized)


def _fact(fact: Any, event: TicketEvent, properties: dict[str, Any]) -> OwnTicketFact | None:
    try:
        ticket_id = from_hex(properties.get(_TICKET, ""))
    except ValueError:
        return None
    return OwnTicketFact(
        WorkspaceId(fact.workspace_id),
        ticket_id,
        LeafId(fact.leaf_id),
        TicketFact(fact.occurred_at_us, FactId(fact.fact_id), event, properties),
    )


def encode_properties(fact: TicketFact) -> bytes:
    """Return the properties of a fact as JSON."""
    return msgspec.json.encode(fact.properties, order="sorted")


class TicketKey(NamedTuple):
    """What each fact about a ticket has in common with its others."""

    workspace_id: WorkspaceId
    ticket_id: bytes
    leaf_id: LeafId
    queue_id: str
    kind: str

    @classmethod
    def of(
        cls, workspace_id: WorkspaceId, ticket_id: bytes, leaf_id: LeafId, ticket: Ticket
    ) -> TicketKey:
        """Return the key of a ticket."""
        return cls(workspace_id, ticket_id, leaf_id, ticket.queue_id, ticket.kind)


def ticket_log_fact(
    key: TicketKey,
    event: TicketEvent,
    fact_id: bytes,
    *,
    occurred_at_us: int = 0,
    actor: str = "",
    **fields: Any,
) -> Fact:
    """Return the fact of an event of a ticket; `fields`: those that its message has beside.

    `occurred_at_us`: Unix microseconds; 0 = when the log records it.
    """
    message = MESSAGES[event](
        ticket_id=to_hex(key.ticket_id), queue_id=key.queue_id, kind=key.kind, **fields
    )
    return Fact(
        workspace_id=key.workspace_id,
        fact_id=fact_id,
        kind=message.DESCRIPTOR.full_name,
        leaf_id=key.leaf_id,
        occurred_at_us=occurred_at_us,
        actor=actor,
        payload=message.SerializeToString(deterministic=True),
    )


def decided_fact(key: TicketKey, decision: Decision, number: int, now_us: int, actor: str) -> Fact:
    """Return the fact of a decision about a ticket.

    It is named by the ticket and what it decides, so that the log takes one of two decisions.
    `number`: counts the assignments of the ticket before it.
    """
    match decision:
        case Assignment():
            return ticket_log_fact(
                key,
                TicketEvent.ASSIGNED,
                hash_id(key.ticket_id, TicketEvent.ASSIGNED.value, str(number)),
                occurred_at_us=now_us,
                actor=actor,
                **assignment_fields(decision),
            )
        case Passed(limit, breach, count):
            return ticket_log_fact(
                key,
                TicketEvent.SLA_BREACHED,
                hash_id(key.ticket_id, TicketEvent.SLA_BREACHED.value, limit.value, str(count)),
                occurred_at_us=breach.due_us,
                actor=actor,
                limit=LIMITS.to_proto(limit),
                due_us=breach.due_us,
                queue_version=breach.queue_version,
            )
        case Withdrawal(limit, count):
            event = TicketEvent.SLA_BREACH_WITHDRAWN
            return ticket_log_fact(
                key,
                event,
                hash_id(key.ticket_id, event.value, limit.value, str(count)),
                occurred_at_us=now_us,
                actor=actor,
                limit=LIMITS.to_proto(limit),
            )


def assignment_fields(chosen: Assignment) -> dict[str, Any]:
    """Return the fields of the message of an assignment."""
    return {
        "agent_id": chosen.agent_id,
        "reason": _REASONS.to_proto(chosen.reason),
        "roster": [pb.RosterEntry(agent_id=id_, open=count) for id_, count in chosen.roster],
    }


def task_fact(row: Any, step: TaskStep, for_agent_id: str, actor: str) -> Fact:
    """Return the fact that opens the task of a step; the effect names both."""
    key = TicketKey(
        WorkspaceId(row["workspace_id"]), row["effect_id"], LeafId(row["leaf_id"]), step.queue, TASK
    )
    return ticket_log_fact(
        key,
        TicketEvent.OPENED,
        row["effect_id"],
        occurred_at_us=row["changed_at_us"],
        actor=actor,
        title=step.title,
        channel="journey",
        for_agent_id=for_agent_id,
        due_us=row["changed_at_us"] + step.due_us,
        journey_id=row["journey_id"],
    )


def closed_task_fact(row: Any, task_id: bytes, queue_id: str, actor: str) -> Fact:
    """Return the fact that closes a task, named by the effect and the task."""
    key = TicketKey(
        WorkspaceId(row["workspace_id"]), task_id, LeafId(row["leaf_id"]), queue_id, TASK
    )
    return ticket_log_fact(
        key,
        TicketEvent.RESOLVED,
        hash_id(row["effect_id"], task_id),
        occurred_at_us=row["changed_at_us"],
        actor=actor,
        cancelled=True,
    )
