"""Tests the admission, the payloads and the append of group events."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from typing import Any

import pytest
from onefold.type.v1.event_pb2 import EVENT_TYPE_GROUP, Event
from onefold.type.v1.identifier_pb2 import Identifier as IdentifierMessage

from services.ingest.codec.events import ProtoEvent, SegmentCall
from services.ingest.commands.intake import append_group_events
from services.ingest.domain.admission import admit
from services.ingest.domain.events import Accepted, EventType, RawEvent, Refusal, Source
from services.ingest.domain.facts import AppendResult, NewFact
from services.ingest.domain.segment_spec import parse_call
from services.kernel.errors import Conflict, StoreUnavailable
from services.kernel.identifiers.model import Identifier
from services.kernel.identifiers.priority import leaf_of
from services.kernel.time import parse_rfc3339
from services.kernel.tokens import Token
from tests.index_key import INDEX_KEY

NOW = parse_rfc3339("2026-11-21T20:00:00Z")
SITE = Source("default", "site", INDEX_KEY, "web")
GROUP = RawEvent(
    EventType.GROUP, "", "m-1", (("user_id", "u1"),), traits=b'{"plan":"pro"}', group_id="acme"
)
ACME = leaf_of("default", [Identifier("account_id", "acme")], INDEX_KEY)


def admit_group(raw: RawEvent) -> Accepted | Refusal:
    return admit(raw, SITE, NOW, lambda: "new-id")


def refusal_of(**changes: Any) -> Refusal:
    outcome = admit_group(GROUP._replace(**changes))
    assert isinstance(outcome, Refusal), outcome
    return outcome


def accepted_group(**changes: Any) -> Accepted:
    outcome = admit_group(GROUP._replace(**changes))
    assert isinstance(outcome, Accepted), outcome
    return outcome


def test_group_event_has_a_fact_for_the_person_and_one_for_the_account() -> None:
    accepted = accepted_group()
    assert accepted.leaf_id == leaf_of("default", [Identifier("user_id", "u1")], INDEX_KEY)
    assert accepted.account_copy == (INDEX_KEY.event_fact_id("default", "site", "m-1", ACME), ACME)
    assert accepted_group(group_id=" acme ").account_copy == accepted.account_copy


def test_track_with_a_group_id_has_one_fact() -> None:
    assert accepted_group(type=EventType.TRACK, name="e").account_copy is None


@pytest.mark.parametrize("group_id", ["", None, 0, "null", "0000", "  ", "{{groupId}}"])
def test_group_event_without_a_valid_group_id_is_refused(group_id: object) -> None:
    assert refusal_of(group_id=group_id)[:2] == ("NO_IDENTIFIER", "group_id")


@pytest.mark.parametrize("group_id", [7, 1.5, ["acme"], {"id": "acme"}, "x" * 513, "a\0"])
def test_group_id_of_a_wrong_type_or_form_is_refused(group_id: object) -> None:
    assert refusal_of(group_id=group_id)[:2] == ("VALUE_INVALID", "group_id")


@pytest.mark.parametrize("pair", [("account_domain", 5), ("Domain", "a.cn"), ("domain", "a.cn")])
def test_group_identifier_in_a_namespace_of_persons_is_refused(pair: tuple[str, object]) -> None:
    refusal = refusal_of(group_identifiers=(("account_tax_id", "91"), pair))
    assert refusal[:2] == ("IDENTIFIER_INVALID", "group_identifiers[1]")


def test_more_than_64_group_identifiers_are_refused() -> None:
    many = tuple(("account_domain", f"{n}.cn") for n in range(65))
    assert refusal_of(group_identifiers=many).reason == "IDENTIFIER_INVALID"


@pytest.mark.parametrize("type_", list(EventType))
def test_person_identifier_in_a_namespace_of_accounts_is_refused(type_: EventType) -> None:
    identifiers = (("user_id", "u1"), ("account_domain", "acme.cn"))
    refusal = refusal_of(type=type_, name="e", identifiers=identifiers)
    assert refusal[:2] == ("IDENTIFIER_INVALID", "identifiers[1]")
    assert "identifies an account, not a person" in refusal.message


@pytest.mark.parametrize("parent", ["acme", " acme", "ａｃｍｅ"])
def test_parent_that_is_the_account_itself_is_refused(parent: str) -> None:
    traits = json.dumps({"parent_account_id": parent}).encode()
    refusal = refusal_of(traits=traits)
    assert refusal[:2] == ("VALUE_INVALID", "traits.parent_account_id")
    assert refusal.message.startswith("an account cannot be its own parent")


@pytest.mark.parametrize(
    ("parent", "reason"),
    [(5, "VALUE_INVALID"), (["x"], "VALUE_INVALID"), ("null", "NO_IDENTIFIER"), ("", None)],
)
def test_invalid_parent_is_refused(parent: object, reason: str | None) -> None:
    traits = json.dumps({"parent_account_id": parent}).encode()
    assert refusal_of(traits=traits)[:2] == (reason or "NO_IDENTIFIER", "traits.parent_account_id")


@pytest.mark.parametrize("traits", [b"", b"{}", b'{"parent_account_id":null}'])
def test_group_event_without_a_parent_is_accepted(traits: bytes) -> None:
    assert accepted_group(traits=traits).account_copy is not None


def test_traits_that_are_no_object_are_refused() -> None:
    assert refusal_of(traits=b"[1]").reason == "VALUE_INVALID"
    assert refusal_of(traits=b'{"parent_account_id":').reason == "JSON_INVALID"


def read(call: dict[str, Any]) -> RawEvent:
    raw = parse_call(json.dumps(call).encode())
    assert isinstance(raw, RawEvent)
    return raw


def test_external_ids_of_the_accounts_collection_become_group_identifiers() -> None:
    ids = [
        {"type": "wechat_unionid", "id": "o1", "collection": "users"},
        {"type": "domain", "id": "acme.cn", "collection": "accounts"},
        {"type": "account_tax_id", "id": "91", "collection": "accounts"},
        {"type": "b c", "id": "x", "collection": "accounts"},
        {"type": "tax_id", "id": 5, "collection": "accounts"},
    ]
    call = {"type": "group", "userId": "u", "groupId": "g", "context": {"externalIds": ids}}
    raw = read(call)
    assert raw.identifiers == (("user_id", "u"), ("wechat_unionid", "o1"))
    assert raw.group_identifiers == (("account_domain", "acme.cn"), ("account_tax_id", "91"))
    page = read({**call, "type": "page"})
    assert (page.identifiers, page.group_identifiers) == (raw.identifiers, ())


def group_events() -> list[ProtoEvent | SegmentCall]:
    ids = [{"type": "domain", "id": "acme.cn", "collection": "accounts"}]
    context = {"ip": "10.0.0.7", "externalIds": ids}
    call = {
        "type": "group",
        "messageId": "m",
        "userId": "ann@home.cn",
        "groupId": "acme",
        "traits": {"plan": "pro"},
        "context": context,
        "channel": "app",
    }
    event = Event(
        type=EVENT_TYPE_GROUP,
        message_id="m",
        identifiers=[IdentifierMessage(namespace="user_id", value="ann@home.cn")],
        traits=json.dumps({"plan": "pro"}).encode(),
        context=json.dumps(context).encode(),
        channel="app",
        group_id="acme",
        group_identifiers=[IdentifierMessage(namespace="account_domain", value="acme.cn")],
        member_leaf_id=b"forged",
    )
    return [SegmentCall(json.dumps(call).encode()), ProtoEvent(event)]


@pytest.mark.parametrize("incoming", group_events(), ids=["call", "event"])
def test_account_payload_has_only_the_leaf_of_the_person(
    incoming: ProtoEvent | SegmentCall,
) -> None:
    assert isinstance(incoming.event, RawEvent)
    accepted = admit_group(incoming.event)
    assert isinstance(accepted, Accepted)
    of_person = Event.FromString(incoming.payload(accepted))
    assert of_person.member_leaf_id == b""
    assert [i.value for i in of_person.identifiers] == ["ann@home.cn"]
    assert b"10.0.0.7" in of_person.context
    raw = incoming.account_payload(accepted)
    of_account = Event.FromString(raw)
    assert of_account.member_leaf_id == accepted.leaf_id
    assert (of_account.group_id, json.loads(of_account.traits)) == ("acme", {"plan": "pro"})
    assert [(i.namespace, i.value) for i in of_account.group_identifiers] == [
        ("account_domain", "acme.cn")
    ]
    assert b"ann@home" not in raw
    assert b"10.0.0.7" not in raw
    assert raw == incoming.account_payload(accepted)


class FakeLog:
    """Returns the given outcomes in order, and records the calls."""

    def __init__(self, *outcomes: AppendResult | Exception) -> None:
        self.outcomes = list(outcomes)
        self.calls: list[tuple[Sequence[NewFact], bool]] = []

    async def append(self, facts: Sequence[NewFact], *, atomic: bool = False) -> AppendResult:
        self.calls.append((facts, atomic))
        outcome = self.outcomes.pop(0)
        await asyncio.sleep(0)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome


def result_of(count: int, *offsets: int) -> AppendResult:
    return AppendResult(count, frozenset(range(2 - count)), frozenset(), Token(offsets), 5)


def pair(number: int) -> tuple[NewFact, NewFact]:
    fact = NewFact("w", bytes([number] * 16), "k", b"p" * 16, 1, "s", "a", b"", bytes(16))  # type: ignore[arg-type]
    return fact, fact._replace(leaf_id=b"a" * 16)  # type: ignore[arg-type]


async def test_result_counts_events_and_not_facts() -> None:
    log = FakeLog(result_of(2, 2, 1), Conflict("other"), result_of(0, 1, 3), result_of(1, 0, 4))
    pairs = [pair(n) for n in range(4)]
    result = await append_group_events(log, pairs)
    assert (result.appended, result.duplicates, result.conflicting) == (2, {2}, {1})
    assert (result.token, result.recorded_at_us) == (Token((2, 4)), 5)
    assert log.calls == [(p, True) for p in pairs]


async def test_unavailable_log_is_raised() -> None:
    log = FakeLog(result_of(2, 1), StoreUnavailable("down"))
    with pytest.raises(StoreUnavailable):
        await append_group_events(log, [pair(1), pair(2)])
