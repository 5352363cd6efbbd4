"""Group events: what they say of an account, and what of it is refused."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from typing import Any

import pytest
from onefold.type.v1.event_pb2 import EVENT_TYPE_GROUP, Event
from onefold.type.v1.identifier_pb2 import Identifier as IdentifierMessage

from services.ingest.codec.events import CallOffer, EventOffer
from services.ingest.commands.group_events import append_pairs
from services.ingest.domain.admission import admit
from services.ingest.domain.facts import Appended, NewFact
from services.ingest.domain.model import Accepted, EventType, RawEvent, Refusal, Source
from services.ingest.domain.segment_spec import read_call
from services.kernel.errors import Conflict, StoreUnavailable
from services.kernel.identifiers import Identifier, leaf_of
from services.kernel.ids import event_fact_id
from services.kernel.time import parse_rfc3339
from services.kernel.tokens import Token

NOW = parse_rfc3339("2026-11-21T20:00:00Z")
SITE = Source("default", "site", "web")
GROUP = RawEvent(
    EventType.GROUP, "", "m-1", (("user_id", "u1"),), traits=b'{"plan":"pro"}', group_id="acme"
)
ACME = leaf_of("default", [Identifier("account_id", "acme")])


def admitted(raw: RawEvent) -> Accepted | Refusal:
    return admit(raw, SITE, NOW, lambda: "new-id")


def refusal(**changes: Any) -> Refusal:
    outcome = admitted(GROUP._replace(**changes))
    assert isinstance(outcome, Refusal), outcome
    return outcome


def taken(**changes: Any) -> Accepted:
    outcome = admitted(GROUP._replace(**changes))
    assert isinstance(outcome, Accepted), outcome
    return outcome


def test_it_has_a_place_with_the_person_and_with_the_account() -> None:
    accepted = taken()
    assert accepted.leaf_id == leaf_of("default", [Identifier("user_id", "u1")])
    assert accepted.copy == (event_fact_id("default", "site", "m-1", ACME), ACME)
    assert taken(group_id=" acme ").copy == accepted.copy


def test_another_event_has_one_place_whatever_group_it_names() -> None:
    assert taken(type=EventType.TRACK, name="e").copy is None


@pytest.mark.parametrize("group_id", ["", None, 0, "null", "0000", "  ", "{{groupId}}"])
def test_a_group_event_needs_a_group_id(group_id: object) -> None:
    assert refusal(group_id=group_id)[:2] == ("NO_IDENTIFIER", "group_id")


@pytest.mark.parametrize("group_id", [7, 1.5, ["acme"], {"id": "acme"}, "x" * 513, "a\0", "a\n"])
def test_a_group_id_of_a_wrong_kind(group_id: object) -> None:
    assert refusal(group_id=group_id)[:2] == ("VALUE_INVALID", "group_id")


@pytest.mark.parametrize("pair", [("account_domain", 5), ("Domain", "a.cn"), ("domain", "a.cn")])
def test_an_account_has_identifiers_of_accounts_only(pair: tuple[str, object]) -> None:
    told = refusal(group_identifiers=(("account_tax_id", "91"), pair))
    assert told[:2] == ("IDENTIFIER_INVALID", "group_identifiers[1]")


def test_too_many_identifiers() -> None:
    many = tuple(("account_domain", f"{n}.cn") for n in range(65))
    assert refusal(group_identifiers=many).reason == "IDENTIFIER_INVALID"


@pytest.mark.parametrize("type_", list(EventType))
def test_no_person_has_the_identifier_of_an_account(type_: EventType) -> None:
    named = (("user_id", "u1"), ("account_domain", "acme.cn"))
    told = refusal(type=type_, name="e", identifiers=named)
    assert told[:2] == ("IDENTIFIER_INVALID", "identifiers[1]")
    assert "names an account and not a person" in told.message


@pytest.mark.parametrize("parent", ["acme", " acme", "ａｃｍｅ"])
def test_an_account_is_not_above_itself(parent: str) -> None:
    traits = json.dumps({"parent_account_id": parent}).encode()
    told = refusal(traits=traits)
    assert told == ("VALUE_INVALID", "traits.parent_account_id", "an account is not above itself")


@pytest.mark.parametrize(
    ("parent", "reason"),
    [(5, "VALUE_INVALID"), (["x"], "VALUE_INVALID"), ("null", "NO_IDENTIFIER"), ("", None)],
)
def test_a_parent_that_names_no_account(parent: object, reason: str | None) -> None:
    traits = json.dumps({"parent_account_id": parent}).encode()
    assert refusal(traits=traits)[:2] == (reason or "NO_IDENTIFIER", "traits.parent_account_id")


@pytest.mark.parametrize("traits", [b"", b"{}", b'{"parent_account_id":null}'])
def test_no_parent(traits: bytes) -> None:
    assert taken(traits=traits).copy is not None


def test_traits_that_are_no_object() -> None:
    assert refusal(traits=b"[1]").reason == "VALUE_INVALID"
    assert refusal(traits=b'{"parent_account_id":').reason == "JSON_INVALID"


def read(call: dict[str, Any]) -> RawEvent:
    raw = read_call(json.dumps(call).encode())
    assert isinstance(raw, RawEvent)
    return raw


def test_external_ids_of_accounts() -> None:
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


def offers() -> list[EventOffer | CallOffer]:
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
    return [CallOffer(json.dumps(call).encode()), EventOffer(event)]


@pytest.mark.parametrize("offer", offers(), ids=["call", "event"])
def test_the_copy_tells_of_the_account_and_only_the_leaf_of_the_person(
    offer: EventOffer | CallOffer,
) -> None:
    assert isinstance(offer.event, RawEvent)
    accepted = admitted(offer.event)
    assert isinstance(accepted, Accepted)
    of_person = Event.FromString(offer.payload(accepted))
    assert of_person.member_leaf_id == b""
    assert [i.value for i in of_person.identifiers] == ["ann@home.cn"]
    assert b"10.0.0.7" in of_person.context
    raw = offer.copy_payload(accepted)
    of_account = Event.FromString(raw)
    assert of_account.member_leaf_id == accepted.leaf_id
    assert (of_account.group_id, json.loads(of_account.traits)) == ("acme", {"plan": "pro"})
    assert [(i.namespace, i.value) for i in of_account.group_identifiers] == [
        ("account_domain", "acme.cn")
    ]
    assert b"ann@home" not in raw
    assert b"10.0.0.7" not in raw
    assert raw == offer.copy_payload(accepted)


class FakeLog:
    """Answers each call by its turn."""

    def __init__(self, *answers: Appended | Exception) -> None:
        self.answers = list(answers)
        self.calls: list[tuple[Sequence[NewFact], bool]] = []

    async def append(self, facts: Sequence[NewFact], *, whole: bool = False) -> Appended:
        self.calls.append((facts, whole))
        answer = self.answers.pop(0)
        await asyncio.sleep(0)
        if isinstance(answer, Exception):
            raise answer
        return answer


def new(count: int, *offsets: int) -> Appended:
    return Appended(count, frozenset(range(2 - count)), frozenset(), Token(offsets), 5, (0, 0))


def pair(number: int) -> tuple[NewFact, NewFact]:
    fact = NewFact("w", bytes([number] * 16), "k", b"p" * 16, 1, "s", "a", b"")  # type: ignore[arg-type]
    return fact, fact._replace(leaf_id=b"a" * 16)  # type: ignore[arg-type]


async def test_pairs_are_counted_as_events() -> None:
    log = FakeLog(new(2, 2, 1), Conflict("reused"), new(0, 1, 3), new(1, 0, 4))
    pairs = [pair(n) for n in range(4)]
    appended = await append_pairs(log, pairs)
    assert (appended.appended, appended.duplicates, appended.reused) == (2, {2}, {1})
    assert (appended.token, appended.recorded_at_us) == (Token((2, 4)), 5)
    assert log.calls == [(p, True) for p in pairs]


async def test_a_log_that_is_away_is_told() -> None:
    with pytest.raises(StoreUnavailable):
        await append_pairs(FakeLog(new(2, 1), StoreUnavailable("away")), [pair(1), pair(2)])
