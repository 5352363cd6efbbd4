"""Tests that the worker keeps the contracts of channels, on a ledger and against fakes."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import msgspec
import pytest
from contract.channels.rigs import OpenRig, opened, sealed
from integration.activation.ledger_fixture import Ledger, change, destination, keys_of
from service_fixtures import wait_until
from structlog.testing import capture_logs

from services.activation.delivery import worker as worker_module
from services.activation.delivery.dispatcher import Dispatcher
from services.activation.delivery.render import Unsendable
from services.activation.domain import circuit_breaker
from services.activation.domain.model import DeliveryState, Destination
from services.activation.store.effects import Attempt
from services.kernel.ids import to_hex

STATE = {state.name: state for state in DeliveryState}


class MessageRenderer:
    """Renders the message of a rig for each attempt; or refuses to."""

    def __init__(self, rig: OpenRig, refusal: str = "") -> None:
        self._rig = rig
        self._refusal = refusal

    async def render(
        self, to: Destination, attempts: Sequence[Attempt]
    ) -> list[tuple[Attempt, bytes | Unsendable]]:
        if self._refusal:
            return [(attempt, Unsendable(self._refusal)) for attempt in attempts]
        return [(attempt, msgspec.json.encode(self._rig.message)) for attempt in attempts]


def to_of(rig: OpenRig, **fields: Any) -> Destination:
    return destination(sealed(rig.channel), "d", template_id="t", **fields)


@asynccontextmanager
async def dispatching(
    ledger: Ledger, rig: OpenRig, refusal: str = "", **options: Any
) -> AsyncIterator[Dispatcher]:
    senders = {type(rig.channel): rig.sender}
    renderer = MessageRenderer(rig, refusal)
    async with ledger.dispatching(senders=senders, renderer=renderer, **options) as dispatcher:
        yield dispatcher


async def deliver(
    ledger: Ledger, rig: OpenRig, script: list[str], effects: int = 1, **options: Any
) -> Sequence[Any]:
    """Send effects until all have ended; return their rows."""
    rig.fake.script = script
    to = to_of(rig)
    await ledger.define(to)
    await ledger.add([change(n) for n in range(effects)], to)
    async with dispatching(ledger, rig, **options):
        open_ = {DeliveryState.PENDING, DeliveryState.UNKNOWN}
        await ledger.all_are(*(set(DeliveryState) - open_))
    return await ledger.rows()


@pytest.mark.parametrize(
    ("name", "script", "state", "attempts"),
    [
        ("tencent_sms", ["lost"], "UNCONFIRMED", 1),
        ("tencent_sms", ["refused"], "DEAD", 1),
        ("tencent_sms", ["address_dead"], "DEAD", 1),
        ("wechat_template", ["lost"], "DELIVERED", 2),
        ("wechat_template", ["lost", "lost", "accepted"], "DELIVERED", 3),
    ],
)
async def test_answer_of_a_provider_decides_what_becomes_of_an_effect(
    ledger: Ledger, name: str, script: list[str], state: str, attempts: int
) -> None:
    async with opened(name) as rig:
        (row,) = await deliver(ledger, rig, list(script))
        assert (row["state"], row["attempts"]) == (STATE[state], attempts)
        taken = 0 if state == "DEAD" else 1
        assert len(rig.fake.taken) == taken, "the receiver has the message once, or not at all"


async def test_provider_that_can_be_queried_is_queried_before_a_repeat(ledger: Ledger) -> None:
    """Of two messages without an answer the provider has taken one."""
    async with opened("aliyun_sms") as rig:
        # The fake knows at once what it has taken.
        contract = replace(rig.channel.contract, known_after_s=0.0)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(type(rig.channel), "contract", contract)
            rows = await deliver(ledger, rig, ["lost", "unanswered"], effects=2)
        assert {row["state"] for row in rows} == {DeliveryState.ACCEPTED}
        assert set(Counter(key for key, _ in rig.fake.taken).values()) == {1}
        assert {key for key, _ in rig.fake.taken} == {to_hex(row["effect_id"]) for row in rows}


async def test_killed_attempt_of_a_channel_that_sends_repeats_is_not_repeated(
    ledger: Ledger,
) -> None:
    """An attempt was begun, and the process died before its result was recorded."""
    async with opened("twilio_sms") as rig:
        to = to_of(rig)
        await ledger.define(to)
        await ledger.add([change(1)], to)
        await ledger.database.pool.execute(
            "UPDATE effect SET state = 2, attempts = 1, payload = $1, due_at = now()",
            msgspec.json.encode(rig.message),
        )
        async with dispatching(ledger, rig):
            await ledger.all_are(DeliveryState.UNCONFIRMED)
        (row,) = await ledger.rows()
        assert row["reason"] == worker_module.UNCONFIRMED_REASON
        assert not rig.fake.taken


async def test_wrong_credentials_pause_the_destination_and_end_no_effect(ledger: Ledger) -> None:
    async with opened("tencent_sms") as rig:
        to = to_of(rig)
        await ledger.define(to)
        await ledger.add([change(n) for n in range(100)], to)
        rig.fake.script = ["credentials"] * 1_000
        with capture_logs() as lines:
            async with dispatching(ledger, rig, max_in_flight=4):

                async def is_paused() -> bool:
                    reason = "reason LIKE 'AuthFailure%' AND state = 1"
                    return bool(
                        await ledger.database.pool.fetchval(
                            f"SELECT count(*) > 0 FROM effect WHERE {reason}"
                        )
                    )

                await wait_until(is_paused)
                requests = len(rig.fake.bodies)
                assert requests <= 4, "those in flight, and no others"
                assert await ledger.states() == {"PENDING": 100}
                rows = await ledger.rows()
                assert {row["attempts"] for row in rows} == {0}, "no attempt is used up"
                # The next version has other credentials, and everything is sent at once.
                rig.fake.script = []
                await ledger.define(replace(to, version=2))
                await ledger.all_are(DeliveryState.ACCEPTED)
        assert len(rig.fake.taken) == 100
        assert any(line["event"] == "destination_paused" for line in lines)
        assert circuit_breaker.CREDENTIALS_OPEN_S >= 60.0


async def test_robot_gets_no_more_posts_than_its_pace_from_all_replicas(ledger: Ledger) -> None:
    async with opened("dingtalk_robot") as rig:
        pace = rig.channel.contract.pace
        assert pace is not None
        to = to_of(rig)
        await ledger.define(to)
        await ledger.add([change(n) for n in range(60)], to)
        async with dispatching(ledger, rig) as one, dispatching(ledger, rig) as two:
            for each in (one, two):
                each.wake(keys_of(to))
            await wait_until(lambda: len(rig.fake.taken) >= pace.burst)
        assert len(rig.fake.taken) <= pace.limit
        assert not rig.fake.problems
        assert (await ledger.states())["PENDING"] >= 60 - pace.limit


async def test_message_that_cannot_be_rendered_for_a_person_is_not_sent(ledger: Ledger) -> None:
    async with opened("tencent_sms") as rig:
        (row,) = await deliver(ledger, rig, [], refusal="template: person.nick")
        assert (row["state"], row["attempts"]) == (DeliveryState.SUPPRESSED, 0)
        assert row["reason"] == "template: person.nick"
        assert not rig.fake.bodies
