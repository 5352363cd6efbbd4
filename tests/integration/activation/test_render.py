"""What a message says of a person, asked of profile over gRPC."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator

import pytest_asyncio
from integration.activation.fake_peers import Peers, peers
from integration.activation.ledger_world import Ledger, change, hook, profile
from integration.activation.receiver import Receiver

from services.activation.delivery.render import Renderer
from services.activation.domain.model import Effect, State
from services.chassis.rpc.channel import ServiceChannel, open_channel
from services.chassis.testing import wait_until
from services.kernel.ids import to_hex


@pytest_asyncio.fixture(loop_scope="session")
async def around() -> AsyncIterator[Peers]:
    async with peers() as there:
        yield there


@pytest_asyncio.fixture(loop_scope="session")
async def profiles(around: Peers) -> AsyncIterator[ServiceChannel]:
    async with open_channel(around.url, "a-key-of-this-test", timeout_s=5.0) as opened:
        yield opened


async def test_a_message_carries_the_person_and_only_chosen_traits(
    ledger: Ledger, receiver: Receiver, around: Peers, profiles: ServiceChannel
) -> None:
    around.profile.add(profile(1), city='"北京市"'.encode(), income=b"99", score=b'{"a":[1.50]}')
    to = hook(receiver.url(), traits=("city", "score", "unknown"), content=b'{"coupon":"T-50"}')
    await ledger.define(to)
    await ledger.add([change(1)], to)
    async with ledger.dispatching(bodies=Renderer(profiles)):
        await ledger.all_are(State.DELIVERED)
    (got,) = receiver.got
    data = json.loads(got.body)["data"]
    assert data["profile"] == {
        "id": to_hex(profile(1)),
        "identifiers": [{"namespace": "email", "value": f"{to_hex(profile(1))[:4]}@b.cn"}],
        "traits": {"city": "北京市", "score": {"a": [1.5]}},
    }
    assert data["content"] == {"coupon": "T-50"}
    assert b"income" not in got.body
    assert b"1.50" in got.body, "a value goes out as it came in"
    assert around.profile.asked == [("school", [to_hex(profile(1))])]


async def test_people_are_asked_for_together(
    ledger: Ledger, receiver: Receiver, around: Peers, profiles: ServiceChannel
) -> None:
    to = hook(receiver.url())
    await ledger.define(to)
    for n in range(100):
        around.profile.add(profile(n))
    await ledger.add([change(n) for n in range(100)], to)
    async with ledger.dispatching(bodies=Renderer(profiles)):
        await ledger.all_are(State.DELIVERED)
    assert sum(len(ids) for _, ids in around.profile.asked) == 100
    assert len(around.profile.asked) <= 3


async def test_who_became_part_of_another_is_told_with_that_ones_identifiers(
    ledger: Ledger, receiver: Receiver, around: Peers, profiles: ServiceChannel
) -> None:
    around.profile.add(profile(2), city=b'"x"')
    around.profile.heirs[to_hex(profile(1))] = to_hex(profile(2))
    to = hook(receiver.url())
    await ledger.define(to)
    await ledger.add([change(1), change(3)], to)
    async with ledger.dispatching(bodies=Renderer(profiles)):
        await ledger.all_are(State.DELIVERED)
    told = {p["id"]: p for p in (json.loads(g.body)["data"]["profile"] for g in receiver.got)}
    assert told[to_hex(profile(1))]["traits"] == {"city": "x"}
    assert told[to_hex(profile(3))] == {"id": to_hex(profile(3))}, "nobody knows them any more"


REASON = "the message could not be made: SERVICE_UNAVAILABLE"


async def put_back(ledger: Ledger, made: Effect) -> bool:
    row = await ledger.row(made)
    return (row["state"], row["attempts"], row["reason"]) == (State.PENDING, 0, REASON)


async def test_profile_away_leaves_it_pending_with_a_reason(
    ledger: Ledger, receiver: Receiver, around: Peers, profiles: ServiceChannel
) -> None:
    to = hook(receiver.url())
    await ledger.define(to)
    (made,) = await ledger.add([change(1)], to)
    around.profile.away = True
    async with ledger.dispatching(bodies=Renderer(profiles)):
        await wait_until(lambda: put_back(ledger, made))
        assert not receiver.got
        around.profile.away = False
        await ledger.all_are(State.DELIVERED)
    assert (await ledger.row(made))["attempts"] == 1


async def test_no_profile_at_all_leaves_it_pending_with_a_reason(
    ledger: Ledger, receiver: Receiver
) -> None:
    to = hook(receiver.url())
    await ledger.define(to)
    (made,) = await ledger.add([change(1)], to)
    async with (
        open_channel("127.0.0.1:1", "a-key-of-this-test", timeout_s=2.0) as nobody,
        ledger.dispatching(bodies=Renderer(nobody)),
    ):
        await wait_until(lambda: put_back(ledger, made))
    assert not receiver.got


async def test_the_first_message_is_kept_while_the_person_changes(
    ledger: Ledger, receiver: Receiver, around: Peers, profiles: ServiceChannel
) -> None:
    around.profile.add(profile(1), city=b'"old"')
    receiver.script = [500, 500, 200]
    to = hook(receiver.url())
    await ledger.define(to)
    await ledger.add([change(1)], to)
    async with ledger.dispatching(bodies=Renderer(profiles)):
        await wait_until(lambda: receiver.got)
        around.profile.add(profile(1), city=b'"new"')
        await ledger.all_are(State.DELIVERED)
    assert {json.loads(g.body)["data"]["profile"]["traits"]["city"] for g in receiver.got} == {
        "old"
    }
    assert len(around.profile.asked) == 1
