"""Tests the payload of a message, rendered from profiles over gRPC."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest_asyncio
from integration.activation.fake_peers import FakePeers, fake_peers
from integration.activation.gated_ledger import template
from integration.activation.ledger_fixture import FakeRenderer, Ledger, change, hook, profile
from integration.activation.receiver import Receiver
from onefold.type.v1.identifier_pb2 import Identifier
from service_fixtures import wait_until

from services.activation.delivery.render import Renderer, Unsendable
from services.activation.domain.message_channels import Smtp
from services.activation.domain.model import DeliveryState, Effect, Trigger
from services.activation.domain.templates import Template
from services.activation.domain.transitions import RetryPolicy
from services.activation.store.effects import Attempt
from services.chassis.rpc.channel import ServiceChannel, open_channel
from services.kernel.errors import ServiceUnavailable
from services.kernel.ids import to_hex
from services.kernel.tokens import Token


@pytest_asyncio.fixture(loop_scope="session")
async def peers() -> AsyncIterator[FakePeers]:
    async with fake_peers() as running:
        yield running


@pytest_asyncio.fixture(loop_scope="session")
async def profiles(peers: FakePeers) -> AsyncIterator[ServiceChannel]:
    async with open_channel(peers.url, "a-key-of-this-test", timeout_s=5.0) as opened:
        yield opened


async def no_templates(workspace_id: str, template_id: str) -> None:
    """Load templates where there are none."""


async def log_head() -> Token:
    """Return the end of a log with one shard."""
    return Token.from_offsets({0: 7})


async def test_payload_has_identifiers_and_chosen_traits_only(
    ledger: Ledger, receiver: Receiver, peers: FakePeers, profiles: ServiceChannel
) -> None:
    peers.profile.add(profile(1), city='"北京市"'.encode(), income=b"99", score=b'{"a":[1.50]}')
    to = hook(receiver.url(), traits=("city", "score", "unknown"), content=b'{"coupon":"T-50"}')
    await ledger.define(to)
    await ledger.add([change(1)], to)
    async with ledger.dispatching(renderer=Renderer(profiles, no_templates, log_head)):
        await ledger.all_are(DeliveryState.DELIVERED)
    (received,) = receiver.received
    data = json.loads(received.body)["data"]
    assert data["profile"] == {
        "id": to_hex(profile(1)),
        "identifiers": [{"namespace": "email", "value": f"{to_hex(profile(1))[:4]}@b.cn"}],
        "traits": {"city": "北京市", "score": {"a": [1.5]}},
    }
    assert data["content"] == {"coupon": "T-50"}
    assert b"income" not in received.body
    assert b"1.50" in received.body, "the value is sent unchanged"
    assert peers.profile.requests == [("school", [to_hex(profile(1))])]


async def test_profiles_are_requested_in_batches(
    ledger: Ledger, receiver: Receiver, peers: FakePeers, profiles: ServiceChannel
) -> None:
    to = hook(receiver.url())
    await ledger.define(to)
    for n in range(100):
        peers.profile.add(profile(n))
    await ledger.add([change(n) for n in range(100)], to)
    async with ledger.dispatching(
        renderer=Renderer(profiles, no_templates, log_head), max_in_flight=100
    ):
        await ledger.all_are(DeliveryState.DELIVERED)
    assert sum(len(ids) for _, ids in peers.profile.requests) == 100
    assert len(peers.profile.requests) <= 3


async def test_payload_of_a_merged_profile_has_the_traits_of_the_other_profile(
    ledger: Ledger, receiver: Receiver, peers: FakePeers, profiles: ServiceChannel
) -> None:
    peers.profile.add(profile(2), city=b'"x"')
    peers.profile.profiles[to_hex(profile(2))].other_identifier_ids.append(to_hex(profile(1)))
    to = hook(receiver.url())
    await ledger.define(to)
    await ledger.add([change(1), change(3)], to)
    async with ledger.dispatching(renderer=Renderer(profiles, no_templates, log_head)):
        await ledger.all_are(DeliveryState.DELIVERED)
    sent = [json.loads(each.body)["data"]["profile"] for each in receiver.received]
    by_id = {rendered["id"]: rendered for rendered in sent}
    assert by_id[to_hex(profile(1))]["traits"] == {"city": "x"}
    assert by_id[to_hex(profile(3))] == {"id": to_hex(profile(3))}, "the profile has no data"


async def test_refusal_rests_on_all_that_the_log_had_at_the_attempt(
    peers: FakePeers, profiles: ServiceChannel
) -> None:
    """An address is learnt in another shard than the event that makes the person a member."""

    async def load(workspace_id: str, template_id: str) -> Template:
        return template(template_id, "hello")

    for n in (1, 2, 3):
        peers.profile.add(profile(n))
        peers.profile.profiles[to_hex(profile(n))].ClearField("identifiers")
    peers.profile.profiles[to_hex(profile(1))].identifiers.add(namespace="email", value="li@b.cn")
    # What profile has folded in the other shard, once it has reached the end of the log.
    peers.profile.learnt[to_hex(profile(2))] = Identifier(namespace="email", value="wu@b.cn")
    to = replace(hook(""), channel=Smtp(host="mail"), template_id="plain")
    attempts = [
        Attempt(b"%d" % n, 0, "trial", profile(n), Trigger.ENTERED, 1, 1, 1, None)
        for n in (1, 2, 3)
    ]
    rendered = dict(await Renderer(profiles, load, log_head).render(to, attempts))
    results = [rendered[attempt] for attempt in attempts]
    assert [json.loads(r)["to"] for r in results[:2] if isinstance(r, bytes)] == [
        "li@b.cn",
        "wu@b.cn",
    ]
    assert results[2] == Unsendable("the profile has no identifier email")
    assert [len(ids) for _, ids in peers.profile.requests] == [3, 2]


REASON = "rendering failed: SERVICE_UNAVAILABLE"


async def is_requeued(ledger: Ledger, effect: Effect) -> bool:
    row = await ledger.row(effect)
    return (row["state"], row["attempts"], row["reason"]) == (DeliveryState.PENDING, 0, REASON)


async def test_effect_stays_pending_with_a_reason_while_profile_is_away(
    ledger: Ledger, receiver: Receiver, peers: FakePeers, profiles: ServiceChannel
) -> None:
    to = hook(receiver.url())
    await ledger.define(to)
    (effect,) = await ledger.add([change(1)], to)
    peers.profile.away = True
    async with ledger.dispatching(renderer=Renderer(profiles, no_templates, log_head)):
        await wait_until(lambda: is_requeued(ledger, effect))
        assert not receiver.received
        peers.profile.away = False
        await ledger.all_are(DeliveryState.DELIVERED)
    assert (await ledger.row(effect))["attempts"] == 1


async def test_effect_stays_pending_with_a_reason_where_profile_is_unreachable(
    ledger: Ledger, receiver: Receiver
) -> None:
    to = hook(receiver.url())
    await ledger.define(to)
    (effect,) = await ledger.add([change(1)], to)
    async with (
        open_channel("127.0.0.1:1", "a-key-of-this-test", timeout_s=2.0) as unreachable,
        ledger.dispatching(renderer=Renderer(unreachable, no_templates, log_head)),
    ):
        await wait_until(lambda: is_requeued(ledger, effect))
    assert not receiver.received


async def test_payload_stays_the_same_while_the_profile_changes(
    ledger: Ledger, receiver: Receiver, peers: FakePeers, profiles: ServiceChannel
) -> None:
    peers.profile.add(profile(1), city=b'"old"')
    receiver.script = [500, 500, 200]
    to = hook(receiver.url())
    await ledger.define(to)
    await ledger.add([change(1)], to)
    async with ledger.dispatching(renderer=Renderer(profiles, no_templates, log_head)):
        await wait_until(lambda: receiver.received)
        peers.profile.add(profile(1), city=b'"new"')
        await ledger.all_are(DeliveryState.DELIVERED)
    assert {
        json.loads(each.body)["data"]["profile"]["traits"]["city"] for each in receiver.received
    } == {"old"}
    assert len(peers.profile.requests) == 1


async def test_message_that_cannot_be_rendered_postpones_only_itself(
    ledger: Ledger, receiver: Receiver
) -> None:
    """It counts its attempts, with growing pauses, until it is dead."""
    to = hook(receiver.url())
    await ledger.define(to)
    effects = await ledger.add([change(n) for n in range(20)], to)
    slow = ServiceUnavailable("no response: DEADLINE_EXCEEDED", code="DEADLINE_EXCEEDED")
    renderer = FakeRenderer(broken={profile(3): slow, profile(4): RuntimeError("王")})
    policy = RetryPolicy(max_attempts=3, initial_backoff=0.05)
    async with ledger.dispatching(renderer=renderer, retry_policy=policy):
        await ledger.all_are(DeliveryState.DELIVERED, DeliveryState.DEAD)
    assert len(receiver.received) == 18
    rows = [await ledger.row(effects[n]) for n in (3, 4)]
    assert [(r["state"], r["attempts"], r["reason"]) for r in rows] == [
        (DeliveryState.DEAD, 3, "rendering failed: SERVICE_UNAVAILABLE"),
        (DeliveryState.DEAD, 3, "rendering failed: RuntimeError"),
    ]
    assert {(await ledger.row(e))["attempts"] for e in (*effects[:3], *effects[5:])} == {1}


async def test_single_message_that_cannot_be_rendered_counts_its_attempts(
    ledger: Ledger, receiver: Receiver
) -> None:
    to = hook(receiver.url())
    await ledger.define(to)
    await ledger.add([change(3)], to)
    renderer = FakeRenderer(error=ServiceUnavailable("", code="DEADLINE_EXCEEDED"))
    policy = RetryPolicy(max_attempts=2, initial_backoff=0.01)
    async with ledger.dispatching(renderer=renderer, retry_policy=policy):
        await ledger.all_are(DeliveryState.DEAD)


async def test_profile_that_is_away_uses_up_no_attempt_of_many(
    ledger: Ledger, receiver: Receiver, peers: FakePeers, profiles: ServiceChannel
) -> None:
    to = hook(receiver.url())
    await ledger.define(to)
    await ledger.add([change(n) for n in range(10)], to)
    peers.profile.away = True
    async with ledger.dispatching(renderer=Renderer(profiles, no_templates, log_head)):

        async def are_requeued() -> bool:
            rows = await ledger.rows()
            return all("SERVICE_UNAVAILABLE" in row["reason"] for row in rows)

        await wait_until(are_requeued)
        peers.profile.away = False
        await ledger.all_are(DeliveryState.DELIVERED)
    assert {row["attempts"] for row in await ledger.rows()} == {1}
