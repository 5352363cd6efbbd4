"""Protobuf and JSON of the doors to the words of the domain, and back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import asyncpg
from google.protobuf.message import DecodeError
from onefold.ingest.v1.ingest_facts_pb2 import KeyDefined, SourceDefined, WorkspaceDefined
from onefold.ingest.v1.ingest_service_pb2 import (
    IngestEventsRequest,
    IngestEventsResponse,
    ListQuarantinedResponse,
    Quarantined,
)
from onefold.ingest.v1.ingest_service_pb2 import Rejection as RejectionMessage
from onefold.log.v1.log_pb2 import Fact
from onefold.type.v1.errors_pb2 import ErrorReason
from onefold.type.v1.event_pb2 import EVENT_TYPE_GROUP, Event
from onefold.type.v1.identifier_pb2 import Identifier
from onefold.type.v1.token_pb2 import Token as TokenMessage

from services.chassis.access.tables import fold_access_facts
from services.ingest.commands.intake import Rejection, Taken
from services.ingest.domain.definitions import (
    SOURCE_DEFINED,
    WORKSPACE_DEFINED,
    Definition,
    KeyDefinition,
    SourceDefinition,
    WorkspaceDefinition,
)
from services.ingest.domain.model import Accepted, EventType, RawEvent, Refusal
from services.ingest.domain.request_body import Body
from services.ingest.domain.segment_spec import FIELD_NAMES, TYPES, read_call
from services.ingest.ports import Cursor, Entry, Offer, Told
from services.kernel.errors import InvalidField
from services.kernel.ids import from_hex, to_hex
from services.kernel.tokens import Token


class EventOffer:
    """An event that came as onefold.type.v1.Event."""

    __slots__ = ("event", "message")
    form = "event"

    def __init__(self, message: Event) -> None:
        self.message = message
        type_ = message.type
        values = (
            type_,
            message.name,
            message.message_id,
            tuple([(i.namespace, i.value) for i in message.identifiers]),
            message.occurred_at_us,
            None,
            message.properties,
            message.traits,
            message.context,
            message.channel,
            message.group_id,
            _of_account(message) if type_ == EVENT_TYPE_GROUP else (),
        )
        # At half the cost of RawEvent(...), and it is done once an event.
        self.event: RawEvent | Refusal = tuple.__new__(RawEvent, values)

    def raw(self) -> bytes:
        """As it came."""
        return self.message.SerializeToString()

    def payload(self, accepted: Accepted) -> bytes:
        """The event that goes into the log: as it came, with its message id and channel."""
        message = self.message
        if message.message_id != accepted.message_id:
            message.message_id = accepted.message_id
        if message.channel != accepted.channel:
            message.channel = accepted.channel
        if accepted.copy is not None:
            message.ClearField("member_leaf_id")
        return message.SerializeToString()

    def copy_payload(self, accepted: Accepted) -> bytes:
        """What it says of the account."""
        return _copy_payload(self.message, accepted)


def _of_account(message: Event) -> tuple[tuple[str, str], ...]:
    return tuple([(i.namespace, i.value) for i in message.group_identifiers])


def read_events(data: bytes) -> list[EventOffer] | Refusal:
    """The events of a serialised IngestEventsRequest."""
    try:
        request = IngestEventsRequest.FromString(data)
    except DecodeError:
        return Refusal("NOT_AN_EVENT", "", "send an onefold.ingest.v1.IngestEventsRequest")
    return [EventOffer(event) for event in request.events]


class CallOffer:
    """An event that came as a call of the Segment specification."""

    __slots__ = ("_raw", "event", "form")

    def __init__(
        self, raw: bytes, type_: EventType | None = None, body: Body | None = None
    ) -> None:
        self._raw = raw
        self.form = f"call:{type_.name.lower()}" if type_ else "call"
        self.event = read_call(raw, type_, body)

    def raw(self) -> bytes:
        """As it came."""
        return self._raw

    def payload(self, accepted: Accepted) -> bytes:
        """The event that goes into the log."""
        return self._message(accepted).SerializeToString()

    def copy_payload(self, accepted: Accepted) -> bytes:
        """What it says of the account."""
        return _copy_payload(self._message(accepted), accepted)

    def _message(self, accepted: Accepted) -> Event:
        event: Any = self.event  # accepted, so it is an event, and its values are of their types
        message = Event(
            type=event.type,
            name=event.name or "",
            message_id=accepted.message_id,
            occurred_at_us=accepted.stated_at_us,
            properties=event.properties,
            traits=event.traits,
            context=event.context,
            channel=accepted.channel,
            group_id=event.group_id or "",
        )
        message.identifiers.extend(Identifier(namespace=n, value=v) for n, v in event.identifiers)
        message.group_identifiers.extend(
            Identifier(namespace=n, value=v) for n, v in event.group_identifiers
        )
        return message


class _Unreadable:
    """What cannot be read as one event."""

    form = "body"

    def __init__(self, raw: bytes, refusal: Refusal) -> None:
        self._raw = raw
        self.event: RawEvent | Refusal = refusal

    def raw(self) -> bytes:
        return self._raw

    def payload(self, accepted: Accepted) -> bytes:
        raise NotImplementedError

    copy_payload = payload


def _copy_payload(message: Event, accepted: Accepted) -> bytes:
    """The account's copy holds nothing of the person but their leaf: whoever forgets a person need
    not look for them among accounts."""
    copy = Event(
        type=message.type,
        message_id=accepted.message_id,
        occurred_at_us=message.occurred_at_us,
        traits=message.traits,
        channel=accepted.channel,
        group_id=message.group_id,
        group_identifiers=message.group_identifiers,
        member_leaf_id=accepted.leaf_id,
    )
    return copy.SerializeToString()


def offer_of(entry: Entry) -> Offer:
    """What was refused, to be tried again as it was."""
    form, _, call = entry.form.partition(":")
    if form == "event":
        return EventOffer(Event.FromString(entry.raw))
    if form == "call":
        return CallOffer(entry.raw, TYPES.get(call))
    return _Unreadable(entry.raw, entry.refusal)


def taken_message(taken: Taken) -> IngestEventsResponse:
    """The answer over gRPC."""
    return IngestEventsResponse(
        accepted=taken.accepted,
        duplicates=taken.duplicates,
        rejections=[_rejection(rejection) for rejection in taken.rejections],
        token=token_message(taken.token),
    )


def _rejection(rejection: Rejection) -> RejectionMessage:
    refusal = rejection.refusal
    return RejectionMessage(
        index=rejection.place,
        reason=reason_number(refusal.reason),
        field=".".join(filter(None, (f"events[{rejection.place}]", refusal.field))),
        message=refusal.message,
        quarantine_id=to_hex(rejection.quarantine_id),
    )


def taken_json(taken: Taken) -> dict[str, object]:
    """The answer over HTTP and NATS, in the words of the Segment specification."""
    return {
        "success": True,
        "accepted": taken.accepted,
        "duplicates": taken.duplicates,
        "rejections": [
            {
                "index": place,
                "code": refusal.reason,
                "field": field_json(refusal.field),
                "message": refusal.message,
                "quarantineId": to_hex(quarantine_id),
            }
            for place, refusal, quarantine_id in taken.rejections
        ],
        "token": str(taken.token),
    }


def field_json(field: str) -> str:
    """A field of the treaty in the words of the Segment specification."""
    name, bracket, rest = field.partition("[")
    return FIELD_NAMES.get(name, name) + ("" if name == "identifiers" else bracket + rest)


def reason_number(reason: str) -> Any:
    """The number of a reason in the treaty."""
    return ErrorReason.Value(f"ERROR_REASON_{reason}")


def token_message(token: Token) -> TokenMessage:
    """A token as a message."""
    return TokenMessage(offsets=token.offsets)


def quarantined_message(entry: Entry) -> Quarantined:
    """One entry of the quarantine."""
    return Quarantined(
        quarantine_id=to_hex(entry.quarantine_id),
        source_id=entry.source_id,
        endpoint=entry.door,
        reason=reason_number(entry.refusal.reason),
        field=entry.refusal.field,
        message=entry.refusal.message,
        raw=entry.raw,
        received_at_us=entry.received_at_us,
        released_fact_id=to_hex(entry.released_fact_id) if entry.released_fact_id else "",
    )


def page_message(entries: list[Entry], page_size: int) -> ListQuarantinedResponse:
    """A page of the quarantine, of entries that were asked for one more than the page has."""
    shown = entries[:page_size]
    return ListQuarantinedResponse(
        entries=[quarantined_message(entry) for entry in shown],
        next_page_token=_write_cursor(shown[-1]) if len(entries) > page_size else "",
    )


def _write_cursor(last: Entry) -> str:
    return f"{last.received_at_us}.{to_hex(last.quarantine_id)}"


def read_cursor(page_token: str) -> Cursor | None:
    """The place that a page token names. Raises InvalidField."""
    if not page_token:
        return None
    instant, _, id_ = page_token.partition(".")
    try:
        return Cursor(int(instant), from_hex(id_))
    except ValueError:
        raise InvalidField("this is no page token of ours", field="page_token") from None


def read_id(field: str, text: str) -> bytes:
    """The 16 bytes of an id. Raises InvalidField."""
    try:
        return from_hex(text)
    except ValueError:
        raise InvalidField("an id has 32 hexadecimal digits", field=field) from None


def read_definition(told: Told) -> Definition:
    """The definition that a fact tells."""
    workspace_id, payload = told.workspace_id, told.payload
    if told.kind == WORKSPACE_DEFINED:
        made = WorkspaceDefined.FromString(payload)
        return WorkspaceDefinition(workspace_id, made.title, made.default_region)
    if told.kind == SOURCE_DEFINED:
        return source_of(workspace_id, SourceDefined.FromString(payload))
    key = KeyDefined.FromString(payload)
    return KeyDefinition(
        *(workspace_id, key.key_id, key.key_hash, key.role, key.source_id, key.title),
        *(key.version, key.disabled),
    )


def write_definition(definition: Definition) -> bytes:
    """The serialised message of a definition."""
    return definition_message(definition).SerializeToString(deterministic=True)


def definition_message(definition: Definition) -> WorkspaceDefined | SourceDefined | KeyDefined:
    """The message of a definition."""
    if isinstance(definition, WorkspaceDefinition):
        return WorkspaceDefined(title=definition.title, default_region=definition.default_region)
    if isinstance(definition, SourceDefinition):
        return source_message(definition)
    told: Any = definition._asdict()
    del told["workspace_id"]
    return KeyDefined(**told)


def source_of(workspace_id: str, message: SourceDefined) -> SourceDefinition:
    """The definition of a source."""
    return SourceDefinition(
        *(workspace_id, message.source_id, message.title, message.channel),
        *(message.version, message.disabled),
    )


def source_message(source: SourceDefinition) -> SourceDefined:
    """The message of a source."""
    told: Any = source._asdict()
    del told["workspace_id"]
    return SourceDefined(**told)


def key_message(key: KeyDefinition) -> KeyDefined:
    """The message of a key for people: without its hash."""
    told: Any = key._asdict()
    del told["workspace_id"], told["key_hash"]
    return KeyDefined(**told)


async def fold_access_told(conn: asyncpg.Connection, told: Sequence[Told]) -> bool:
    """Fold what facts tell of keys into the tables by which keys are known."""
    facts = [Fact(workspace_id=t.workspace_id, kind=t.kind, payload=t.payload) for t in told]
    return await fold_access_facts(conn, facts)
