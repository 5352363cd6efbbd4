"""Admits an event: returns the fact it becomes, or refuses it with a reason.

Every endpoint uses this one function. The checks run in the order in which a sender would fix
the errors.
"""

from __future__ import annotations

from collections.abc import Callable

from services.ingest.domain.accounts import account_of_event
from services.ingest.domain.content import canonical_content, encode_identifiers
from services.ingest.domain.events import (
    Accepted,
    AccountCopy,
    EventType,
    RawEvent,
    Refusal,
    Source,
)
from services.ingest.domain.json_limits import decode_documents
from services.ingest.domain.source_limits import EVENT_TOO_OLD, limits_refusal
from services.ingest.domain.timestamps import EARLIEST_US, occurred_at, read_instant
from services.ingest.domain.touches import touch_of
from services.kernel.cache import MemoizedFunction
from services.kernel.identifiers.model import is_account_namespace, validation_error
from services.kernel.identifiers.normalize import expected_format, normalize
from services.kernel.identifiers.priority import leaf_of
from services.kernel.ids import LeafId
from services.kernel.index_key import IndexKey

MAX_MESSAGE_ID = 100
MAX_TEXT = 512
#: Each identifier costs identity a row, and edges to others. SDKs send two to eight.
MAX_IDENTIFIERS = 16
#: An error message describes the expected format of at most this many namespaces.
_MAX_DESCRIBED = 4

#: (namespace, value) pairs, not normalised.
_RawIdentifiers = tuple[tuple[str, object], ...]
#: The leaf of an event, its identifiers as a part of the canonical content, and how many of those
#: that were sent identify no one.
_Person = tuple[LeafId, bytes, int]

_TYPES = frozenset(map(int, EventType))
_TRACK, _ALIAS, _GROUP = map(int, (EventType.TRACK, EventType.ALIAS, EventType.GROUP))


def admit(
    raw: RawEvent, source: Source, received_us: int, new_message_id: Callable[[], str]
) -> Accepted | Refusal:
    """Admit an event of a source. `received_us`: when it arrived by the log's clock, Unix
    microseconds; an event that has waited since then takes place no later.

    `new_message_id` returns the message id of an event that has none.
    """
    # Unpacked once: reading each field by name costs more than some of the checks.
    # `documents` are the properties, the traits and the context.
    type_, name, sent_id, identifiers, timestamp, sent_at, *documents, channel, group_id, _, _ = raw
    if type_ not in _TYPES:
        return Refusal("NOT_AN_EVENT", "type", "the type must be one of the six event types")
    refusal = _texts_refusal(type_, name, sent_id, channel, group_id)
    if refusal is not None:
        return refusal
    person = _person(tuple(identifiers), type_ == _ALIAS, source)
    if isinstance(person, Refusal):
        return person
    leaf_id, normalized, unusable = person
    times = times_of(timestamp, sent_at, received_us)
    if isinstance(times, Refusal):
        return times
    if times[0] < source.oldest_us:
        # Where the time that was stated is recent enough, that of sending is wrong.
        is_recent = times[1] >= source.oldest_us
        return EVENT_TOO_OLD._replace(field="sent_at") if is_recent else EVENT_TOO_OLD
    decoded = decode_documents(*documents)
    if type(decoded) is Refusal:
        return decoded
    if source.limits is not None:
        refusal = limits_refusal(raw, decoded[1], source.limits)
        if refusal is not None:
            return refusal
    message_id = str(sent_id or "").strip() or new_message_id()
    workspace_id, index_key = source.workspace_id, source.index_key
    content = canonical_content(raw, normalized, times[1], decoded)
    values = (
        index_key.event_fact_id(workspace_id, source.source_id, message_id, leaf_id),
        leaf_id,
        message_id,
        *times,
        str(channel or source.channel),
        index_key.content_tag(workspace_id, content),
        None,
        source.trust,
        unusable,
        source.party,
        touch_of(decoded[0], decoded[2]),
    )
    # At half the cost of Accepted(...), and this runs once an event.
    accepted: Accepted = tuple.__new__(Accepted, values)
    return _with_account_copy(accepted, raw, source) if type_ == _GROUP else accepted


def _with_account_copy(accepted: Accepted, raw: RawEvent, source: Source) -> Accepted | Refusal:
    workspace_id, index_key = source.workspace_id, source.index_key
    leaf_id = account_of_event(raw, workspace_id, index_key)
    if isinstance(leaf_id, Refusal):
        return leaf_id
    fact_id = index_key.event_fact_id(workspace_id, source.source_id, accepted.message_id, leaf_id)
    return accepted._replace(account_copy=AccountCopy(fact_id, leaf_id))


def times_of(timestamp: object, sent_at: object, received_us: int) -> tuple[int, int] | Refusal:
    """Return when the event occurred by the log's clock, and as stated (0 = not stated)."""
    if type(timestamp) is int and sent_at is None and EARLIEST_US <= timestamp <= received_us:
        return timestamp, timestamp  # the usual case
    stated_us = read_instant("occurred_at_us", timestamp)
    if isinstance(stated_us, Refusal):
        return stated_us
    if stated_us is None:
        return received_us, 0
    sent_us = read_instant("sent_at", sent_at)
    if isinstance(sent_us, Refusal):
        return sent_us
    occurred_us = occurred_at(stated_us, sent_us, received_us)
    return occurred_us if isinstance(occurred_us, Refusal) else (occurred_us, stated_us)


def _texts_refusal(
    type_: object, name: object, message_id: object, channel: object, group_id: object
) -> Refusal | None:
    if message_id is not None and not (
        type(message_id) is str and len(message_id) <= MAX_MESSAGE_ID and message_id.isprintable()
    ):
        return Refusal(
            "MESSAGE_ID_INVALID",
            "message_id",
            f"a message id must be a printable string of at most {MAX_MESSAGE_ID} characters",
        )
    if name and not _is_text(name):
        return _text_refusal("name")
    if channel and not _is_text(channel):
        return _text_refusal("channel")
    if group_id and not _is_text(group_id):
        return _text_refusal("group_id")
    if type_ == _TRACK and not (name and str(name).strip()):
        return Refusal("NAME_MISSING", "name", "a track event needs a name: add one")
    return None


def _is_text(value: object) -> bool:
    return isinstance(value, str) and len(value) <= MAX_TEXT and "\0" not in value


def _text_refusal(field: str) -> Refusal:
    return Refusal(
        "VALUE_INVALID",
        field,
        f"{field} must be a string of at most {MAX_TEXT} characters without NUL",
    )


def _person(identifiers: _RawIdentifiers, is_alias: bool, source: Source) -> _Person | Refusal:
    """Return the leaf of an event, and its usable identifiers."""
    arguments = (source.workspace_id, source.region, source.index_key, identifiers, is_alias)
    try:
        return _known_person(arguments)
    except TypeError:  # a value is a list or an object, which the cache cannot hash
        return _person_of(arguments)


def _person_of(arguments: tuple[str, str, IndexKey, _RawIdentifiers, bool]) -> _Person | Refusal:
    workspace_id, region, index_key, identifiers, is_alias = arguments
    if len(identifiers) > MAX_IDENTIFIERS:
        message = (
            f"an event has at most {MAX_IDENTIFIERS} identifiers, and this one has"
            f" {len(identifiers)}: send the others in further events that share one of them"
        )
        return Refusal("IDENTIFIER_INVALID", "identifiers", message)
    for index, (namespace, value) in enumerate(identifiers):
        error = validation_error(namespace, value) or _account_error(namespace)
        if error is not None:
            return Refusal("IDENTIFIER_INVALID", f"identifiers[{index}]", error)
    normalized = [normalize(namespace, str(value), region) for namespace, value in identifiers]
    usable = {identifier for identifier in normalized if identifier is not None}
    if not usable:
        return _unusable_refusal(region, [namespace for namespace, _ in identifiers])
    if is_alias and len(usable) < 2:
        message = "an alias needs two different identifiers: add the previous id"
        return Refusal("NO_IDENTIFIER", "identifiers", message)
    leaf_id = leaf_of(workspace_id, usable, index_key)
    return leaf_id, encode_identifiers(usable), normalized.count(None)


# The same identifiers recur often: then it halves the cost of an event. Half of these people, those
# that sent last, are always present; an entry takes about 700 bytes.
_known_person = MemoizedFunction(_person_of, 1 << 17)


def _account_error(namespace: str) -> str | None:
    if not is_account_namespace(namespace):
        return None
    return f"{namespace} identifies an account, not a person: send it with a group event"


def _unusable_refusal(region: str, namespaces: list[str]) -> Refusal:
    expected = "; ".join(
        f"{namespace} needs {expected_format(namespace, region)}"
        for namespace in sorted(set(namespaces))[:_MAX_DESCRIBED]
    )
    message = f"the event has no usable identifier: {expected or 'add one'}"
    return Refusal("NO_IDENTIFIER", "identifiers", message)
