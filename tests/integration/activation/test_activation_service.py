"""Activation as a whole: its doors, its neighbours as fakes, its receiver, real engines."""

from __future__ import annotations

import asyncio
import json
import logging
import urllib.request
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
import pytest_asyncio
import structlog
from integration.activation.fake_peers import Peers, peers
from integration.activation.ledger_world import SECRET, profile
from integration.activation.receiver import Receiver
from onefold.activation.v1 import activation_facts_pb2 as facts_pb
from onefold.activation.v1 import activation_service_pb2 as pb
from onefold.activation.v1.activation_service_pb2_grpc import ActivationServiceStub
from onefold.ingest.v1.ingest_facts_pb2 import KeyDefined
from onefold.log.v1.log_pb2 import Fact
from onefold.segment.v1.segment_stream_pb2 import MembershipChange
from onefold.type.v1.token_pb2 import Token

from services.activation.codec import bus as wire
from services.activation.domain.model import State
from services.activation.service import serve
from services.activation.settings import ActivationSettings
from services.chassis.access.keys import IssuedKey, issue_key
from services.chassis.access.principal import Role
from services.chassis.messaging.jetstream import JetStreamBus
from services.chassis.messaging.stream import OutboxMessage
from services.chassis.rpc.channel import ServiceChannel, open_channel
from services.chassis.runtime.run import RunningService
from services.chassis.testing import MakeSettings, wait_until
from services.kernel.errors import InvalidField, NotAllowed, NotFound, ServiceUnavailable
from services.kernel.ids import to_hex

SHARDS = 2
SCHOOL, OTHER, SOURCE = (issue_key(r) for r in (Role.SERVICE, Role.ADMIN, Role.SOURCE))


@dataclass
class Whole:
    """A running activation, and what it hears."""

    running: RunningService
    around: Peers
    bus: JetStreamBus
    stubs: dict[str, Any] = field(default_factory=dict)
    passed_on: set[bytes] = field(default_factory=set)

    async def say(self, shard: int, **fields: Any) -> Token:
        """Segment says something; the token of the log that includes it."""
        message = self.around.segment.say(shard, **fields)
        at = message.sequence
        output = OutboxMessage(at, at + 1, message.SerializeToString())
        await (await self.bus.publish(f"onefold.segment.{shard}", output))
        return Token(offsets=[len(self.around.segment.said.get(s, [])) for s in range(SHARDS)])

    async def flow(self, *facts: Fact) -> Token:
        """What the log learnt comes down to every shard."""
        fresh = [f for i, f in self.around.log.facts.items() if i not in self.passed_on]
        self.passed_on |= set(self.around.log.facts)
        down = [*facts, *(f for f in fresh if f.kind == wire.DESTINATION_DEFINED)]
        for shard in range(SHARDS):
            token = await self.say(shard, facts=down)
        return token

    async def changes(self, *told: MembershipChange) -> Token:
        for n, change in enumerate(told):
            token = await self.say(n % SHARDS, changes=[change])
        return token

    def stub(self, key: IssuedKey) -> Any:
        return self.stubs[key.key_id]


def key_fact(issued: IssuedKey, workspace: str, role: Role) -> Fact:
    told = KeyDefined(
        key_id=issued.key_id, key_hash=issued.key_hash, role=role.value, version=1, source_id="web"
    )
    return Fact(
        workspace_id=workspace,
        kind=KeyDefined.DESCRIPTOR.full_name,
        payload=told.SerializeToString(),
    )


def entered(n: int, ordinal: int = 1, workspace: str = "school") -> MembershipChange:
    return MembershipChange(
        workspace_id=workspace,
        segment_id="trial",
        profile_id=profile(n),
        entered=ordinal % 2 == 1,
        ordinal=ordinal,
        at_us=1_000_000 + n,
        cause=1,
    )


def coupon(url: str, **fields: Any) -> facts_pb.DestinationDefined:
    plain: dict[str, Any] = {
        "destination_id": "coupon",
        "webhook": facts_pb.Webhook(url=url, secret=SECRET),
        "segment_ids": ["trial"],
        "triggers": [1, 2],
    }
    return facts_pb.DestinationDefined(**(plain | fields))


def define(to: facts_pb.DestinationDefined, dry_run: bool = False) -> Any:
    return pb.DefineDestinationRequest(destination=to, dry_run=dry_run)


@asynccontextmanager
async def activation(make_settings: MakeSettings, nats_url: str, **settings: Any) -> Any:
    async with peers() as around:
        plain = {
            "shards": SHARDS,
            "segment_url": around.url,
            "profile_url": around.url,
            "ingest_url": around.url,
            "private_targets": "allowed",
            "first_pause_s": 0.01,
            "attempts": 3,
        }
        made = make_settings(ActivationSettings, **(plain | settings))
        async with serve(made) as running, JetStreamBus(nats_url, name="segment") as bus:
            await bus.ready()
            await bus.ensure_stream("onefold.segment")
            whole = Whole(running, around, bus)
            async with (
                _stub(whole, SCHOOL) as _,
                _stub(whole, OTHER) as _,
                _stub(whole, SOURCE) as _,
            ):
                await whole.flow(
                    key_fact(SCHOOL, "school", Role.SERVICE),
                    key_fact(OTHER, "other", Role.ADMIN),
                    key_fact(SOURCE, "school", Role.SOURCE),
                )
                await wait_until(lambda: _is_known(whole))
                yield whole


@asynccontextmanager
async def _stub(whole: Whole, key: IssuedKey) -> AsyncIterator[ServiceChannel]:
    url = f"127.0.0.1:{whole.running.grpc_port}"
    async with open_channel(url, key.key, timeout_s=20.0) as opened:
        whole.stubs[key.key_id] = ActivationServiceStub(opened)
        yield opened


async def _is_known(whole: Whole) -> bool:
    try:
        for key in (SCHOOL, OTHER):
            await whole.stub(key).ListDestinations(pb.ListDestinationsRequest())
    except NotAllowed:
        return False
    return True


@pytest_asyncio.fixture(loop_scope="session")
async def whole(make_settings: MakeSettings, nats_url: str) -> AsyncIterator[Whole]:
    async with activation(make_settings, nats_url) as running:
        yield running


async def _defined(whole: Whole, to: facts_pb.DestinationDefined, key: IssuedKey = SCHOOL) -> Any:
    answer = await whole.stub(key).DefineDestination(define(to))
    token = await whole.flow()
    request = pb.CountDeliveriesRequest(at_least=token)
    await whole.stub(key).CountDeliveries(request)
    return answer


async def test_from_a_change_to_a_message_and_back_into_the_log(
    whole: Whole, receiver: Receiver
) -> None:
    whole.around.profile.add(profile(1), city=b'"x"')
    await _defined(whole, coupon(receiver.url(), traits=["city"]))
    token = await whole.changes(entered(1), entered(2))
    await wait_until(lambda: len(receiver.got) == 2)
    school = whole.stub(SCHOOL)

    async def both_ended() -> bool:
        request = pb.CountDeliveriesRequest(at_least=token)
        counts = (await school.CountDeliveries(request)).counts
        return [(c.destination_id, c.state, c.count) for c in counts] == [
            ("coupon", State.DELIVERED, 2)
        ]

    await wait_until(both_ended)
    listed = (await school.ListDeliveries(pb.ListDeliveriesRequest())).deliveries
    assert [d.profile_id for d in listed] == [to_hex(profile(2)), to_hex(profile(1))]
    assert {d.effect_id for d in listed} == set(receiver.keys())
    assert all((d.attempts, d.reason, d.next_attempt_us) == (1, "HTTP 200", 0) for d in listed)
    await wait_until(lambda: len(whole.around.log.of_kind(wire.DELIVERY_ENDED)) == 2)


async def test_secrets_are_in_no_answer_and_no_log_line(
    make_settings: MakeSettings,
    nats_url: str,
    receiver: Receiver,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    receiver.script = [500]
    with structlog.testing.capture_logs() as lines:
        async with activation(make_settings, nats_url) as whole:
            answer = await _defined(whole, coupon(receiver.url("/in?access=hidden")))
            school = whole.stub(SCHOOL)
            listed = await school.ListDestinations(pb.ListDestinationsRequest())
            await whole.changes(entered(1))
            await wait_until(lambda: len(receiver.got) == 3)
            deliveries = await school.ListDeliveries(pb.ListDeliveriesRequest())
            refused = await _refusal(school, coupon("no url", destination_id="bad"))
    secret = SECRET.removeprefix("whsec_")
    for told in (answer, listed, deliveries, refused, lines, caplog.text):
        assert secret not in str(told)
    assert "access=hidden" not in str(lines) + caplog.text
    assert to_hex(profile(1)) not in str(lines)
    assert listed.destinations[0].webhook.url.endswith("access=hidden")


async def _refusal(stub: Any, to: facts_pb.DestinationDefined) -> InvalidField:
    with pytest.raises(InvalidField) as told:
        await stub.DefineDestination(define(to))
    return told.value


async def test_definitions_have_versions_and_repeats_change_nothing(
    whole: Whole, receiver: Receiver
) -> None:
    school = whole.stub(SCHOOL)
    dry = await school.DefineDestination(define(coupon(receiver.url()), dry_run=True))
    assert (dry.changed, dry.destination.version) == (True, 1)
    assert not whole.around.log.of_kind(wire.DESTINATION_DEFINED)
    first = await _defined(whole, coupon(receiver.url()))
    assert (first.changed, first.destination.version) == (True, 1)
    again = await _defined(whole, coupon(receiver.url(), triggers=[2, 1, 1], content=b" { } "))
    assert (again.changed, again.destination.version) == (False, 1)
    # What stands unchanged is in the state that was looked at.
    assert list(again.token.offsets) == [2] * SHARDS
    kept = coupon(receiver.url(), webhook=facts_pb.Webhook(url=receiver.url()))
    assert not (await _defined(whole, kept)).changed, "an empty secret keeps the one there is"
    second = await _defined(whole, coupon(receiver.url(), title="优惠券"))
    assert (second.changed, second.destination.version) == (True, 2)
    (listed,) = (await school.ListDestinations(pb.ListDestinationsRequest())).destinations
    assert (listed.version, listed.title) == (2, "优惠券")


async def test_a_secret_does_not_move_with_the_url(whole: Whole, receiver: Receiver) -> None:
    """Else whoever may define could have messages signed for a receiver of their own."""
    await _defined(whole, coupon(receiver.url()))
    moved = coupon("", webhook=facts_pb.Webhook(url=receiver.url("/mine")))
    assert (await _refusal(whole.stub(SCHOOL), moved)).field == "destination.webhook.secret"


async def test_another_workspace_sees_and_moves_nothing(whole: Whole, receiver: Receiver) -> None:
    receiver.script = [400]
    await _defined(whole, coupon(receiver.url()))
    await whole.changes(entered(1))
    school, other = whole.stub(SCHOOL), whole.stub(OTHER)

    async def dead() -> list[Any]:
        request = pb.ListDeliveriesRequest(state=facts_pb.DELIVERY_STATE_DEAD)
        return list((await school.ListDeliveries(request)).deliveries)

    (found,) = await wait_until(dead)
    assert not (await other.ListDestinations(pb.ListDestinationsRequest())).destinations
    assert not (await other.ListDeliveries(pb.ListDeliveriesRequest())).deliveries
    mine = pb.ListDeliveriesRequest(profile_id=found.profile_id, destination_id="coupon")
    assert not (await other.ListDeliveries(mine)).deliveries
    assert not (await other.CountDeliveries(pb.CountDeliveriesRequest())).counts
    with pytest.raises(NotFound):
        await other.RetryDelivery(pb.RetryDeliveryRequest(effect_id=found.effect_id))
    await _defined(whole, coupon(receiver.url("/other")), OTHER)
    await whole.changes(entered(5))
    await wait_until(lambda: len(receiver.keys("/in")) == 2)
    assert not receiver.keys("/other")
    await whole.changes(entered(6, workspace="other"))
    await wait_until(lambda: len(receiver.keys("/other")) == 1)


async def test_who_may_only_send_events_may_do_nothing_here(whole: Whole) -> None:
    stub = whole.stub(SOURCE)
    for call, request in (
        (stub.ListDestinations, pb.ListDestinationsRequest()),
        (stub.ListDeliveries, pb.ListDeliveriesRequest()),
        (stub.CountDeliveries, pb.CountDeliveriesRequest()),
        (stub.RetryDelivery, pb.RetryDeliveryRequest()),
        (stub.DefineDestination, pb.DefineDestinationRequest()),
    ):
        with pytest.raises(NotAllowed):
            await call(request)


async def test_a_dead_delivery_is_listed_with_its_reason_and_can_be_tried_again(
    whole: Whole, receiver: Receiver
) -> None:
    receiver.script = [400, 200]
    await _defined(whole, coupon(receiver.url()))
    await whole.changes(entered(1))
    school = whole.stub(SCHOOL)

    async def one(state: facts_pb.DeliveryState) -> list[Any]:
        request = pb.ListDeliveriesRequest(state=state, destination_id="coupon")
        return list((await school.ListDeliveries(request)).deliveries)

    (dead,) = await wait_until(lambda: one(facts_pb.DELIVERY_STATE_DEAD))
    assert (dead.reason, dead.attempts, dead.trigger) == ("HTTP 400", 1, 1)
    await wait_until(lambda: whole.around.log.of_kind(wire.DELIVERY_ENDED))

    async def retried() -> bool:
        try:
            await school.RetryDelivery(pb.RetryDeliveryRequest(effect_id=dead.effect_id))
        except ServiceUnavailable:  # the log is being told that it is dead
            return False
        return True

    await wait_until(retried)
    (delivered,) = await wait_until(lambda: one(facts_pb.DELIVERY_STATE_DELIVERED))
    assert (delivered.effect_id, delivered.attempts) == (dead.effect_id, 2)
    assert receiver.keys() == [dead.effect_id] * 2
    await wait_until(lambda: len(whole.around.log.of_kind(wire.DELIVERY_ENDED)) == 2)
    with pytest.raises(NotFound):
        await school.RetryDelivery(pb.RetryDeliveryRequest(effect_id=dead.effect_id))


async def test_pages_of_deliveries_hold_each_once(whole: Whole, receiver: Receiver) -> None:
    await _defined(whole, coupon(receiver.url()))
    await whole.say(0, changes=[entered(n % 7) for n in range(7)])
    await whole.say(1, changes=[entered(100), entered(101)])
    await wait_until(lambda: len(receiver.got) == 9)
    school, seen, token = whole.stub(SCHOOL), [], ""
    while True:
        request = pb.ListDeliveriesRequest(page_size=2, page_token=token)
        answer = await school.ListDeliveries(request)
        seen += [d.effect_id for d in answer.deliveries]
        token = answer.next_page_token
        if not token:
            break
    assert sorted(seen) == sorted(receiver.keys())


@pytest.mark.parametrize(
    ("method", "request_", "path"),
    [
        ("ListDeliveries", pb.ListDeliveriesRequest(page_size=1_001), "page_size"),
        ("ListDeliveries", pb.ListDeliveriesRequest(page_token="x"), "page_token"),
        ("ListDeliveries", pb.ListDeliveriesRequest(page_token="9" * 30 + "." + "a" * 32), "page"),
        ("ListDeliveries", pb.ListDeliveriesRequest(page_token="٣." + "a" * 32), "page_token"),
        ("ListDeliveries", pb.ListDeliveriesRequest(page_token="1.zz"), "page_token"),
        ("ListDeliveries", pb.ListDeliveriesRequest(profile_id="a"), "profile_id"),
        ("ListDeliveries", pb.ListDeliveriesRequest(destination_id="a\0"), "destination_id"),
        ("RetryDelivery", pb.RetryDeliveryRequest(effect_id=""), "effect_id"),
        ("RetryDelivery", pb.RetryDeliveryRequest(effect_id="g" * 32), "effect_id"),
        ("DefineDestination", pb.DefineDestinationRequest(), "destination"),
        ("DefineDestination", define(coupon("http://x.example", destination_id="\0")), "dest"),
        ("CountDeliveries", pb.CountDeliveriesRequest(at_least=Token(offsets=[0] * 9)), ""),
    ],
)
async def test_what_cannot_be_answered_is_refused(
    whole: Whole, method: str, request_: Any, path: str
) -> None:
    with pytest.raises(InvalidField) as told:
        await getattr(whole.stub(SCHOOL), method)(request_)
    assert path in told.value.field


async def test_private_targets_are_refused_when_they_are_defined(
    make_settings: MakeSettings, nats_url: str
) -> None:
    async with activation(make_settings, nats_url, private_targets="refused") as whole:
        for host in ("127.0.0.1", "[::1]", "2130706433", "169.254.169.254", "１０.0.0.1"):
            refused = await _refusal(whole.stub(SCHOOL), coupon(f"http://{host}/in"))
            assert refused.field == "destination.webhook.url"
            assert "not public" in refused.message
        await whole.stub(SCHOOL).DefineDestination(define(coupon("https://x.example/in"), True))


async def test_a_name_that_leads_inside_ends_dead(
    make_settings: MakeSettings, nats_url: str, receiver: Receiver
) -> None:
    async with activation(make_settings, nats_url, private_targets="refused") as whole:
        await _defined(whole, coupon(receiver.url(host="localhost")))
        await whole.changes(entered(1))

        async def dead() -> list[Any]:
            request = pb.ListDeliveriesRequest(state=facts_pb.DELIVERY_STATE_DEAD)
            return list((await whole.stub(SCHOOL).ListDeliveries(request)).deliveries)

        (found,) = await wait_until(dead)
        assert found.reason == "the host has an address that is not public"
        assert not receiver.got


async def test_files_and_subjects_are_written(whole: Whole, tmp_path: Any) -> None:
    whole.around.profile.add(profile(1))
    heard: list[bytes] = []

    async def hear(msg: Any) -> None:
        heard.append(msg.data)

    await whole.bus.client.subscribe("onefold.out.coupons", cb=hear)
    await whole.bus.client.flush()
    file = coupon("", destination_id="f", file=facts_pb.NdjsonFile(name="out.ndjson"))
    channel = facts_pb.NatsSubject(subject="onefold.out.coupons")
    subject = coupon("", destination_id="n", nats=channel)
    await _defined(whole, file)
    await _defined(whole, subject)
    await whole.changes(entered(1))
    written = tmp_path / "out" / "school" / "out.ndjson"
    await wait_until(lambda: written.exists() and written.read_bytes().endswith(b"\n"))
    await wait_until(lambda: heard)
    ids = {json.loads(line)["data"]["profile"]["id"] for line in (written.read_bytes(), heard[0])}
    assert ids == {to_hex(profile(1))}


async def test_what_the_bus_lost_is_read_from_segment(whole: Whole, receiver: Receiver) -> None:
    await _defined(whole, coupon(receiver.url()))
    whole.around.segment.say(0, changes=[entered(1)])
    await whole.say(0, changes=[entered(2)])
    await wait_until(lambda: len(receiver.got) == 2)


async def test_a_second_life_sends_nothing_again(
    make_settings: MakeSettings, nats_url: str, receiver: Receiver
) -> None:
    async with activation(make_settings, nats_url) as whole:
        await _defined(whole, coupon(receiver.url()))
        await whole.changes(entered(1), entered(2))
        await wait_until(lambda: len(receiver.got) == 2)
        said, facts = whole.around.segment.said, whole.around.log.facts
    async with activation(make_settings, nats_url) as again:
        again.around.segment.said, again.around.log.facts = said, facts
        await again.changes(entered(3))
        await wait_until(lambda: len(receiver.got) == 3)
        assert len(set(receiver.keys())) == 3


async def test_metrics_tell_of_attempts(whole: Whole, receiver: Receiver) -> None:
    receiver.script = [500, 200]
    await _defined(whole, coupon(receiver.url()))
    await whole.changes(entered(1))
    await wait_until(lambda: len(receiver.got) == 2)
    url = f"http://127.0.0.1:{whole.running.http_port}/metrics"

    async def told() -> bool:
        text = await asyncio.to_thread(lambda: urllib.request.urlopen(url).read().decode())
        wanted = [f'verdict="{v}"}} 1.0' for v in ("delivered", "failed")]
        return all(w in text for w in wanted)

    await wait_until(told)
