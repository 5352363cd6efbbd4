"""Tests receipts: what providers report changes messages, addresses and consents, once each."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any, cast

import pytest
import pytest_asyncio
from integration.activation.gated_ledger import NOON_US, GatedLedger, gated, leaf
from integration.activation.ledger_fixture import KEYS, Ledger, destination
from onefold.activation.v1.journey_facts_pb2 import DeliveryReported
from onefold.type.v1.identifier_pb2 import Identifier
from service_fixtures import wait_until
from structlog.testing import capture_logs

from services.activation.channels import Message, Sender
from services.activation.codec.bus import reported_delivery
from services.activation.commands.receipts import ReceiptCommands
from services.activation.delivery.reports import LEAST, ReportPublisher
from services.activation.domain.message_channels import AliyunSms, Smtp
from services.activation.domain.model import DeliveryState, Destination
from services.activation.domain.receipts.model import ReceiptRequest
from services.activation.domain.receipts.tokens import LinkTokens, TrackingToken, UnsubscribeToken
from services.activation.domain.transitions import AttemptResult, AttemptStatus
from services.activation.store.effects import DestinationKey
from services.activation.store.reports import restore_reports
from services.chassis.codec.journey_facts import DELIVERY_REPORTED, report_filter
from services.chassis.postgres.database import transaction
from services.kernel.errors import InvalidField, NotFound, RetryableError
from services.kernel.ids import to_hex
from services.kernel.journeys.inputs import report_filter_id
from services.kernel.journeys.model import ReportKind

ACCEPTED, DELIVERED, UNDELIVERED, SUPPRESSED = (
    DeliveryState.ACCEPTED,
    DeliveryState.DELIVERED,
    DeliveryState.UNDELIVERED,
    DeliveryState.SUPPRESSED,
)
SMS = destination(AliyunSms("id", "", "Shop"), "coupon", template_id="cart")
MAIL = destination(
    Smtp("mail.x.example", from_address="shop@x.example", return_path="bounce@x.example"),
    "mail",
    template_id="cart",
)
STEPS = {
    "steps": [
        {"send": {"id": "reminder", "to": "coupon", "template": "cart"}},
        {"wait": "1h"},
        {"send": {"id": "mail", "to": "mail", "template": "cart"}},
    ]
}


class FakeProvider(Sender):
    """Accepts every message, once it is released."""

    def __init__(self) -> None:
        self.released = asyncio.Event()
        self.released.set()
        self.taken: list[str] = []
        self.status = AttemptStatus.DELIVERED

    async def send(self, to: Destination, message: Message) -> AttemptResult:
        self.taken.append(message.key)
        await self.released.wait()
        return AttemptResult(self.status, "OK")


class Receiving:
    """A gate with a provider, and the door of receipts."""

    def __init__(self, gate: GatedLedger) -> None:
        self.gate = gate
        self.provider = FakeProvider()
        self.commands = ReceiptCommands(gate.ledger.database, gate.admission.log, KEYS)
        self.paused: list[DestinationKey] = []
        self.publisher = ReportPublisher(
            gate.ledger.database, gate.admission.log, "activation", self._pause
        )

    async def _pause(self, key: DestinationKey) -> None:
        self.paused.append(key)

    def dispatching(self) -> Any:
        senders = {AliyunSms: self.provider, Smtp: self.provider}
        return self.gate.dispatching(senders=senders)

    async def take(self, body: object, to: Destination = SMS) -> Any:
        token = self.commands.path_of(to).rpartition("/")[2]
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        return await self.commands.take(token, ReceiptRequest(body=raw))

    def person(self, n: int) -> None:
        profile = self.gate.peers.profile
        profile.add(leaf(n), name=b'"Li"')
        own = profile.profiles[to_hex(leaf(n))]
        own.identifiers.append(Identifier(namespace="phone", value=f"+86138000{n:05}"))

    async def states(self) -> dict[str, int]:
        return await self.gate.ledger.states()

    async def reports(self) -> list[Any]:
        return await self.gate.ledger.database.pool.fetch("SELECT * FROM report ORDER BY what")


def outcome(key: bytes, success: bool = True, code: str = "DELIVERED") -> dict[str, object]:
    return {
        "phone_number": "13800000000",
        "report_time": "2026-11-27 11:59:00",
        "success": success,
        "err_code": code,
        "out_id": to_hex(key),
    }


@pytest_asyncio.fixture(loop_scope="session")
async def door(ledger: Ledger) -> AsyncIterator[Receiving]:
    async with gated(ledger) as gate:
        await ledger.define(SMS, MAIL)
        await gate.define(STEPS)
        await gate.policy({"purposes": {"marketing": {"consent": "implied"}}})
        await gate.templates(cart="{{ person.name }}")
        await ledger.database.pool.execute("SELECT 1")
        yield Receiving(gate)


async def test_receipts_doubled_late_and_unknown_change_a_message_once(door: Receiving) -> None:
    """T16."""
    door.person(0)
    effect = await door.gate.plan(0)
    async with door.dispatching():
        await door.gate.ledger.all_are(ACCEPTED)
    for _ in range(2):
        taken = await door.take([outcome(effect.effect_id), outcome(bytes(16))])
        assert json.loads(taken.answer.body)["code"] == 0
    assert await door.states() == {"DELIVERED": 1}
    (report,) = await door.reports()
    assert (report["what"], report["run_id"]) == ("delivered", effect.run_id)
    # What has arrived stays so, whatever comes after it.
    await door.take([outcome(effect.effect_id, False, "MOBILE_NOT_ON_SERVICE")])
    assert await door.states() == {"DELIVERED": 1}


async def test_early_receipt_ends_a_message_before_the_answer_of_the_provider(
    door: Receiving,
) -> None:
    door.person(0)
    effect = await door.gate.plan(0)
    door.provider.released.clear()
    async with door.dispatching():
        await wait_until(lambda: _taken(door))
        await door.take([outcome(effect.effect_id)])
        assert await door.states() == {"DELIVERED": 1}
        door.provider.released.set()
    assert await door.states() == {"DELIVERED": 1}


async def _taken(door: Receiving) -> bool:
    return bool(door.provider.taken)


async def test_hard_bounce_makes_the_address_unusable_for_every_purpose(door: Receiving) -> None:
    door.person(0)
    first = await door.gate.plan(0)
    async with door.dispatching():
        await door.gate.ledger.all_are(ACCEPTED)
        await door.take([outcome(first.effect_id, False, "MOBILE_NOT_ON_SERVICE")])
        assert await door.states() == {"UNDELIVERED": 1}
        second = await door.gate.plan(0, at_us=NOON_US + 1, purpose="duty")
        await door.gate.ledger.all_are(UNDELIVERED, SUPPRESSED)
    row = await door.gate.ledger.row(second)  # type: ignore[arg-type]
    assert (row["state"], row["reason"]) == (SUPPRESSED, "address_bounced")


async def test_reply_is_one_to_the_last_message_and_withdraws_consent(door: Receiving) -> None:
    door.person(0)
    for n in range(2):
        await door.gate.move_to(NOON_US + n)
        last = await door.gate.plan(0)
        async with door.dispatching():
            await door.gate.ledger.all_are(ACCEPTED)
    reply = {"phone_number": "13800000000", "content": "R", "sequence_id": 9, "send_time": ""}
    taken = [await door.take([reply]) for _ in range(2)]
    (report,) = await door.reports()
    assert (report["what"], report["effect_id"]) == ("replied", last.effect_id)
    for each in taken:
        (consent,) = each.consents
        assert consent[:5] == ("school", "phone", "+8613800000000", "marketing.sms", False)
    assert taken[0].consents == taken[1].consents
    # A number that got nothing from here says nothing.
    assert not (await door.take([{**reply, "phone_number": "13999999999"}])).consents


async def test_soft_bounces_make_an_address_unusable_for_a_while(door: Receiving) -> None:
    mail = (
        "Content-Type: multipart/report; report-type=delivery-status; boundary=b\r\n"
        "To: bounce+{key}@x.example\r\n\r\n--b\r\nContent-Type: message/delivery-status\r\n\r\n"
        "Reporting-MTA: dns; y.example\r\n\r\nAction: failed\r\nStatus: 4.4.7\r\n\r\n--b--\r\n"
    )
    door.person(0)
    async with door.dispatching():
        for n in range(3):
            await door.gate.move_to(NOON_US + n)
            effect = await door.gate.plan(0, "mail")
            await door.gate.ledger.all_are(ACCEPTED, UNDELIVERED)
            await door.take(mail.format(key=to_hex(effect.effect_id)).encode(), MAIL)
        assert await door.states() == {"UNDELIVERED": 3}
        await door.gate.move_to(NOON_US + 4)
        await door.gate.plan(0, "mail")
        await door.gate.ledger.all_are(UNDELIVERED, SUPPRESSED)
        await door.gate.move_to(NOON_US + 31 * 86_400_000_000)
        await door.gate.plan(0, "mail")
        await door.gate.ledger.all_are(UNDELIVERED, SUPPRESSED, ACCEPTED)
        assert (await door.states())["ACCEPTED"] == 1


async def test_reports_become_facts_of_the_leaf_once(door: Receiving) -> None:
    door.person(0)
    effect = await door.gate.plan(0)
    async with door.dispatching():
        await door.gate.ledger.all_are(ACCEPTED)
    await door.take([outcome(effect.effect_id)])
    door.gate.peers.log.lose_responses = 1
    with pytest.raises(Exception, match="lost"):
        await door.publisher.publish_once()
    assert await door.publisher.publish_once() == 1
    assert await door.publisher.publish_once() == 0
    (fact,) = door.gate.peers.log.of_kind(DELIVERY_REPORTED)
    assert (fact.leaf_id, fact.workspace_id) == (leaf(0), "school")
    message = DeliveryReported.FromString(fact.payload)
    assert (message.journey_id, message.step_id) == ("recovery", "reminder")
    # A ledger that was lost has the reports of the log again.
    pool = door.gate.ledger.database.pool
    await pool.execute("DELETE FROM report")
    await pool.execute("UPDATE effect SET state = 9")
    async with transaction(pool) as conn:
        await restore_reports(conn, [reported_delivery(fact)] * 2)
    assert await door.states() == {"DELIVERED": 1}
    assert len(await door.reports()) == 1
    assert await door.publisher.publish_once() == 0


async def test_message_whose_answer_was_lost_is_known_by_its_receipt(door: Receiving) -> None:
    door.person(0)
    effect = await door.gate.plan(0, "mail")
    door.provider.status = AttemptStatus.LOST
    async with door.dispatching():
        await door.gate.ledger.all_are(DeliveryState.UNCONFIRMED)
    bounce = (
        "Content-Type: multipart/report; report-type=delivery-status; boundary=b\r\n"
        f"To: bounce+{to_hex(effect.effect_id)}@x.example\r\n\r\n--b\r\n"
        "Content-Type: message/delivery-status\r\n\r\nReporting-MTA: dns; y.example\r\n\r\n"
        "Action: delivered\r\nStatus: 2.0.0\r\n\r\n--b--\r\n"
    )
    await door.take(bounce.encode(), MAIL)
    assert await door.states() == {"DELIVERED": 1}


async def test_destination_pauses_itself_where_too_many_complain(door: Receiving) -> None:
    mail = (
        "Content-Type: multipart/report; report-type=feedback-report; boundary=b\r\n"
        "To: bounce+{key}@x.example\r\n\r\n--b\r\nContent-Type: message/feedback-report\r\n\r\n"
        "Feedback-Type: abuse\r\n\r\n--b--\r\n"
    )
    effects = []
    for n in range(LEAST):
        door.person(n)
        effects.append(await door.gate.plan(n, "mail"))
    async with door.dispatching():
        await door.gate.ledger.all_are(ACCEPTED)
    taken = await door.take(mail.format(key=to_hex(effects[0].effect_id)).encode(), MAIL)
    (consent,) = taken.consents
    assert (consent.namespace, consent.purpose, consent.granted) == (
        *("email", "marketing.email"),
        False,
    )
    await door.publisher.publish_once()
    assert door.paused == [DestinationKey(MAIL.workspace_id, "mail")]


async def test_link_says_what_it_is_and_acts_only_where_it_is_confirmed(door: Receiving) -> None:
    door.person(0)
    effect = await door.gate.plan(0, "mail")
    async with door.dispatching():
        await door.gate.ledger.all_are(ACCEPTED)
    link = UnsubscribeToken(
        "school", "mail", to_hex(effect.effect_id), "marketing", "email", "email", "a@b.cn"
    )
    token = LinkTokens(KEYS).seal(link)
    assert await door.commands.unsubscribe(token, confirmed=False) == (link, None)
    assert not await door.reports()
    _, stated = await door.commands.unsubscribe(token, confirmed=True)
    assert stated is not None
    assert stated[:5] == ("school", "email", "a@b.cn", "marketing.email", False)
    (report,) = await door.reports()
    assert report["what"] == ReportKind.UNSUBSCRIBED.value
    with pytest.raises(NotFound):
        await door.commands.unsubscribe(token[:-2], confirmed=True)


async def test_opens_and_clicks_are_reported_once_and_those_of_machines_apart(
    door: Receiving,
) -> None:
    door.person(0)
    effect = await door.gate.plan(0, "mail")
    async with door.dispatching():
        await door.gate.ledger.all_are(ACCEPTED)
    key, person = to_hex(effect.effect_id), {"user-agent": "Mozilla/5.0 (Macintosh) Safari/605"}
    tokens = {
        link: LinkTokens(KEYS).seal(TrackingToken("school", "mail", key, link, target))
        for link, target in enumerate(("", "https://a.example/1", "https://a.example/2"))
    }
    assert await door.commands.engage(tokens[1], person) == "https://a.example/1"
    # The scanner of the mail server is quicker than a person can be.
    assert [r["is_machine"] for r in await door.reports()] == [True]
    await door.gate.move_to(NOON_US + 60_000_000)
    for _ in range(2):
        for link, token in tokens.items():
            assert await door.commands.engage(token, person) == f"https://a.example/{link}" * bool(
                link
            )
        await door.commands.engage(tokens[0], {"user-agent": "GoogleImageProxy"})
        await door.commands.engage(tokens[2], {}, only_token=True)
    found = [(r["what"], r["reason"], r["is_machine"]) for r in await door.reports()]
    assert sorted(found) == [
        *(("clicked", "link 1", False), ("clicked", "link 1", True), ("clicked", "link 2", False)),
        *(("opened", "", False), ("opened", "", True)),
    ]
    row = await door.gate.ledger.row(effect)  # type: ignore[arg-type]
    assert (row["state"], row["reason"]) == (DELIVERED, "OK")
    await door.publisher.publish_once()
    facts = door.gate.peers.log.of_kind(DELIVERY_REPORTED)
    clicked = report_filter_id("recovery", "mail", ReportKind.CLICKED)
    opened = report_filter_id("recovery", "mail", ReportKind.OPENED)
    # What machines do opens no arm of a journey.
    assert sorted(report_filter(f.payload) for f in facts) == sorted(
        [0, 0, opened, clicked, clicked]
    )


async def test_link_leads_to_its_target_where_the_click_cannot_be_saved(door: Receiving) -> None:
    target = "https://a.example"
    token = LinkTokens(KEYS).seal(TrackingToken("school", "mail", "0a" * 16, 1, target))
    # Of a message that is deleted.
    assert await door.commands.engage(token, {}) == target
    assert not await door.reports()

    class Away:
        async def now(self) -> Any:
            raise RetryableError("the log is away")

    away = ReceiptCommands(door.gate.ledger.database, cast("Any", Away()), KEYS)
    with capture_logs() as lines:
        assert await away.engage(token, {}) == "https://a.example"
    assert [line["event"] for line in lines] == ["engagement_lost"]
    with pytest.raises(NotFound):
        await away.engage(token[:-3], {})


async def test_door_opens_only_with_its_token_and_for_receipts(door: Receiving) -> None:
    for token in ("", "1.abc", LinkTokens(KEYS).seal(UnsubscribeToken(*[""] * 7))):
        with pytest.raises(NotFound):
            await door.commands.take(token, ReceiptRequest(body=b"[]"))
    with pytest.raises(InvalidField, match="no receipt"):
        await door.take(b"{")
