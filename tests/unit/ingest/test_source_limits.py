"""Tests what the events of a source may contain, and how old they may be."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onefold.type.v1.event_pb2 import Event
from onefold.type.v1.identifier_pb2 import Identifier

from services.ingest.codec.events import ProtoEvent, SegmentCall
from services.ingest.domain.admission import admit
from services.ingest.domain.definitions import (
    MAX_AGE_DAYS,
    PUBLIC_MAX_AGE_DAYS,
    SourceDefinition,
    check_source,
)
from services.ingest.domain.events import Accepted, EventType, RawEvent, Refusal, Source
from services.ingest.domain.source_limits import allows_namespace
from services.kernel.errors import InvalidField
from services.kernel.time import DAY_US, parse_rfc3339
from services.kernel.trust import Party, SourceTrust
from tests.index_key import INDEX_KEY

NOW = parse_rfc3339("2026-11-21T20:00:00Z")
EVENT = RawEvent(EventType.TRACK, "Signed Up", "m-1", (("user_id", "u1"),))
NAMES = st.text("abé城 _", max_size=2)
GROUP = EVENT._replace(type=EventType.GROUP, name="", group_id="acme")


def defined(trust: SourceTrust = SourceTrust.PUBLIC, **fields: Any) -> SourceDefinition:
    return SourceDefinition("default", "site", trust=trust, **fields).normalized()


def outcome(raw: RawEvent, source: SourceDefinition) -> Accepted | Refusal:
    """Admit an event as ingest does."""
    max_age_us = source.max_age_us
    oldest_us = NOW - max_age_us if max_age_us else 0
    limited = Source(
        "default", "site", INDEX_KEY, trust=source.trust, limits=source.limits, oldest_us=oldest_us
    )
    return admit(raw, limited, NOW, lambda: "new-id")


def reason(raw: RawEvent, source: SourceDefinition) -> str:
    """Return the reason of the refusal; empty where the event is accepted."""
    found = outcome(raw, source)
    return found.reason if isinstance(found, Refusal) else ""


@pytest.mark.parametrize("trust", SourceTrust)
def test_accepted_event_has_the_trust_of_its_source(trust: SourceTrust) -> None:
    found = outcome(EVENT, defined(trust))
    assert isinstance(found, Accepted)
    assert found.trust == trust


@pytest.mark.parametrize(
    ("trust", "days", "expected"),
    [
        (SourceTrust.PUBLIC, PUBLIC_MAX_AGE_DAYS - 1, ""),
        (SourceTrust.PUBLIC, PUBLIC_MAX_AGE_DAYS + 1, "EVENT_TOO_OLD"),
        (SourceTrust.SERVER, 9_000, ""),
        (SourceTrust.SYSTEM_OF_RECORD, 9_000, ""),
    ],
)
def test_age_of_an_event_is_limited_for_public_sources(
    trust: SourceTrust, days: int, expected: str
) -> None:
    assert reason(EVENT._replace(timestamp=NOW - days * DAY_US), defined(trust)) == expected


@pytest.mark.parametrize("trust", SourceTrust)
def test_greatest_age_of_a_source_replaces_the_default(trust: SourceTrust) -> None:
    source = defined(trust, max_age_days=100)
    assert reason(EVENT._replace(timestamp=NOW - 100 * DAY_US), source) == ""
    assert reason(EVENT._replace(timestamp=NOW - 100 * DAY_US - 1), source) == "EVENT_TOO_OLD"


@given(st.integers(0, 400 * DAY_US), st.integers(0, 400 * DAY_US))
def test_no_clock_skew_makes_an_event_older_than_its_source_may_send(
    stated: int, sent: int
) -> None:
    raw = EVENT._replace(timestamp=NOW - stated, sent_at=NOW - sent)
    found = outcome(raw, defined())
    if isinstance(found, Accepted):
        assert found.occurred_at_us >= NOW - PUBLIC_MAX_AGE_DAYS * DAY_US


def test_event_names_of_a_source_are_the_only_ones() -> None:
    source = defined(allowed_event_names=("Signed Up", "page"))
    page = EVENT._replace(type=EventType.PAGE, name="")
    assert reason(EVENT, source) == ""
    assert reason(page, source) == ""
    assert reason(EVENT._replace(type=EventType.IDENTIFY, name=""), source) == ""
    for raw in (
        EVENT._replace(name="Order Paid"),
        EVENT._replace(name="signed up"),
        EVENT._replace(type=EventType.SCREEN, name=""),
        page._replace(name="Home"),
    ):
        assert reason(raw, source) == "EVENT_NAME_NOT_ALLOWED"


@pytest.mark.parametrize(
    ("namespace", "allowed"),
    [
        ("anonymous_id", True),
        ("wechat_openid", True),
        ("wechat_openid.wx1", True),
        ("email", False),
        ("email_sha256", True),
        ("anonymous_id_sha256", True),
        ("user_id", False),
        ("anonymous_idx", False),
    ],
)
def test_namespace_is_allowed_with_its_scoped_forms_and_digests(
    namespace: str, allowed: bool
) -> None:
    names = ("anonymous_id", "wechat_openid", "email_sha256")
    assert allows_namespace(namespace, frozenset(names)) == allowed


def test_identifier_of_another_namespace_is_refused_with_its_path() -> None:
    raw = EVENT._replace(identifiers=(("anonymous_id", "a1"), ("user_id", "victim")))
    found = outcome(raw, defined(allowed_namespaces=("anonymous_id",)))
    assert isinstance(found, Refusal)
    assert found[:2] == ("NAMESPACE_NOT_ALLOWED", "identifiers[1]")
    assert "anonymous_id" in found.message
    assert "victim" not in found.message


def test_public_source_sends_group_events_only_where_accounts_are_allowed() -> None:
    assert reason(GROUP, defined()) == "NAMESPACE_NOT_ALLOWED"
    assert reason(GROUP, defined(SourceTrust.SERVER)) == ""
    allowed = defined(allowed_namespaces=("user_id", "account_id"))
    assert reason(GROUP, allowed) == ""
    domain = GROUP._replace(group_identifiers=(("account_domain", "acme.cn"),))
    assert reason(domain, allowed) == "NAMESPACE_NOT_ALLOWED"


@pytest.mark.parametrize("kind", [EventType.IDENTIFY, EventType.GROUP, EventType.TRACK])
def test_trait_that_is_not_allowed_is_refused_in_any_event(kind: EventType) -> None:
    source = defined(SourceTrust.SERVER, allowed_traits=("city",))
    raw = GROUP._replace(type=kind, name="n", traits=b'{"city":"x","vip":true}')
    found = outcome(raw, source)
    assert isinstance(found, Refusal)
    assert found[:2] == ("TRAIT_NOT_ALLOWED", "traits")
    assert "vip" not in found.message
    assert reason(raw._replace(traits=b'{"city":"x"}'), source) == ""


@given(st.dictionaries(NAMES, st.none() | st.booleans(), max_size=4), st.sets(NAMES, min_size=1))
def test_traits_are_accepted_exactly_if_all_are_allowed(
    traits: dict[str, Any], allowed: set[str]
) -> None:
    source = defined(SourceTrust.SERVER)._replace(allowed_traits=tuple(allowed))
    raw = EVENT._replace(type=EventType.IDENTIFY, traits=msgspec.json.encode(traits))
    assert (reason(raw, source) == "TRAIT_NOT_ALLOWED") == (not traits.keys() <= allowed)


def test_source_without_a_word_about_trust_is_public() -> None:
    source = SourceDefinition("default", "site", trust=0).normalized()
    assert source.trust == SourceTrust.PUBLIC
    assert source.max_age_us == PUBLIC_MAX_AGE_DAYS * DAY_US


def test_source_without_a_word_about_its_party_is_of_the_first() -> None:
    source = SourceDefinition("default", "site", party=0).normalized()
    assert source.party == Party.FIRST


@pytest.mark.parametrize("party", Party)
def test_stored_event_has_party_and_touch_that_ingest_sets_and_the_sender_cannot(
    party: Party,
) -> None:
    sent = Event(
        type=EventType.TRACK,  # type: ignore[arg-type]
        name="viewed",
        message_id="m",
        identifiers=[Identifier(namespace="user_id", value="u-1")],
        context=b'{"campaign": {"source": "baidu"}}',
        party=Party.FIRST,  # type: ignore[arg-type]
        touch=b'{"source":"forged"}',
    )
    incoming = ProtoEvent(sent)
    context = {"campaign": {"source": "baidu"}}
    call = {"type": "track", "event": "viewed", "userId": "u-1", "context": context}
    source = Source("default", "site", INDEX_KEY, party=party)
    for each in (incoming, SegmentCall(msgspec.json.encode(call))):
        assert isinstance(each.event, RawEvent)
        accepted = admit(each.event, source, NOW, lambda: "m")
        assert isinstance(accepted, Accepted)
        stored = Event.FromString(each.payload(accepted))
        assert (stored.party, stored.touch) == (party, b'{"source":"baidu"}')
    plain = ProtoEvent(Event(type=sent.type, name="v", identifiers=sent.identifiers, touch=b"{}"))
    assert isinstance(plain.event, RawEvent)
    accepted = admit(plain.event, source, NOW, lambda: "m")
    assert isinstance(accepted, Accepted)
    assert Event.FromString(plain.payload(accepted)).touch == b""


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"trust": 9}, "source.trust"),
        ({"party": 9}, "source.party"),
        ({"allowed_namespaces": ("User",)}, "source.allowed_namespaces"),
        ({"allowed_namespaces": tuple(f"n{n}" for n in range(101))}, "source.allowed_namespaces"),
        ({"allowed_event_names": ("",)}, "source.allowed_event_names"),
        ({"allowed_event_names": ("x" * 513,)}, "source.allowed_event_names"),
        ({"allowed_traits": ("a\0",)}, "source.allowed_traits"),
        ({"allowed_traits": tuple(map(str, range(1_001)))}, "source.allowed_traits"),
        ({"max_age_days": MAX_AGE_DAYS + 1}, "source.max_age_days"),
    ],
)
def test_invalid_limit_of_a_source_is_refused(fields: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidField) as error:
        check_source(SourceDefinition("default", "site", **fields))
    assert error.value.field == field
