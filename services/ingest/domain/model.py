"""The words of the doors: an event as it came, the source it came by, and what became of it."""

from __future__ import annotations

from collections.abc import Sequence
from enum import IntEnum
from typing import NamedTuple

from services.kernel.identifiers import DEFAULT_REGION
from services.kernel.ids import FactId, LeafId


class EventType(IntEnum):
    """The six calls of the Segment specification, numbered as in onefold.type.v1.EventType."""

    TRACK = 1
    IDENTIFY = 2
    PAGE = 3
    SCREEN = 4
    GROUP = 5
    ALIAS = 6


class Source(NamedTuple):
    """One way in, as far as admission needs to know it."""

    workspace_id: str
    source_id: str
    #: The channel of events that name none.
    channel: str = ""
    #: The default region of the workspace.
    region: str = DEFAULT_REGION


class RawEvent(NamedTuple):
    """An event as a door hands it in. Whatever the sender chose may be wrong, even in its type."""

    #: An EventType's number, or anything else.
    type: object
    name: object = ""
    message_id: object = ""
    #: (namespace, value) pairs as they came.
    identifiers: Sequence[tuple[str, object]] = ()
    #: When it took place by the sender's clock: Unix microseconds, RFC 3339 text, or None / 0.
    timestamp: object = None
    #: The sender's clock when it sent, in the same forms.
    sent_at: object = None
    #: JSON objects as bytes; empty = {}.
    properties: bytes = b""
    traits: bytes = b""
    context: bytes = b""
    channel: object = ""
    group_id: object = ""
    #: (namespace, value) pairs of the account as they came, beside the group id.
    group_identifiers: Sequence[tuple[str, object]] = ()


class Copy(NamedTuple):
    """The second place of a group event: under the leaf of the account."""

    fact_id: FactId
    leaf_id: LeafId


class Accepted(NamedTuple):
    """An event that is taken, with all that follows from it."""

    fact_id: FactId
    leaf_id: LeafId
    #: As sent, or a new one where none was.
    message_id: str
    #: By our clock, never after it: Unix microseconds.
    occurred_at_us: int
    #: By the sender's clock, as sent: Unix microseconds, 0 = not said.
    stated_at_us: int
    channel: str
    #: Of a group event; both facts are in the log, or none.
    copy: Copy | None = None


class Refusal(NamedTuple):
    """Why an event is not taken."""

    #: A name of onefold.type.v1.ErrorReason without its prefix.
    reason: str
    #: The field at fault, inside the event.
    field: str
    #: For people; tells what to change and holds nothing personal.
    message: str
