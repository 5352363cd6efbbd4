"""With the shipped configuration of NATS, each user can do what it needs and nothing else."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import suppress

import nats
import nats.errors
import pytest
import pytest_asyncio
from nats.aio.client import Client
from nats.js import api
from security.nats_shipped import APP, CRM, SHOP, WEB, Attempt, ShippedNats, covers, shipped_nats
from service_fixtures import BUS_KEY, wait_until

from services import SERVICES
from services.chassis.messaging.envelope import MessageAuthenticator
from services.chassis.messaging.jetstream import JetStreamBus
from services.chassis.messaging.stream import OutboxMessage
from services.devstack.nats_config import NatsUser, service_user

STREAMS = ("ONEFOLD_IN", "ONEFOLD_LOG", "ONEFOLD_IDENTITY", "ONEFOLD_PROFILE", "ONEFOLD_SEGMENT")
API = "$JS.API"


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def shipped(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[ShippedNats]:
    async with shipped_nats(tmp_path_factory.mktemp("nats")) as running:
        yield running


def api_calls(stream: str, consumer: str) -> Iterator[str]:
    """Yield the subjects of all calls of JetStream about a stream and a consumer."""
    yield from (f"{API}.INFO", f"{API}.STREAM.NAMES", f"{API}.STREAM.LIST")
    for call in ("INFO", "CREATE", "UPDATE", "DELETE", "PURGE", "SNAPSHOT", "RESTORE"):
        yield f"{API}.STREAM.{call}.{stream}"
    for call in ("MSG.GET", "MSG.DELETE", "LEADER.STEPDOWN", "PEER.REMOVE"):
        yield f"{API}.STREAM.{call}.{stream}"
    yield from (f"{API}.DIRECT.GET.{stream}", f"{API}.DIRECT.GET.{stream}.onefold.log.0")
    yield from (f"{API}.CONSUMER.NAMES.{stream}", f"{API}.CONSUMER.LIST.{stream}")
    # The body of a creation may have a `deliver_subject`.
    yield f"{API}.CONSUMER.CREATE.{stream}"
    for call in ("CREATE", "DURABLE.CREATE", "INFO", "DELETE", "PAUSE", "RESET", "UNPIN"):
        yield f"{API}.CONSUMER.{call}.{stream}.{consumer}"
    yield f"{API}.CONSUMER.CREATE.{stream}.other.onefold.in.>"
    yield f"{API}.CONSUMER.MSG.NEXT.{stream}.{consumer}"
    yield f"$JS.ACK.{stream}.{consumer}.1.1.1.1.0"


OF_THE_SERVER = (
    *("$SYS.REQ.SERVER.PING", "$SYS.REQ.ACCOUNT.SERVICES.CONNZ", "$SYS.ACCOUNT.SERVICES.CONNECT"),
    *("$JS.FC.ONEFOLD_IN.x", "$KV.x", "$O.x", "$MQTT.x", "$NRG.x", "_GR_.x"),
)


def outside_the_grant_of_web() -> Iterator[Attempt]:
    """Yield what the publisher of source `web` of the workspace `school` may not do."""
    events = (
        *(APP.subject, SHOP.subject, "onefold.in.school", f"{WEB.subject}.more"),
        *("onefold.in.School.web", "onefold.in.school.*", "onefold.in.>", "onefold.*.school.web"),
        *("onefold.request.school.app", "onefold.request.shop.web", "onefold.request.school"),
    )
    streams = [f"onefold.{name}.{shard}" for name in ("log", *SERVICES) for shard in range(2)]
    others = ("onefold.deliver.in", "onefold.out.school.x", "onefold.out.shop.x", "orders.created")
    inboxes = (f"{APP.inbox_prefix}.x", f"{SHOP.inbox_prefix}.x", "_INBOX.ingest.x", "_R_.x")
    notify = ("onefold.notify.log.0", "onefold.notify.identity.0")
    for subject in (*events, *streams, *others, *inboxes, *notify, *OF_THE_SERVER):
        yield Attempt("publish", subject)
        yield Attempt("subscribe", subject)
        yield Attempt("subscribe", subject, "ingest")
    for stream in STREAMS:
        for subject in api_calls(stream, "ingest" if stream == "ONEFOLD_IN" else "identity-0"):
            yield Attempt("publish", subject)
    for subject in (
        *(">", "*", "*.>", "*.*.*.*", "onefold.>", "onefold.*.*", "*.in.>", WEB.subject),
        *("_INBOX.>", "_INBOX.*", "_INBOX.*.>", "_INBOX.school.>", "_INBOX.*.web.>", "_R_.>"),
        *("$JS.>", f"{API}.>", "$JS.EVENT.>", "$SYS.>", "$SYS.ACCOUNT.>"),
        *(f"onefold.request.{WEB.name}", WEB.inbox_prefix, f"{WEB.inbox_prefix}x.>"),
    ):
        yield Attempt("subscribe", subject)
        yield Attempt("subscribe", subject, "ingest")


async def test_publisher_can_do_nothing_outside_of_its_grant(shipped: ShippedNats) -> None:
    attempts = list(dict.fromkeys(outside_the_grant_of_web()))
    assert len(attempts) >= 40
    async with shipped.connect(WEB.name) as client:
        done = [str(each) for each in attempts if not await each.errors(client)]
    assert done == []


def grants(user: NatsUser) -> Iterator[tuple[str, str]]:
    for subject in user.publish:
        yield "publish", subject
    for subject in user.subscribe:
        yield "subscribe", subject


def outside_the_grant_of(service: str) -> Iterator[Attempt]:
    """Yield what other users may do and all calls of JetStream, without those of a service."""
    users = [service_user(name, "") for name in SERVICES]
    users += [client.user("") for client in (WEB, APP)]
    own = list(grants(users[SERVICES.index(service)]))
    tried = [each for user in users for each in grants(user)]
    tried += [("publish", call) for stream in STREAMS for call in api_calls(stream, "other-0")]
    tried += [("publish", subject) for subject in OF_THE_SERVER]
    tried += [("subscribe", subject) for subject in (">", "*", "onefold.>", "_INBOX.>", "$JS.>")]
    tried += [("subscribe", f"onefold.{name}.*") for name in ("log", "in", *SERVICES)]
    tried += [("subscribe", "onefold.request.>"), ("subscribe", "onefold.request.> other")]
    for verb, text in tried:
        concrete = text.replace("*", "0").replace(">", "x.y") if verb == "publish" else text
        if not any(verb == may and covers(allowed, concrete) for may, allowed in own):
            yield Attempt.parse(verb, concrete)


@pytest.mark.parametrize("service", SERVICES)
async def test_service_can_do_nothing_outside_of_its_grant(
    shipped: ShippedNats, service: str
) -> None:
    attempts = list(dict.fromkeys(outside_the_grant_of(service)))
    assert len(attempts) >= 100
    async with shipped.connect(service) as client:
        done = [str(each) for each in attempts if not await each.errors(client)]
    assert done == []


@pytest.mark.parametrize("user", [*SERVICES, WEB.name])
async def test_user_can_do_everything_in_its_grant(shipped: ShippedNats, user: str) -> None:
    known = {name: service_user(name, "") for name in SERVICES} | {WEB.name: WEB.user("")}
    async with shipped.connect(user) as client:
        for verb, text in grants(known[user]):
            concrete = text.replace("*", "0").replace(">", "x.y") if verb == "publish" else text
            attempt = Attempt.parse(verb, concrete)
            assert await attempt.errors(client) == [], str(attempt)


async def test_wrong_credentials_are_refused(shipped: ShippedNats) -> None:
    passwords = shipped.passwords
    wrong = [(WEB.name, passwords[APP.name]), ("ingest", passwords["identity"]), ("", "")]
    for user, password in (*wrong, ("onefold", ""), ("$SYS", ""), ("SERVICES", "")):
        async with shipped.connect_unknown() as client:
            errors = await client.log_in(user, password)
        assert "Authorization Violation" in errors[0], user


async def make_streams(shipped: ShippedNats) -> None:
    """Make all streams as the services do, with one message in the log."""
    for service, name in zip(SERVICES, ("log", *SERVICES[1:-1]), strict=False):
        authenticator = MessageAuthenticator(BUS_KEY)
        bus = JetStreamBus(shipped.url(service), name=service, authenticator=authenticator)
        async with bus:
            await bus.ready()
            await bus.ensure_stream(f"onefold.{name}")
            await (await bus.publish(f"onefold.{name}.0", OutboxMessage(0, 1, b"honest")))
    client = await connect(shipped, "ingest")
    await client.jetstream().add_stream(
        name="ONEFOLD_IN", subjects=["onefold.in.>"], retention=api.RetentionPolicy.WORK_QUEUE
    )
    await client.close()


async def connect(shipped: ShippedNats, user: str) -> Client:
    return await nats.connect(shipped.url(user), inbox_prefix=f"_INBOX.{user}")


async def counts(shipped: ShippedNats) -> dict[str, int]:
    """Return the number of messages of each stream, as its owner sees it."""
    found = {}
    for service, stream in zip(("ingest", *SERVICES[:-1]), STREAMS, strict=True):
        client = await connect(shipped, service)
        found[stream] = (await client.jetstream().stream_info(stream)).state.messages
        await client.close()
    return found


async def test_reply_to_a_publisher_reaches_its_account_only(shipped: ShippedNats) -> None:
    """JetStream sends its acknowledgement wherever the publisher says."""
    await make_streams(shipped)
    before = await counts(shipped)
    replies = [f"onefold.{name}.0" for name in ("log", "identity", "profile", "segment")]
    replies += [APP.subject, SHOP.subject, "onefold.notify.log.0"]
    replies += [call for stream in STREAMS for call in api_calls(stream, "ingest")]
    async with shipped.connect(WEB.name) as client:
        # The server refuses the acknowledgements of JetStream among them by itself.
        taken = [reply for reply in replies if not await client.publish(WEB.subject, b"", reply)]
    assert len(taken) > 100
    stored = before["ONEFOLD_IN"] + len(taken)

    async def are_stored() -> bool:
        return (await counts(shipped))["ONEFOLD_IN"] >= stored

    await wait_until(are_stored)
    assert await counts(shipped) == {**before, "ONEFOLD_IN": stored}


async def test_publisher_gets_acknowledgements_and_responses(shipped: ShippedNats) -> None:
    ingest, web = await connect(shipped, "ingest"), await connect(shipped, WEB.name)

    async def respond(msg: nats.aio.msg.Msg) -> None:
        await msg.respond(b"taken")

    try:
        await ingest.jetstream().add_stream(
            name="ONEFOLD_IN", subjects=["onefold.in.>"], retention=api.RetentionPolicy.WORK_QUEUE
        )
        acknowledged = await web.jetstream().publish(WEB.subject, b"{}")
        assert acknowledged.stream == "ONEFOLD_IN"
        await ingest.subscribe("onefold.request.>", queue="ingest", cb=respond)
        await ingest.flush()
        response = await web.request(f"onefold.request.{WEB.name}", b"{}", timeout=5)
        assert response.data == b"taken"
    finally:
        await ingest.close()
        await web.close()


async def test_receiver_gets_what_destinations_of_its_workspace_publish_and_no_more(
    shipped: ShippedNats,
) -> None:
    received: list[str] = []

    async def receive(msg: nats.aio.msg.Msg) -> None:
        received.append(msg.subject)

    activation, crm = await connect(shipped, "activation"), await connect(shipped, CRM.name)
    await crm.subscribe("onefold.out.school.>", cb=receive)
    await crm.flush()
    for subject in ("onefold.out.shop.coupons", "onefold.out.school.coupons"):
        await activation.publish(subject, b"{}")
    await activation.flush()
    await wait_until(lambda: received)
    assert received == ["onefold.out.school.coupons"]
    await activation.close()
    await crm.close()
    async with shipped.connect(CRM.name) as client:
        for subject in ("onefold.out.>", "onefold.out.*.*", "onefold.out.shop.>"):
            assert await client.subscribe(subject), subject
        assert await client.publish("onefold.out.school.coupons")


async def test_reply_of_a_publisher_does_not_reach_a_receiver(shipped: ShippedNats) -> None:
    received: list[str] = []

    async def receive(msg: nats.aio.msg.Msg) -> None:
        received.append(msg.subject)

    async def respond(msg: nats.aio.msg.Msg) -> None:
        await msg.respond(b"taken")

    ingest, web = await connect(shipped, "ingest"), await connect(shipped, WEB.name)
    activation, crm = await connect(shipped, "activation"), await connect(shipped, CRM.name)
    await crm.subscribe("onefold.out.school.>", cb=receive)
    await crm.flush()
    await ingest.subscribe("onefold.request.>", queue="ingest", cb=respond)
    await ingest.flush()

    async def answered() -> bool:
        with suppress(nats.errors.NoRespondersError):  # the subscription is not known yet
            return bool(await web.request(f"onefold.request.{WEB.name}", b"{}", timeout=5))
        return False

    await wait_until(answered)
    for subject in (WEB.subject, f"onefold.request.{WEB.name}"):
        await web.publish(subject, b"{}", reply="onefold.out.school.forged")
    await web.request(f"onefold.request.{WEB.name}", b"{}", timeout=5)
    await activation.publish("onefold.out.school.honest", b"{}")
    await activation.flush()
    await wait_until(lambda: received)
    assert received == ["onefold.out.school.honest"]
    for connection in (ingest, web, activation, crm):
        await connection.close()
