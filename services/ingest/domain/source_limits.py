"""Refuses events that contain what their source may not send.

An event is refused as a whole: it waits in quarantine, and is released once the source is allowed
to send it. Otherwise the log would hold events of which a part counts and another part does not.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from functools import lru_cache
from typing import Any

from services.ingest.domain.events import EventType, RawEvent, Refusal, SourceLimits
from services.kernel.fold.events import UNNAMED
from services.kernel.identifiers.model import ACCOUNT_ID, base_namespace
from services.kernel.identifiers.priority import plain_namespace

#: An error message lists at most this many of the names that are allowed.
_MAX_LISTED = 10

_NAMED = frozenset(map(int, (EventType.TRACK, EventType.PAGE, EventType.SCREEN)))
_GROUP = int(EventType.GROUP)

_NO_ACCOUNTS = Refusal(
    "NAMESPACE_NOT_ALLOWED",
    "group_id",
    "a public source may not send group events: define the source with allowed_namespaces that"
    f" list {ACCOUNT_ID}, then release the event",
)
EVENT_TOO_OLD = Refusal(
    "EVENT_TOO_OLD",
    "occurred_at_us",
    "the event is older than the source may send: raise max_age_days of the source, then release"
    " the event",
)


def limits_refusal(raw: RawEvent, traits: Any, limits: SourceLimits) -> Refusal | None:
    """Return why a source with these limits may not send an event; None where it may.

    `traits` are the decoded traits of the event, a mapping.
    """
    if limits.event_names and _event_name(raw) not in {"", *limits.event_names}:
        return _refusal("EVENT_NAME_NOT_ALLOWED", "name", "events", limits.event_names)
    if raw.type == _GROUP and not limits.namespaces and not limits.accounts:
        return _NO_ACCOUNTS
    if limits.namespaces:
        for field, namespace in _namespaces(raw):
            if not allows_namespace(namespace, limits.namespaces):
                reason = "NAMESPACE_NOT_ALLOWED"
                return _refusal(reason, field, "identifiers", limits.namespaces)
    if limits.traits and not limits.traits.issuperset(traits):
        return _refusal("TRAIT_NOT_ALLOWED", "traits", "traits", limits.traits)
    return None


@lru_cache(maxsize=1 << 12)
def allows_namespace(namespace: str, allowed: frozenset[str]) -> bool:
    """Return whether a list of namespaces has one, or the one whose scoped form or digest it is."""
    plain = plain_namespace(namespace)
    return not allowed.isdisjoint((namespace, plain, base_namespace(plain)))


def _event_name(raw: RawEvent) -> str:
    """Return the name of a track, page or screen event in rules; empty for other events."""
    if raw.type not in _NAMED:
        return ""
    return str(raw.name or UNNAMED.get(int(str(raw.type)), ""))


def _namespaces(raw: RawEvent) -> Iterator[tuple[str, str]]:
    """Yield the path and the namespace of each identifier of an event, the account's among them."""
    for index, (namespace, _) in enumerate(raw.identifiers):
        yield f"identifiers[{index}]", namespace
    if raw.type == _GROUP:
        yield "group_id", ACCOUNT_ID
    for index, (namespace, _) in enumerate(raw.group_identifiers):
        yield f"group_identifiers[{index}]", namespace


def _refusal(reason: str, field: str, items: str, allowed: Collection[str]) -> Refusal:
    listed = sorted(allowed)
    more = f" and {len(listed) - _MAX_LISTED} more" if len(listed) > _MAX_LISTED else ""
    message = (
        f"the source may send only these {items}: {', '.join(listed[:_MAX_LISTED])}{more}; define"
        " the source with more of them, then release the event"
    )
    return Refusal(reason, field, message)
