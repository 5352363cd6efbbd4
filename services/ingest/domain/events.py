"""Defines the values of admission: an event as it arrives, its source, and its outcome."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import NamedTuple, Protocol

from services.kernel.identifiers.phones import DEFAULT_REGION
from services.kernel.ids import FactId, LeafId
from services.kernel.index_key import IndexKey
from services.kernel.tokens import Token
from services.kernel.trust import Party, SourceTrust


class EventType(IntEnum):
    """The six calls of the Segment specification, numbered as in onefold.type.v1.EventType."""

    TRACK = 1
    IDENTIFY = 2
    PAGE = 3
    SCREEN = 4
    GROUP = 5
    ALIAS = 6


class SourceLimits(NamedTuple):
    """What the events of a source may contain; an empty set = anything."""

    namespaces: frozenset[str] = frozenset()
    event_names: frozenset[str] = frozenset()
    traits: frozenset[str] = frozenset()
    #: Whether it may send group events, where `namespaces` is empty.
    accounts: bool = True


NO_LIMITS = SourceLimits()


class Source(NamedTuple):
    """The properties of a source that admission needs."""

    workspace_id: str
    source_id: str
    #: The key that ids are derived with.
    index_key: IndexKey
    #: The channel of events that name none.
    channel: str = ""
    #: The default region of the workspace.
    region: str = DEFAULT_REGION
    #: As SourceTrust.
    trust: int = SourceTrust.PUBLIC
    #: None where its events may have any identifier, name and trait.
    limits: SourceLimits | None = None
    #: Earlier events are too old for the source, Unix microseconds; 0 = none is.
    oldest_us: int = 0
    #: As Party.
    party: int = Party.FIRST


class Producer(NamedTuple):
    """The caller that sends events, and the endpoint that receives them."""

    workspace_id: str
    source_id: str
    key_id: str
    #: grpc, http, nats or file.
    endpoint: str
    #: The default region of the workspace.
    region: str


class RawEvent(NamedTuple):
    """An event before admission. Any value may be wrong, even in its type."""

    #: An EventType's number, or anything else.
    type: object
    name: object = ""
    message_id: object = ""
    #: (namespace, value) pairs, not normalised.
    identifiers: Sequence[tuple[str, object]] = ()
    #: When it occurred by the sender's clock: Unix microseconds, RFC 3339 text, or None.
    timestamp: object = None
    #: When it was sent by the sender's clock, in the same forms.
    sent_at: object = None
    #: JSON objects as bytes; empty = {}.
    properties: bytes = b""
    traits: bytes = b""
    context: bytes = b""
    channel: object = ""
    group_id: object = ""
    #: (namespace, value) pairs of the account beside the group id, not normalised.
    group_identifiers: Sequence[tuple[str, object]] = ()
    #: Those of `identifiers` that the sender has checked.
    verified: Sequence[tuple[str, object]] = ()


class AccountCopy(NamedTuple):
    """The second fact of a group event, under the leaf of the account."""

    fact_id: FactId
    leaf_id: LeafId


class Accepted(NamedTuple):
    """The result of admitting an event."""

    fact_id: FactId
    leaf_id: LeafId
    #: The sender's, or a new one where there was none.
    message_id: str
    #: By the log's clock and never after it, Unix microseconds.
    occurred_at_us: int
    #: By the sender's clock, Unix microseconds; 0 = not stated.
    stated_at_us: int
    channel: str
    #: 16 bytes, equal for events of equal content.
    content_tag: bytes
    #: Set for group events: both facts are appended, or none.
    account_copy: AccountCopy | None = None
    #: The trust of its source, as SourceTrust.
    trust: int = SourceTrust.PUBLIC
    #: How many of the identifiers that were sent identify no one.
    unusable_identifiers: int = 0
    #: The party class of its source, as Party.
    party: int = Party.FIRST
    #: How the person came, as `touch_of` writes it; empty = it does not say.
    touch: bytes = b""


class Refusal(NamedTuple):
    """The reason why an event is not accepted."""

    #: A name of onefold.type.v1.ErrorReason without its prefix.
    reason: str
    #: The invalid field, inside the event.
    field: str
    #: Names the necessary change; contains no personal data.
    message: str


@dataclass(frozen=True, slots=True)
class Rejection:
    """An event of a batch that was refused."""

    #: Its index in the batch.
    index: int
    refusal: Refusal
    #: Empty where the quarantine of its source had no room for it.
    quarantine_id: bytes


@dataclass(frozen=True, slots=True)
class IngestResult:
    """The outcome of a batch."""

    accepted: int
    duplicates: int
    #: The first of the rejected events, ordered by index.
    rejections: tuple[Rejection, ...]
    #: The state of the log that includes the accepted events and the duplicates.
    token: Token
    #: The number of all rejected events.
    rejected: int = 0
    #: The identifiers of accepted events and duplicates that identify no one.
    unusable_identifiers: int = 0


class IncomingEvent(Protocol):
    """One event as an endpoint decoded it."""

    @property
    def event(self) -> RawEvent | Refusal:
        """The event, or the reason why it cannot be decoded."""

    @property
    def format(self) -> str:
        """How to decode `raw()`; see the column `quarantine.format`."""

    def raw(self) -> bytes:
        """Return the bytes that the sender sent, with the fields of its batch that concern it."""

    def own_bytes(self) -> bytes:
        """Return the bytes of the event alone, which are the same when it is sent again."""

    def payload(self, accepted: Accepted) -> bytes:
        """Return the serialised onefold.type.v1.Event for the log.

        A repeat of the event has the same bytes: nothing in them depends on when it arrives.
        """

    def account_payload(self, accepted: Accepted) -> bytes:
        """Return the payload of a group event's account copy.

        It has the account's data, and of the person only the leaf.
        """


@dataclass(frozen=True, slots=True)
class QuarantinedEvent:
    """A refused event in quarantine."""

    quarantine_id: bytes
    workspace_id: str
    source_id: str
    #: grpc, http, nats or file.
    endpoint: str
    refusal: Refusal
    format: str
    raw: bytes
    #: Unix microseconds.
    received_at_us: int
    released_fact_id: FactId | None = None
