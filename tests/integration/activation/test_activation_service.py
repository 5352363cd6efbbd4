"""Tests activation as a whole, with fake services around it and real PostgreSQL and NATS."""

from __future__ import annotations

import asyncio
import json
import logging
import urllib.request
from typing import Any

import pytest
import structlog
from integration.activation.ledger_fixture import SECRET, profile
from integration.activation.receiver import Receiver
from integration.activation.running_activation import (
    OTHER,
    SCHOOL,
    SECRETS_KEY,
    SHARDS,
    SOURCE,
    RunningActivation,
    activation,
    coupon,
    define,
    define_and_fold,
    entered,
)
from onefold.activation.v1 import activation_facts_pb2 as facts_pb
from onefold.activation.v1 import activation_service_pb2 as pb
from onefold.activation.v1 import channels_pb2
from onefold.projection.v1 import projection_service_pb2 as projection_pb
from onefold.projection.v1.projection_service_pb2_grpc import ProjectionServiceStub
from onefold.type.v1.token_pb2 import Token
from service_fixtures import HANG_S, MakeSettings, wait_until
from standardwebhooks.webhooks import Webhook as Verifier

from services.activation.codec.bus import DELIVERY_ENDED
from services.activation.codec.definitions import DESTINATION_DEFINED
from services.activation.domain.model import DeliveryState
from services.chassis.rpc.channel import open_channel
from services.kernel.errors import Conflict, InvalidField, NotAllowed, NotFound, ServiceUnavailable
from services.kernel.ids import to_hex


async def test_change_becomes_a_message_and_a_fact(
    whole: RunningActivation, receiver: Receiver
) -> None:
    whole.peers.profile.add(profile(1), city=b'"x"')
    await define_and_fold(whole, coupon(receiver.url(), traits=["city"]))
    token = await whole.publish_changes(entered(1), entered(2))
    await wait_until(lambda: len(receiver.received) == 2)
    school = whole.stub(SCHOOL)

    async def are_delivered() -> bool:
        request = pb.CountDeliveriesRequest(at_least=token)
        counts = (await school.CountDeliveries(request)).counts
        return [(c.destination_id, c.state, c.count) for c in counts] == [
            ("coupon", DeliveryState.DELIVERED, 2)
        ]

    await wait_until(are_delivered)
    listed = (await school.ListDeliveries(pb.ListDeliveriesRequest())).deliveries
    assert [d.profile_id for d in listed] == [to_hex(profile(2)), to_hex(profile(1))]
    assert {d.effect_id for d in listed} == set(receiver.keys())
    assert all((d.attempts, d.reason, d.next_attempt_us) == (1, "HTTP 200", 0) for d in listed)
    await wait_until(lambda: len(whole.peers.log.of_kind(DELIVERY_ENDED)) == 2)


async def test_no_response_and_no_log_line_has_a_secret(
    make_settings: MakeSettings, nats_url: str, receiver: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    receiver.script = [500]
    with structlog.testing.capture_logs() as lines:
        allowed = receiver.target
        async with activation(make_settings, nats_url, private_targets=allowed) as whole:
            defined = await define_and_fold(whole, coupon(receiver.url("/in?access=hidden")))
            school = whole.stub(SCHOOL)
            listed = await school.ListDestinations(pb.ListDestinationsRequest())
            await whole.publish_changes(entered(1))
            await wait_until(lambda: len(receiver.received) == 3)
            deliveries = await school.ListDeliveries(pb.ListDeliveriesRequest())
            error = await _rejection(school, coupon("no url", destination_id="bad"))
    secret = SECRET.removeprefix("whsec_")
    for text in (defined, listed, deliveries, error, lines, caplog.text):
        assert secret not in str(text)
    assert "access=hidden" not in str(lines) + caplog.text
    assert to_hex(profile(1)) not in str(lines)
    assert listed.destinations[0].destination.webhook.url.endswith("access=hidden")


async def _rejection(stub: Any, to: facts_pb.DestinationDefined) -> InvalidField:
    with pytest.raises(InvalidField) as raised:
        await stub.DefineDestination(define(to))
    return raised.value


async def test_repeated_definition_changes_nothing(
    whole: RunningActivation, receiver: Receiver
) -> None:
    school = whole.stub(SCHOOL)
    dry = await school.DefineDestination(define(coupon(receiver.url()), dry_run=True))
    assert (dry.changed, dry.destination.version) == (True, 1)
    assert not whole.peers.log.of_kind(DESTINATION_DEFINED)
    first = await define_and_fold(whole, coupon(receiver.url()))
    assert (first.changed, first.destination.version) == (True, 1)
    same = coupon(receiver.url(), triggers=[2, 1, 1], content=b" { } ")
    repeated = await define_and_fold(whole, same)
    assert (repeated.changed, repeated.destination.version) == (False, 1)
    assert list(repeated.token.offsets) == [2] * SHARDS, "the head of the log"
    without_secret = coupon(receiver.url(), webhook=facts_pb.Webhook(url=receiver.url()))
    unchanged = await define_and_fold(whole, without_secret)
    assert not unchanged.changed, "an empty secret keeps the current one"
    second = await define_and_fold(whole, coupon(receiver.url(), title="优惠券"))
    assert (second.changed, second.destination.version) == (True, 2)
    (listed,) = (await school.ListDestinations(pb.ListDestinationsRequest())).destinations
    assert (listed.destination.version, listed.destination.title) == (2, "优惠券")
    assert (listed.etag, second.etag) == ("2", "2")


async def test_definition_repeated_before_it_is_folded_changes_nothing(
    whole: RunningActivation, receiver: Receiver
) -> None:
    school = whole.stub(SCHOOL)
    first = await school.DefineDestination(define(coupon(receiver.url())))
    repeating = asyncio.ensure_future(school.DefineDestination(define(coupon(receiver.url()))))
    await asyncio.wait({repeating}, timeout=0.2)
    assert not repeating.done(), "the state does not include the head of the log yet"
    await whole.publish_facts()
    repeated = await repeating
    assert (first.changed, repeated.changed) == (True, False)
    assert repeated.destination == first.destination
    assert len(whole.peers.log.of_kind(DESTINATION_DEFINED)) == 1


async def test_repeat_under_a_newer_key_seals_the_secret_again_once(
    make_settings: MakeSettings, nats_url: str, receiver: Receiver
) -> None:
    both = f"{SECRETS_KEY},2.{'f0' * 32}"
    to = coupon(receiver.url())
    async with activation(make_settings, nats_url, private_targets=receiver.target) as whole:
        await define_and_fold(whole, to)
        log = whole.peers.log
        published, facts = whole.peers.segment.published, dict(log.facts)
    settings = {"private_targets": receiver.target, "secrets_key": both}
    async with activation(make_settings, nats_url, **settings) as rotated:
        rotated.peers.segment.published |= published
        rotated.peers.log.facts |= facts
        rotated.published_facts |= set(facts)
        keeping = coupon("", webhook=facts_pb.Webhook(url=receiver.url()))
        same = await define_and_fold(rotated, keeping)
        resealed = await define_and_fold(rotated, to)
        again = await define_and_fold(rotated, to)
        assert [same.changed, resealed.changed, again.changed] == [False, True, False]
        versions = [
            facts_pb.DestinationDefined.FromString(fact.payload)
            .sealed_secrets["secret"]
            .key_version
            for fact in rotated.peers.log.of_kind(DESTINATION_DEFINED)
        ]
        assert sorted(versions) == [1, 2]
        await rotated.publish_changes(entered(1))
        await wait_until(lambda: receiver.received)
    (received,) = receiver.received
    assert Verifier(SECRET).verify(received.body, received.headers)


async def test_definition_with_an_outdated_etag_is_rejected(
    whole: RunningActivation, receiver: Receiver
) -> None:
    school = whole.stub(SCHOOL)
    first = await define_and_fold(whole, coupon(receiver.url()))
    await define_and_fold(whole, coupon(receiver.url(), title="b"))
    outdated = define(coupon(receiver.url(), title="c"))
    outdated.etag = first.etag
    with pytest.raises(Conflict) as raised:
        await school.DefineDestination(outdated)
    assert raised.value.metadata["etag"] == "2"
    outdated.etag = "2"
    third = await school.DefineDestination(outdated)
    assert (third.changed, third.destination.version, third.etag) == (True, 3, "3")


async def test_changed_url_needs_the_secret_again(
    whole: RunningActivation, receiver: Receiver
) -> None:
    """Otherwise a caller could have messages signed for their own receiver."""
    await define_and_fold(whole, coupon(receiver.url()))
    moved = coupon("", webhook=facts_pb.Webhook(url=receiver.url("/mine")))
    assert (await _rejection(whole.stub(SCHOOL), moved)).field == "destination.webhook.secret"


async def test_other_workspace_sees_and_changes_nothing(
    whole: RunningActivation, receiver: Receiver
) -> None:
    receiver.script = [400]
    await define_and_fold(whole, coupon(receiver.url()))
    await whole.publish_changes(entered(1))
    school, other = whole.stub(SCHOOL), whole.stub(OTHER)

    async def dead_deliveries() -> list[Any]:
        request = pb.ListDeliveriesRequest(state=facts_pb.DELIVERY_STATE_DEAD)
        return list((await school.ListDeliveries(request)).deliveries)

    (found,) = await wait_until(dead_deliveries)
    assert not (await other.ListDestinations(pb.ListDestinationsRequest())).destinations
    assert not (await other.ListDeliveries(pb.ListDeliveriesRequest())).deliveries
    foreign = pb.ListDeliveriesRequest(profile_id=found.profile_id, destination_id="coupon")
    assert not (await other.ListDeliveries(foreign)).deliveries
    assert not (await other.CountDeliveries(pb.CountDeliveriesRequest())).counts
    with pytest.raises(NotFound):
        await other.RetryDelivery(pb.RetryDeliveryRequest(effect_id=found.effect_id))
    await define_and_fold(whole, coupon(receiver.url("/other")), OTHER)
    await whole.publish_changes(entered(5))
    await wait_until(lambda: len(receiver.keys("/in")) == 2)
    assert not receiver.keys("/other")
    await whole.publish_changes(entered(6, workspace="other"))
    await wait_until(lambda: len(receiver.keys("/other")) == 1)


async def test_key_of_a_source_may_call_nothing(whole: RunningActivation) -> None:
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


async def test_dead_delivery_has_a_reason_and_can_be_retried(
    whole: RunningActivation, receiver: Receiver
) -> None:
    receiver.script = [400, 200]
    await define_and_fold(whole, coupon(receiver.url()))
    await whole.publish_changes(entered(1))
    school = whole.stub(SCHOOL)

    async def one(state: facts_pb.DeliveryState) -> list[Any]:
        request = pb.ListDeliveriesRequest(state=state, destination_id="coupon")
        return list((await school.ListDeliveries(request)).deliveries)

    (dead,) = await wait_until(lambda: one(facts_pb.DELIVERY_STATE_DEAD))
    assert (dead.reason, dead.attempts, dead.trigger) == ("HTTP 400", 1, 1)
    await wait_until(lambda: whole.peers.log.of_kind(DELIVERY_ENDED))

    async def is_retried() -> bool:
        try:
            await school.RetryDelivery(pb.RetryDeliveryRequest(effect_id=dead.effect_id))
        except ServiceUnavailable:  # the log does not have the outcome yet
            return False
        return True

    await wait_until(is_retried)
    (delivered,) = await wait_until(lambda: one(facts_pb.DELIVERY_STATE_DELIVERED))
    assert (delivered.effect_id, delivered.attempts) == (dead.effect_id, 2)
    assert receiver.keys() == [dead.effect_id] * 2
    await wait_until(lambda: len(whole.peers.log.of_kind(DELIVERY_ENDED)) == 2)
    with pytest.raises(NotFound):
        await school.RetryDelivery(pb.RetryDeliveryRequest(effect_id=dead.effect_id))


async def test_pages_have_each_delivery_once(whole: RunningActivation, receiver: Receiver) -> None:
    await define_and_fold(whole, coupon(receiver.url()))
    await whole.publish(0, changes=[entered(n % 7) for n in range(7)])
    await whole.publish(1, changes=[entered(100), entered(101)])
    await wait_until(lambda: len(receiver.received) == 9)
    school, seen, token = whole.stub(SCHOOL), [], ""
    while True:
        request = pb.ListDeliveriesRequest(page_size=2, page_token=token)
        page = await school.ListDeliveries(request)
        seen += [d.effect_id for d in page.deliveries]
        token = page.next_page_token
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
async def test_invalid_request_is_rejected_with_its_field(
    whole: RunningActivation, method: str, request_: Any, path: str
) -> None:
    with pytest.raises(InvalidField) as raised:
        await getattr(whole.stub(SCHOOL), method)(request_)
    assert path in raised.value.field


async def test_private_target_is_rejected_at_definition(
    make_settings: MakeSettings, nats_url: str
) -> None:
    async with activation(make_settings, nats_url) as whole:
        for host in ("127.0.0.1", "[::1]", "2130706433", "169.254.169.254", "１０.0.0.1"):
            error = await _rejection(whole.stub(SCHOOL), coupon(f"http://{host}/in"))
            assert error.field == "destination.webhook.url"
            assert "not public" in error.message
        await whole.stub(SCHOOL).DefineDestination(define(coupon("https://x.example/in"), True))
        # Servers of other protocols; of Kafka no broker is reached that the operator does not list.
        key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl"
        table = {"host": "10.1.2.3", "database": "d", "username": "u", "table": "t"}
        for name, channel in {
            "sftp.host": channels_pb2.Sftp(
                host="10.1.2.3", host_key=key, username="u", password="p"
            ),
            "postgres_table.host": channels_pb2.PostgresTable(**table),
            "postgres_mirror.host": channels_pb2.PostgresMirror(**table),
            "kafka.brokers": channels_pb2.Kafka(brokers="kafka.x.example:9093", topic="t"),
        }.items():
            kind: Any = {name.partition(".")[0]: channel, "webhook": None}
            error = await _rejection(whole.stub(SCHOOL), coupon("", **kind))
            assert error.field == f"destination.{name}"


async def test_effect_for_a_name_with_private_address_ends_dead(
    make_settings: MakeSettings, nats_url: str, receiver: Receiver
) -> None:
    async with activation(make_settings, nats_url) as whole:
        await define_and_fold(whole, coupon(receiver.url(host="localhost")))
        await whole.publish_changes(entered(1))

        async def dead_deliveries() -> list[Any]:
            request = pb.ListDeliveriesRequest(state=facts_pb.DELIVERY_STATE_DEAD)
            return list((await whole.stub(SCHOOL).ListDeliveries(request)).deliveries)

        (found,) = await wait_until(dead_deliveries)
        assert "is not public" in found.reason
        assert not receiver.received


async def sent_counts(whole: RunningActivation, internal_key: str) -> tuple[int, int]:
    """Return how many changes have reached receivers, and how many of them late, by the status."""
    url = f"127.0.0.1:{whole.running.internal_grpc_port}"
    async with open_channel(url, internal_key, timeout_s=HANG_S) as channel:
        request = projection_pb.GetStatusRequest(counts=True)
        counts = (await ProjectionServiceStub(channel).GetStatus(request)).counts
    return counts["changes_sent"], counts["changes_sent_late"]


async def test_three_kinds_of_destinations_receive_a_change_with_the_tags_once_each(
    whole: RunningActivation, receiver: Receiver, tmp_path: Any, internal_key: str
) -> None:
    """PER-04, JRN-02."""
    for n in (1, 2):
        whole.peers.profile.add(profile(n))
    own = whole.peers.profile.profiles[to_hex(profile(1))]
    own.tags.add(tag_id="tier", value="gold")
    own.tags.add(tag_id="active")
    own.tags.add(tag_id="hidden")
    received: list[bytes] = []

    async def receive(msg: Any) -> None:
        received.append(msg.data)

    await whole.bus.client.subscribe("onefold.out.school.coupons", cb=receive)
    await whole.bus.client.flush()
    names = ["tag:tier", "tag:active"]
    await define_and_fold(whole, coupon(receiver.url(), traits=names))
    file = coupon("", destination_id="f", file=facts_pb.NdjsonFile(name="out.ndjson"))
    channel = facts_pb.NatsSubject(subject="onefold.out.school.coupons")
    subject = coupon("", destination_id="n", nats=channel)
    await define_and_fold(whole, file)
    await define_and_fold(whole, subject)
    await whole.publish_changes(entered(1), entered(2))
    written = tmp_path / "out" / "school" / "out.ndjson"

    def bodies() -> list[list[bytes]]:
        lines = written.read_bytes().splitlines() if written.exists() else []
        return [lines, received, [each.body for each in receiver.received]]

    await wait_until(lambda: all(len(own) == 2 for own in bodies()))
    persons = [[json.loads(body)["data"]["profile"] for body in own] for own in bodies()]
    both = {to_hex(profile(1)), to_hex(profile(2))}
    assert all({person["id"] for person in own} == both for own in persons)
    tags = {person["id"]: person.get("tags") for person in persons[2]}
    # Those that the destination names, as they are now.
    assert tags == {to_hex(profile(1)): {"tier": "gold", "active": True}, to_hex(profile(2)): None}
    assert all("tags" not in person for person in (*persons[0], *persons[1]))

    # All of these changes are of long ago, so each is later than the declared limit.
    async def counted() -> bool:
        return await sent_counts(whole, internal_key) == (6, 6)

    await wait_until(counted)


async def test_message_missing_on_the_bus_is_read_from_segment(
    whole: RunningActivation, receiver: Receiver
) -> None:
    await define_and_fold(whole, coupon(receiver.url()))
    whole.peers.segment.publish(0, changes=[entered(1)])
    await whole.publish(0, changes=[entered(2)])
    await wait_until(lambda: len(receiver.received) == 2)


async def test_restart_sends_nothing_again(
    make_settings: MakeSettings, nats_url: str, receiver: Receiver
) -> None:
    async with activation(make_settings, nats_url, private_targets=receiver.target) as whole:
        await define_and_fold(whole, coupon(receiver.url()))
        await whole.publish_changes(entered(1), entered(2))
        await wait_until(lambda: len(receiver.received) == 2)
        published, facts = whole.peers.segment.published, whole.peers.log.facts
    async with activation(make_settings, nats_url, private_targets=receiver.target) as restarted:
        restarted.peers.segment.published, restarted.peers.log.facts = published, facts
        await restarted.publish_changes(entered(3))
        await wait_until(lambda: len(receiver.received) == 3)
        assert len(set(receiver.keys())) == 3


async def test_metrics_count_attempts_by_result(
    whole: RunningActivation, receiver: Receiver
) -> None:
    receiver.script = [500, 200]
    await define_and_fold(whole, coupon(receiver.url()))
    await whole.publish_changes(entered(1))
    await wait_until(lambda: len(receiver.received) == 2)
    url = f"http://127.0.0.1:{whole.running.internal_http_port}/metrics"

    async def are_counted() -> bool:
        text = await asyncio.to_thread(lambda: urllib.request.urlopen(url).read().decode())
        return all(f'result="{r}"}} 1.0' in text for r in ("delivered", "failed"))

    await wait_until(are_counted)
