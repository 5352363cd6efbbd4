"""One admission for all doors: an event becomes a fact to be appended, or is refused with a reason.

Pure: the clock's instant and new message ids are given. The order of the checks is the order of
what a sender would mend first.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

from services.ingest.domain.accounts import account_of_event
from services.ingest.domain.json_limits import documents_fault
from services.ingest.domain.model import Accepted, Copy, EventType, RawEvent, Refusal, Source
from services.ingest.domain.timestamps import EARLIEST_US, correct, place, read_instant
from services.kernel.identifiers import (
    expected_format,
    is_account_namespace,
    leaf_of,
    normalize,
    validation_error,
)
from services.kernel.ids import LeafId, event_fact_id

MAX_MESSAGE_ID = 100
MAX_TEXT = 512
MAX_IDENTIFIERS = 64
#: Of how many namespaces a message tells what they need.
_TOLD = 4

#: (namespace, value) pairs as they came.
_Said = tuple[tuple[str, object], ...]

_TYPES = frozenset(map(int, EventType))
_TRACK, _ALIAS, _GROUP = map(int, (EventType.TRACK, EventType.ALIAS, EventType.GROUP))


def admit(
    raw: RawEvent, source: Source, now_us: int, new_message_id: Callable[[], str]
) -> Accepted | Refusal:
    """Take an event of a source, or refuse it; `now_us` is the log's clock."""
    # Taken apart once: to ask a tuple for each by its name costs more than some of the checks.
    type_, name, said_id, identifiers, timestamp, sent_at, *documents, channel, group_id, _ = raw
    if type_ not in _TYPES:
        return Refusal("NOT_AN_EVENT", "type", "the type must be one of the six of the treaty")
    wrong = _texts_fault(type_, name, said_id, channel, group_id)
    if wrong is not None:
        return wrong
    leaf_id = _leaf(tuple(identifiers), type_ == _ALIAS, source)
    if isinstance(leaf_id, Refusal):
        return leaf_id
    times = _times(timestamp, sent_at, now_us)
    if isinstance(times, Refusal):
        return times
    wrong = documents_fault(*documents)
    if wrong is not None:
        return wrong
    message_id = str(said_id or "").strip() or new_message_id()
    accepted = Accepted(
        event_fact_id(source.workspace_id, source.source_id, message_id, leaf_id),
        leaf_id,
        message_id,
        *times,
        str(channel or source.channel),
    )
    return _with_copy(accepted, raw, source) if type_ == _GROUP else accepted


def _with_copy(accepted: Accepted, raw: RawEvent, source: Source) -> Accepted | Refusal:
    leaf_id = account_of_event(raw, source.workspace_id)
    if isinstance(leaf_id, Refusal):
        return leaf_id
    fact_id = event_fact_id(source.workspace_id, source.source_id, accepted.message_id, leaf_id)
    return accepted._replace(copy=Copy(fact_id, leaf_id))


def _times(timestamp: object, sent_at: object, now_us: int) -> tuple[int, int] | Refusal:
    """When it occurred by our clock, and as stated (0 = not said)."""
    if type(timestamp) is int and sent_at is None and EARLIEST_US <= timestamp <= now_us:
        return timestamp, timestamp  # as most are
    stated_us = read_instant("occurred_at_us", timestamp)
    if isinstance(stated_us, Refusal):
        return stated_us
    if stated_us is None:
        return now_us, 0
    sent_us = read_instant("sent_at", sent_at)
    if isinstance(sent_us, Refusal):
        return sent_us
    occurred_us = place("occurred_at_us", correct(stated_us, sent_us, now_us), now_us)
    if isinstance(occurred_us, Refusal):
        return occurred_us
    return occurred_us, stated_us


def _texts_fault(
    type_: object, name: object, message_id: object, channel: object, group_id: object
) -> Refusal | None:
    if message_id is not None and not (
        type(message_id) is str and len(message_id) <= MAX_MESSAGE_ID and message_id.isprintable()
    ):
        return Refusal(
            "MESSAGE_ID_INVALID",
            "message_id",
            f"a message id is a printable string of at most {MAX_MESSAGE_ID} characters",
        )
    if name and not _is_text(name):
        return _bad_text("name")
    if channel and not _is_text(channel):
        return _bad_text("channel")
    if group_id and not _is_text(group_id):
        return _bad_text("group_id")
    if type_ == _TRACK and not (name and str(name).strip()):
        return Refusal("NAME_MISSING", "name", "a track event needs a name")
    return None


def _is_text(value: object) -> bool:
    return isinstance(value, str) and len(value) <= MAX_TEXT and "\0" not in value


def _bad_text(field: str) -> Refusal:
    return Refusal(
        "VALUE_INVALID",
        field,
        f"{field} must be a string of at most {MAX_TEXT} characters without NUL",
    )


def _leaf(
    identifiers: tuple[tuple[str, object], ...], is_alias: bool, source: Source
) -> LeafId | Refusal:
    """The leaf by the identifiers that name somebody."""
    try:
        return _leaf_of(source.workspace_id, source.region, identifiers, is_alias)
    except TypeError:  # a value is a list or an object, which cannot be looked up
        return _leaf_of.__wrapped__(source.workspace_id, source.region, identifiers, is_alias)


# The same people come again and again; this halves what an event costs.
@lru_cache(maxsize=1 << 14)
def _leaf_of(
    workspace_id: str, region: str, identifiers: tuple[tuple[str, object], ...], is_alias: bool
) -> LeafId | Refusal:
    if len(identifiers) > MAX_IDENTIFIERS:
        return Refusal(
            "IDENTIFIER_INVALID", "identifiers", f"at most {MAX_IDENTIFIERS} identifiers an event"
        )
    for index, (namespace, value) in enumerate(identifiers):
        wrong = validation_error(namespace, value) or _account_fault(namespace)
        if wrong is not None:
            return Refusal("IDENTIFIER_INVALID", f"identifiers[{index}]", wrong)
    named = {normalize(namespace, str(value), region) for namespace, value in identifiers}
    usable = [identifier for identifier in named if identifier is not None]
    if not usable:
        return _names_nobody(region, [namespace for namespace, _ in identifiers])
    if is_alias and len(usable) < 2:
        return Refusal("NO_IDENTIFIER", "identifiers", "an alias needs two different identifiers")
    return leaf_of(workspace_id, usable)


def _account_fault(namespace: str) -> str | None:
    if not is_account_namespace(namespace):
        return None
    return f"{namespace} names an account and not a person: send it with a group event"


def _names_nobody(region: str, namespaces: list[str]) -> Refusal:
    wanted = "; ".join(
        f"{n} needs {expected_format(n, region)}" for n in sorted(set(namespaces))[:_TOLD]
    )
    told = f"no identifier names anybody: {wanted or 'add one that does'}"
    return Refusal("NO_IDENTIFIER", "identifiers", told)
