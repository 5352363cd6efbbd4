"""Tests the gate in front of attempts: consents, caps, hours, pauses, validity, missing values."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator

import pytest_asyncio
from integration.activation.gated_ledger import NOON_US, GatedLedger, gated, leaf
from integration.activation.ledger_fixture import Ledger, W, destination, hook, keys_of
from integration.activation.receiver import Receiver
from service_fixtures import wait_until
from structlog.testing import capture_logs

from services.activation.channels import Message, Sender
from services.activation.codec.bus import delivery_to_proto
from services.activation.delivery.admission import Admitted
from services.activation.domain.journeys.catalogue import Overdue
from services.activation.domain.message_channels import Smtp
from services.activation.domain.model import DeliveryState, Destination
from services.activation.domain.policy.gate import Flow
from services.activation.domain.transitions import AttemptResult, AttemptStatus
from services.activation.store import gate as gate_store
from services.activation.store.effects import claim, end_attempts, list_effects
from services.activation.store.journeys import FlowKind
from services.chassis.postgres.database import transaction
from services.kernel.ids import to_hex
from services.kernel.time import HOUR_US

SUPPRESSED, HELD, DELIVERED = (
    DeliveryState.SUPPRESSED,
    DeliveryState.HELD,
    DeliveryState.DELIVERED,
)
REMINDER = {"steps": [{"send": {"id": "reminder", "to": "coupon", "template": "cart"}}]}
GRANTED = {"purposes": {"marketing": {"consent": "granted"}}}
IMPLIED = {"purposes": {"marketing": {"consent": "implied"}}}


@pytest_asyncio.fixture(loop_scope="session")
async def gate(ledger: Ledger, receiver: Receiver) -> AsyncIterator[GatedLedger]:
    """A gate with one destination, and the template of the reminder."""
    async with gated(ledger) as opened:
        await ledger.define(hook(receiver.url()))
        await opened.templates(cart="{{ person.name }}: {{ entry.total }}")
        yield opened


def person(gate: GatedLedger, n: int) -> None:
    gate.peers.profile.add(leaf(n), name=b'"Li"')


async def test_message_of_a_run_has_the_person_the_entry_and_the_step(
    gate: GatedLedger, receiver: Receiver
) -> None:
    await gate.define(REMINDER)
    await gate.policy(IMPLIED)
    person(gate, 0)
    effect = await gate.plan(0)
    async with gate.dispatching():
        await gate.ledger.all_are(DELIVERED)
    (received,) = receiver.received
    assert received.key == to_hex(effect.effect_id)
    message = json.loads(received.body)
    assert message["type"] == "journey.message"
    assert message["data"]["message"]["text"] == "Li: 12"
    assert (message["data"]["journey"], message["data"]["step"]) == ("recovery", "reminder")
    row = await gate.ledger.row(effect)  # type: ignore[arg-type]
    assert row["begun_at_us"] == NOON_US


async def test_step_that_names_a_version_of_its_template_sends_that_one(
    gate: GatedLedger, receiver: Receiver
) -> None:
    names = {"pinned": "cart@1", "newest": "cart", "unknown": "cart@9"}
    sends = [{"send": {"id": id_, "to": "coupon", "template": t}} for id_, t in names.items()]
    await gate.define({"steps": [step for send in sends for step in (send, {"wait": "1h"})]})
    await gate.policy(IMPLIED)
    await gate.templates(version=2, cart="new {{ person.name }}")
    person(gate, 0)
    effects = [await gate.plan(0, id_, at_us=NOON_US - 3 + n) for n, id_ in enumerate(names)]
    async with gate.dispatching():
        await gate.ledger.all_are(DELIVERED, SUPPRESSED)
    texts = [json.loads(each.body)["data"]["message"]["text"] for each in receiver.received]
    assert texts == ["Li: 12", "new Li"]
    rows = [await gate.ledger.row(effect) for effect in effects]  # type: ignore[arg-type]
    assert [row["template_version"] for row in rows] == [1, 2, None]
    assert rows[2]["reason"] == "the template is not defined, or is retired"


async def test_message_without_consent_is_suppressed_with_the_withdrawal(
    gate: GatedLedger, receiver: Receiver
) -> None:
    await gate.define(REMINDER)
    await gate.policy(GRANTED)
    for n in range(4):
        person(gate, n)
    gate.peers.profile.consent(leaf(1), "marketing", True, bytes(16))
    gate.peers.profile.consent(leaf(2), "marketing", False, b"w" * 16)
    # A refusal in another channel says nothing about this one.
    gate.peers.profile.consent(leaf(3), "marketing", True, bytes(16))
    gate.peers.profile.consent(leaf(3), "marketing.email", False, bytes(16))
    effects = [await gate.plan(n) for n in range(4)]
    async with gate.dispatching():
        await gate.ledger.all_are(DELIVERED, SUPPRESSED)
    rows = [await gate.ledger.row(effect) for effect in effects]  # type: ignore[arg-type]
    assert [row["state"] for row in rows] == [SUPPRESSED, DELIVERED, SUPPRESSED, DELIVERED]
    assert rows[0]["reason"] == "no_consent"
    assert rows[2]["reason"] == "consent_withdrawn:" + to_hex(b"w" * 16)
    assert rows[0]["begun_at_us"] is None


async def test_withdrawal_that_is_acknowledged_stops_every_attempt_that_begins_after_it(
    gate: GatedLedger, receiver: Receiver
) -> None:
    """A thousand messages are queued; the withdrawal comes while the receiver is slow."""
    await gate.define(REMINDER)
    await gate.policy(GRANTED)
    receiver.script = [receiver.hang]
    for n in range(1_000):
        person(gate, n)
        gate.peers.profile.consent(leaf(n), "marketing", True, bytes(16))
        await gate.plan(n)
    async with gate.dispatching(max_in_flight=8):
        await wait_until(lambda: _has(receiver, 8))
        withdrawn_us = NOON_US + 1
        await gate.move_to(withdrawn_us)
        for n in range(1_000):
            gate.peers.profile.consent(leaf(n), "marketing", False, b"w" * 16)
        in_flight = await gate.ledger.rows(state=DeliveryState.UNKNOWN.value)
        receiver.released.set()
        await gate.ledger.all_are(DELIVERED, SUPPRESSED)
    rows = await gate.ledger.rows()
    begun = [row for row in rows if row["begun_at_us"] is not None]
    assert len(begun) == len(receiver.received) == 8
    # Those in flight are listed.
    assert {row["effect_id"] for row in in_flight} == {row["effect_id"] for row in begun}
    assert all(row["begun_at_us"] < withdrawn_us for row in begun)
    assert {row["reason"] for row in rows if row["begun_at_us"] is None} == {
        "consent_withdrawn:" + to_hex(b"w" * 16)
    }


async def _has(receiver: Receiver, count: int) -> bool:
    return len(receiver.received) >= count


async def test_caps_under_fire_let_the_message_of_the_greatest_priority_pass(
    gate: GatedLedger, receiver: Receiver
) -> None:
    """200 journeys of one person in four destinations are due at one instant; four replicas."""
    await gate.policy({"purposes": {"marketing": {"consent": "implied", "caps": [
        {"at_most": 1, "in": "24h"}
    ]}}})  # fmt: skip
    await gate.ledger.define(*(hook(receiver.url(), f"to{n}") for n in range(4)))
    for n in range(200):
        send = {"id": "reminder", "to": f"to{n % 4}", "template": "cart"}
        await gate.define({"id": f"j{n}", "priority": n // 2, "steps": [{"send": send}]})
    leaves = [leaf(n) for n in range(200)]
    gate.peers.profile.add(leaf(0), *leaves, name=b'"Li"')
    for n in range(200):
        await gate.plan(n, journey_id=f"j{n}")
    async with (
        gate.dispatching(), gate.dispatching(), gate.dispatching(), gate.dispatching()
    ):  # fmt: skip
        await gate.ledger.all_are(DELIVERED, SUPPRESSED)
    reasons = await gate.reasons()
    [won] = [name.partition(".")[0] for name, (state, _) in reasons.items() if state == DELIVERED]
    assert won in ("j198", "j199"), "they have the greatest priority"
    winner = next(row for row in await gate.ledger.rows(journey_id=won))
    lost = {reason for state, reason in reasons.values() if state == SUPPRESSED}
    assert lost == {"capped:" + to_hex(winner["effect_id"])}


async def test_person_named_by_an_identifier_without_events_has_their_consent_and_cap(
    gate: GatedLedger, receiver: Receiver
) -> None:
    """A profile has the id of an identifier, and an entry by a membership is one of that id."""
    await gate.policy({"purposes": {"marketing": {"consent": "granted", "caps": [
        {"at_most": 1, "in": "24h"}
    ]}}})  # fmt: skip
    send = {"id": "reminder", "to": "coupon", "template": "cart"}
    for n in (0, 1):
        await gate.define({"id": f"j{n}", "priority": 50 + n, "steps": [{"send": send}]})
    person(gate, 0)
    gate.peers.profile.consent(leaf(0), "marketing", True, b"f" * 16)
    gate.peers.profile.profiles[to_hex(leaf(0))].other_identifier_ids.append(to_hex(leaf(1)))
    by_event = await gate.plan(0, journey_id="j0")
    by_membership = await gate.plan(1, journey_id="j1")
    async with gate.dispatching():
        await gate.ledger.all_are(DELIVERED, SUPPRESSED)
    capped = "capped:" + to_hex(by_membership.effect_id)
    assert await gate.reasons() == {
        "j0.reminder": (SUPPRESSED, capped),
        "j1.reminder": (DELIVERED, "HTTP 200"),
    }
    assert by_event.leaf_id != by_membership.leaf_id


async def test_tasks_and_tags_of_a_run_count_for_no_cap(
    gate: GatedLedger, receiver: Receiver
) -> None:
    await gate.policy({"purposes": {"marketing": {"consent": "implied", "caps": [
        {"at_most": 1, "in": "24h"}
    ]}}})  # fmt: skip
    await gate.ledger.define(hook(receiver.url()))
    send = {"id": "reminder", "to": "coupon", "template": "cart"}
    await gate.define({"steps": [{"send": send}]})
    gate.peers.profile.add(leaf(0), name=b'"Li"')
    # Effects without a destination are facts of the log: one has begun, and one is due before.
    for at_us in (NOON_US - 2 * HOUR_US, NOON_US - HOUR_US):
        await gate.plan(0, at_us=at_us, destination_id="", priority=99)
    await gate.ledger.database.pool.execute(
        "UPDATE effect SET state = 3, begun_at_us = $1 WHERE changed_at_us = $2",
        *(NOON_US - 2 * HOUR_US, NOON_US - 2 * HOUR_US),
    )
    message = await gate.plan(0)
    async with gate.dispatching():
        await wait_until(lambda: is_delivered(gate, message.effect_id))


async def is_delivered(gate: GatedLedger, effect_id: bytes) -> bool:
    [row] = await gate.ledger.rows(effect_id=effect_id)
    return bool(row["state"] == DELIVERED)


async def test_message_behind_another_one_of_its_destination_leaves_it_the_room_below_a_cap(
    gate: GatedLedger, receiver: Receiver
) -> None:
    """The order of a destination goes before priority: otherwise both would wait for each other."""
    await gate.policy({"purposes": {"marketing": {"consent": "implied", "caps": [
        {"at_most": 1, "in": "24h"}
    ]}}})  # fmt: skip
    for name, priority in (("low", 10), ("high", 90)):
        send = {"id": "reminder", "to": "coupon", "template": "cart"}
        await gate.define({"id": name, "priority": priority, "steps": [{"send": send}]})
    person(gate, 0)
    await gate.plan(0, journey_id="low", at_us=NOON_US - 2)
    await gate.plan(0, journey_id="high", at_us=NOON_US - 1)
    async with gate.dispatching():
        await gate.ledger.all_are(DELIVERED, SUPPRESSED)
    states = {name: state for name, (state, _) in (await gate.reasons()).items()}
    assert states == {"low.reminder": DELIVERED, "high.reminder": SUPPRESSED}


async def test_message_waits_for_a_more_important_one_until_that_is_long_overdue(
    gate: GatedLedger, receiver: Receiver
) -> None:
    await gate.policy({"purposes": {"marketing": {"consent": "implied", "caps": [
        {"at_most": 1, "in": "24h"}
    ]}}})  # fmt: skip
    await gate.ledger.define(hook(receiver.url(), "other"))
    for name, to, priority in (("low", "coupon", 10), ("high", "other", 90)):
        send = {"id": "reminder", "to": to, "template": "cart"}
        await gate.define({"id": name, "priority": priority, "steps": [{"send": send}]})
    person(gate, 0)
    low = await gate.plan(0, journey_id="low")
    high = await gate.plan(0, journey_id="high")
    to = hook(receiver.url())

    async def admit() -> Admitted:
        async with transaction(gate.ledger.database.pool) as conn:
            claimed = await claim(conn, *keys_of(to), 10, lease_s=60.0, blocked_recheck_s=1.0)
        admitted = await gate.admission.admit(to, claimed.attempts, b"")
        async with transaction(gate.ledger.database.pool) as conn:
            await end_attempts(conn, admitted.ended)
            await conn.execute("UPDATE effect SET due_at = now() WHERE state = 1")
        return admitted

    ((_, transition),) = (await admit()).ended
    assert (transition.state, transition.reason) == (DeliveryState.PENDING, "priority")
    await gate.ledger.database.pool.execute(
        "UPDATE effect SET due_at = now() - interval '1 h' WHERE effect_id = $1", high.effect_id
    )
    (begun,) = (await admit()).begun
    assert begun.attempt.effect_id == low.effect_id


async def test_caps_are_counted_under_the_lock_of_the_person(
    gate: GatedLedger, receiver: Receiver
) -> None:
    """Another worker has a leaf of the person, and begins a message before this one counts."""
    await gate.policy({"purposes": {"marketing": {"consent": "implied", "caps": [
        {"at_most": 1, "in": "24h"}
    ]}}})  # fmt: skip
    send = {"id": "reminder", "to": "coupon", "template": "cart"}
    await gate.define(*({"id": name, "steps": [{"send": send}]} for name in ("one", "two")))
    gate.peers.profile.add(leaf(0), leaf(0), leaf(1), name=b'"Li"')
    first = await gate.plan(0, journey_id="one")
    await gate.plan(1, journey_id="two")
    pool, to = gate.ledger.database.pool, hook(receiver.url())
    await pool.execute("UPDATE effect SET state = 7 WHERE effect_id = $1", first.effect_id)
    async with transaction(pool) as conn:
        claimed = await claim(conn, *keys_of(to), 10, lease_s=60.0, blocked_recheck_s=1.0)
    async with transaction(pool) as conn:
        await gate_store.lock_persons_of(conn, [leaf(0)])
        admitting = asyncio.create_task(gate.admission.admit(to, claimed.attempts, b""))

        async def waits() -> bool:
            query = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
            return bool(await conn.fetchval(query)) or admitting.done()

        await wait_until(waits)
        assert not admitting.done()
        await conn.execute(
            "UPDATE effect SET state = 9, begun_at_us = $2 WHERE effect_id = $1",
            *(first.effect_id, NOON_US),
        )
    ((_, transition),) = (await admitting).ended
    assert transition.reason == "capped:" + to_hex(first.effect_id)


async def test_quiet_hours_hold_a_message_until_they_end_on_the_clock_of_the_log(
    gate: GatedLedger, receiver: Receiver
) -> None:
    await gate.define(REMINDER)
    quiet = {"from": "11:00", "to": "13:00"}
    purposes = {"marketing": {"consent": "implied", "quiet": quiet}}
    await gate.policy({"zone": {"else": "Asia/Shanghai"}, "purposes": purposes})
    person(gate, 0)
    effect = await gate.plan(0)
    async with gate.dispatching():
        await gate.ledger.all_are(HELD)
        row = await gate.ledger.row(effect)  # type: ignore[arg-type]
        assert (row["reason"], row["held_until_us"]) == ("closed_hours", NOON_US + HOUR_US)
        async with transaction(gate.ledger.database.pool) as conn:
            (listed,) = await list_effects(conn, W, 10)
        shown = delivery_to_proto(listed)
        assert (shown.journey_id, shown.step_id, shown.held_until_us) == (
            *("recovery", "reminder"),
            NOON_US + HOUR_US,
        )
        assert row["attempts"] == 0
        await gate.move_to(NOON_US + HOUR_US)
        await gate.ledger.all_are(DELIVERED)


async def test_pause_holds_and_its_end_decides_about_what_was_due_meanwhile(
    gate: GatedLedger, receiver: Receiver
) -> None:
    """T8: nothing is sent in a pause of three days; afterwards the resumption decides."""
    send = {"id": "reminder", "to": "coupon", "template": "cart", "valid": "12h"}
    await gate.define(*(
        {"id": name, "steps": [{"send": send}]} for name in ("send", "skip", "reschedule", "stop")
    ))  # fmt: skip
    await gate.policy(IMPLIED)
    for n in range(4):
        person(gate, n)
    for name in ("send", "skip", "reschedule", "stop"):
        await gate.flow(FlowKind.JOURNEY, name, Flow.PAUSED)
    await gate.move_to(NOON_US + HOUR_US)
    for n, name in enumerate(("send", "skip", "reschedule", "stop")):
        await gate.plan(n, journey_id=name)
    async with gate.dispatching():
        await gate.ledger.all_are(HELD)
        await gate.move_to(NOON_US + 72 * HOUR_US)
        assert not receiver.received
        for overdue in Overdue:
            await gate.flow(FlowKind.JOURNEY, overdue.value, Flow.OPEN, overdue)
        await gate.flow(FlowKind.JOURNEY, "stop", Flow.STOPPED)
        await gate.ledger.all_are(DELIVERED, SUPPRESSED)
    assert await gate.reasons() == {
        "send.reminder": (DELIVERED, "HTTP 200"),
        "skip.reminder": (SUPPRESSED, "expired"),
        "reschedule.reminder": (DELIVERED, "HTTP 200"),
        "stop.reminder": (SUPPRESSED, "stopped"),
    }


async def test_missing_value_suppresses_the_message_and_sends_the_step_instead_of_it(
    gate: GatedLedger, receiver: Receiver
) -> None:
    await gate.templates(nick="Hi {{ person.nick }}")
    first = {"id": "reminder", "to": "coupon", "template": "nick", "else_to": "other"}
    other = {"id": "other", "to": "coupon", "template": "cart", "together": True}
    await gate.define({"steps": [{"send": first}, {"wait": "1h"}, {"send": other}]})
    await gate.policy(IMPLIED)
    person(gate, 0)
    await gate.plan(0)
    async with gate.dispatching():
        await gate.ledger.all_are(DELIVERED, SUPPRESSED)
        await wait_until(lambda: _delivered(gate, "recovery.other"))
    assert (await gate.reasons())["recovery.reminder"] == (SUPPRESSED, "template: person.nick")
    (received,) = receiver.received
    assert json.loads(received.body)["data"]["message"]["text"] == "Li: 12"


async def _delivered(gate: GatedLedger, name: str) -> bool:
    return (await gate.reasons()).get(name, (0, ""))[0] == DELIVERED


async def test_person_who_refuses_profiling_gets_the_plain_variant(
    gate: GatedLedger, receiver: Receiver
) -> None:
    await gate.define(REMINDER)
    await gate.policy(IMPLIED)
    for n in range(2):
        person(gate, n)
    gate.peers.profile.consent(leaf(1), "profiling", False, b"p" * 16)
    await gate.plan(1)
    async with gate.dispatching():
        await gate.ledger.all_are(SUPPRESSED)
        await gate.templates(**{"cart.plain": "Our new coats"})
        await gate.plan(1, at_us=NOON_US + 1)
        await gate.plan(0)
        await gate.ledger.all_are(DELIVERED, SUPPRESSED)
    texts = {json.loads(r.body)["data"]["message"]["text"] for r in receiver.received}
    assert texts == {"Our new coats", "Li: 12"}


async def test_effect_that_cannot_be_read_holds_back_no_other(
    gate: GatedLedger, receiver: Receiver
) -> None:
    await gate.define(REMINDER)
    await gate.policy(IMPLIED)
    for n in range(3):
        person(gate, n)
        await gate.plan(n, **({"variables": [1]} if n == 1 else {}))
    # Each failed attempt is logged with its frames, which takes longer than the attempt.
    with capture_logs():
        async with gate.dispatching():
            await gate.ledger.all_are(DELIVERED, DeliveryState.DEAD)
    assert await gate.ledger.states() == {"DELIVERED": 2, "DEAD": 1}


class LosingProvider(Sender):
    """Takes every message, and loses its first answer."""

    def __init__(self) -> None:
        self.taken: list[str] = []

    async def send(self, to: Destination, message: Message) -> AttemptResult:
        self.taken.append(message.key)
        lost = self.taken.count(message.key) == 1
        return AttemptResult(AttemptStatus.LOST if lost else AttemptStatus.DELIVERED, "answer")


async def test_lost_answer_is_repeated_only_for_what_needs_no_consent(gate: GatedLedger) -> None:
    """A channel that drops no repeat: marketing is left as it is, a duty is sent again."""
    mail = Smtp("mail.x.example", from_address="shop@x.example")
    await gate.ledger.define(destination(mail, "mail", template_id="cart"))
    send = {"id": "reminder", "to": "mail", "template": "cart"}
    await gate.define(
        {"id": "offer", "steps": [{"send": send}]},
        {"id": "bill", "purpose": "duty", "steps": [{"send": send}]},
    )
    purposes = {"marketing": {"consent": "implied"}, "duty": {"consent": "none"}}
    await gate.policy({"purposes": purposes})
    for n, journey_id in enumerate(("offer", "bill")):
        person(gate, n)
        await gate.plan(n, journey_id=journey_id)
    provider = LosingProvider()
    async with gate.dispatching(senders={Smtp: provider}):
        await gate.ledger.all_are(DeliveryState.UNCONFIRMED, DeliveryState.ACCEPTED)
    states = {name: state for name, (state, _) in (await gate.reasons()).items()}
    assert states == {
        "offer.reminder": DeliveryState.UNCONFIRMED,
        "bill.reminder": DeliveryState.ACCEPTED,
    }
    assert len(provider.taken) == 3


async def test_message_that_may_have_been_sent_is_not_sent_again_after_it_was_held(
    gate: GatedLedger,
) -> None:
    mail = Smtp("mail.x.example", from_address="shop@x.example")
    await gate.ledger.define(destination(mail, "mail", template_id="cart"))
    await gate.define({"steps": [{"send": {"id": "reminder", "to": "mail", "template": "cart"}}]})
    quiet = {"from": "11:00", "to": "13:00"}
    purposes = {"marketing": {"consent": "implied", "quiet": quiet}}
    await gate.policy({"zone": {"else": "Asia/Shanghai"}, "purposes": purposes})
    person(gate, 0)
    effect = await gate.plan(0)
    # The process was killed in the midst of the attempt.
    await gate.ledger.database.pool.execute(
        "UPDATE effect SET state = 2, attempts = 1, payload = '{}', due_at = now()"
        " WHERE effect_id = $1",
        effect.effect_id,
    )
    provider = LosingProvider()
    async with gate.dispatching(senders={Smtp: provider}):
        await gate.ledger.all_are(HELD)
        await gate.move_to(NOON_US + HOUR_US)
        await gate.ledger.all_are(DeliveryState.UNCONFIRMED)
    assert provider.taken == []
