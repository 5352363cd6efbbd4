"""Messages that are published to the streams without the bus key are dropped and counted.

The attacker has the rights of every service on NATS, and sees every message.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import nats
import pytest
import pytest_asyncio
import structlog
import structlog.testing
from nats.aio.client import Client
from nats.aio.msg import Msg
from security.forgeries import FORGED, Forgery, forgeries
from service_fixtures import open_bus, wait_until
from toy.running import DEADLINE, Replica, append, relaying, replica
from toy.words import LOG_SUBJECT, TOY_SUBJECT, WordFact, WordLog, sample_facts

from services.chassis.messaging.envelope import Envelope, MessageAuthenticator
from services.chassis.messaging.jetstream import JetStreamBus
from services.chassis.messaging.stream import OutboxMessage
from services.chassis.messaging.subscription import PREFETCH

SUBJECT = f"{LOG_SUBJECT}.0"


@dataclass
class Attacker:
    """Receives everything, and publishes without the bus key."""

    client: Client
    seen: list[Msg] = field(default_factory=list)

    async def publish(self, forgery: Forgery) -> None:
        await self.client.publish(forgery.subject, forgery.payload, headers=dict(forgery.headers))

    async def publish_all(self, found: Iterator[Forgery]) -> int:
        """Publish forgeries; return how many."""
        published = list(found)
        for forgery in published:
            await self.publish(forgery)
        await self.client.flush()
        return len(published)


@pytest_asyncio.fixture(loop_scope="session")
async def word_log(database: str) -> AsyncIterator[WordLog]:
    log = await WordLog.make(database)
    yield log
    await log.close()


@pytest_asyncio.fixture(loop_scope="session")
async def attacker(nats_url: str) -> AsyncIterator[Attacker]:
    client = await nats.connect(nats_url)
    attacker = Attacker(client)

    async def receive(msg: Msg) -> None:
        attacker.seen.append(msg)

    await client.subscribe("onefold.*.*", cb=receive)
    await client.flush()
    yield attacker
    await client.close()


def rejected(bus: JetStreamBus, subject: str = SUBJECT) -> float:
    """Return how many messages of a subject were rejected."""
    samples = bus.metrics.bus_messages_rejected.labels(subject).collect()[0].samples
    return next(s.value for s in samples if s.name.endswith("_total"))


async def test_forged_messages_are_dropped_and_no_fact_is_lost(
    database: str, nats_url: str, word_log: WordLog, tmp_path: Path, attacker: Attacker
) -> None:
    """Before, between and after honest messages: of their ranges, of later and of earlier ones."""
    async with (
        replica(database, nats_url, word_log, tmp_path) as toy,
        relaying(toy.bus, word_log) as relay,
    ):
        token = await append(word_log, relay, sample_facts(10))
        await toy.runner.wait_for(token, DEADLINE)
        await wait_until(lambda: attacker.seen)
        published = 0
        for i in range(5):
            at = token.offset(0)
            published += await attacker.publish_all(forgeries(attacker.seen, SUBJECT, at))
            token = await append(word_log, relay, sample_facts(10, i))
            await toy.runner.wait_for(token, DEADLINE)
        assert await toy.word_total() == 60
        await toy.runner.wait_for(await append(word_log, relay, sample_facts(10, 7)), DEADLINE)
        await wait_until(lambda: rejected(toy.bus) >= published)
        assert FORGED.word not in await words(toy)
    assert published >= 100


async def words(toy: Replica) -> set[str]:
    rows = await toy.database.pool.fetch("SELECT DISTINCT word FROM word_count")
    return {row["word"] for row in rows}


async def test_flood_of_forged_messages_does_not_stop_the_delivery_of_honest_ones(
    database: str, nats_url: str, word_log: WordLog, tmp_path: Path, attacker: Attacker
) -> None:
    """More than JetStream delivers without an acknowledgement; only the bus delivers here."""
    flood = PREFETCH * 110
    async with (
        replica(database, nats_url, word_log, tmp_path, gap_check_s=3600.0) as toy,
        relaying(toy.bus, word_log) as relay,
    ):
        await toy.runner.wait_for(await append(word_log, relay, sample_facts(10)), DEADLINE)
        for _ in range(flood // 256):
            for _ in range(256):
                await attacker.client.publish(SUBJECT, b"forged")
            # Only so many wait for JetStream.
            await toy.bus.jetstream.publish("onefold.log.9", b"")
        token = await append(word_log, relay, sample_facts(10, 1))
        await toy.runner.wait_for(token, DEADLINE)
        assert rejected(toy.bus) == flood
        assert await toy.word_total() == 20


async def test_forged_newest_message_does_not_move_the_start_of_the_relay(
    nats_url: str, word_log: WordLog, attacker: Attacker
) -> None:
    """A far range would make the relay purge the stream, a near one leave out facts."""
    async with open_bus(nats_url, "test") as bus:
        await bus.ready()
        async with relaying(bus, word_log) as relay:
            await append(word_log, relay, sample_facts(10))
            await wait_until(lambda: is_newest(bus, 10))
        await append(word_log, None, sample_facts(10, 1))
        before = (await bus.jetstream.stream_info("ONEFOLD_LOG")).state
        for covered in ("0-1000000", "0-20", "0-15"):
            for mac in ({}, {"Onefold-Mac": "0" * 64}):
                forgery = Forgery(SUBJECT, {"Onefold-Range": covered, **mac}, b"[]")
                await attacker.publish(forgery)
        await attacker.client.flush()
        await wait_until(lambda: has_no_range(bus))
        async with relaying(bus, word_log):
            await wait_until(lambda: is_newest(bus, 20))
        after = (await bus.jetstream.stream_info("ONEFOLD_LOG")).state
        assert after.first_seq == before.first_seq, "nothing was purged"
        assert rejected(bus) > 0


async def has_no_range(bus: JetStreamBus) -> bool:
    return await bus.last_envelope(SUBJECT) is None


async def is_newest(bus: JetStreamBus, end: int) -> bool:
    last = await bus.last_envelope(SUBJECT)
    return last is not None and last.next == end


async def test_copied_old_message_does_not_make_the_relay_publish_everything_again(
    nats_url: str, word_log: WordLog, attacker: Attacker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.chassis.messaging.relay.MAX_CATCH_UP", 20)
    word_log.page = 5
    async with open_bus(nats_url, "test") as bus:
        await bus.ready()
        async with relaying(bus, word_log) as relay:
            await append(word_log, relay, sample_facts(5))
            await wait_until(lambda: is_newest(bus, 5))
            for i in range(10):
                await append(word_log, relay, sample_facts(5, i))
            await wait_until(lambda: is_newest(bus, 55))
        old = attacker.seen[0]
        await attacker.publish(Forgery(SUBJECT, without_id(old.headers or {}), old.data))
        await attacker.client.flush()
        assert await is_newest(bus, 5)
        before = len(attacker.seen)
        async with relaying(bus, word_log):
            await wait_until(lambda: is_newest(bus, 55))
        assert len(attacker.seen) - before <= 1


def without_id(headers: dict[str, str]) -> dict[str, str]:
    return {name: value for name, value in headers.items() if name != "Nats-Msg-Id"}


async def test_foreseen_message_id_does_not_suppress_an_honest_message(
    database: str, nats_url: str, word_log: WordLog, tmp_path: Path, attacker: Attacker
) -> None:
    """JetStream drops a repeated message id; ids of ranges could be foreseen."""
    async with (
        replica(database, nats_url, word_log, tmp_path, gap_check_s=3600.0) as toy,
        relaying(toy.bus, word_log) as relay,
    ):
        for i in range(2):
            token = await append(word_log, relay, sample_facts(10, i))
            await toy.runner.wait_for(token, DEADLINE)
        honest = attacker.seen[-1].headers or {}
        assert honest["Nats-Msg-Id"] == honest["Onefold-Mac"]
        for guess in ("log-0-20-30", "onefold.log.0-20-30", "20-30"):
            headers = {"Nats-Msg-Id": guess, "Onefold-Range": "20-30"}
            await attacker.publish(Forgery(SUBJECT, headers, b"[]"))
        await attacker.client.flush()
        await toy.runner.wait_for(await append(word_log, relay, sample_facts(10, 2)), DEADLINE)
        assert await toy.word_total() == 30


async def test_forged_output_does_not_stop_the_relay_of_a_service(
    database: str, nats_url: str, word_log: WordLog, tmp_path: Path, attacker: Attacker
) -> None:
    """The stream downstream, with foreign messages in it when the service starts again."""
    for i in range(2):
        async with (
            replica(database, nats_url, word_log, tmp_path) as toy,
            relaying(toy.bus, word_log) as relay,
        ):
            token = await append(word_log, relay, sample_facts(10, i))
            await toy.runner.wait_for(token, DEADLINE)
            seen = [msg for msg in attacker.seen if msg.subject.startswith(TOY_SUBJECT)]
            subject = f"{TOY_SUBJECT}.0"
            await attacker.publish_all(forgeries(seen, subject, token.offset(0)))
    async with replica(database, nats_url, word_log, tmp_path) as toy:
        await toy.bus.ready()

        async def is_published() -> bool:
            last = await toy.bus.last_envelope(f"{TOY_SUBJECT}.0")
            return last is not None and last.next == 20

        await wait_until(is_published)


async def test_notification_is_believed_once_and_only_with_the_bus_key(nats_url: str) -> None:
    received: list[OutboxMessage] = []
    notified = "onefold.notify.log.0"
    async with open_bus(nats_url, "test") as bus, open_bus(nats_url, "ingest") as ingest:
        await bus.ready()
        await ingest.ready()
        async with bus.on_notify(SUBJECT, received.append):
            client = await nats.connect(nats_url)
            other = MessageAuthenticator("the bus key of another installation")
            for headers in (None, {}, other.headers(notified, Envelope(0, 99), b"")):
                await client.publish(notified, headers=headers)
            await client.flush()
            await ingest.notify(SUBJECT, 7)
            await wait_until(lambda: received)
            await client.close()
        assert [output.next for output in received] == [7]
        assert rejected(bus, notified) == 3


async def test_repeated_notifications_do_not_make_the_relay_read_the_store(
    nats_url: str, word_log: WordLog
) -> None:
    reads = 0

    class CountingLog(WordLog):
        async def read(self, shard: int, first: int, limit: int) -> list[object]:  # type: ignore[override]
            nonlocal reads
            reads += 1
            return await word_log.read(shard, first, limit)  # type: ignore[return-value]

    counting = CountingLog(word_log._pool)
    async with open_bus(nats_url, "test") as bus, relaying(bus, counting) as relay:
        await bus.ready()
        await append(word_log, relay, sample_facts(10))
        await wait_until(lambda: is_newest(bus, 10))
        before = reads
        for _ in range(500):
            await bus.notify(SUBJECT, 10)
        await bus.client.flush()
        await append(word_log, None, [WordFact("w0", "leaf", "last")])
        await bus.notify(SUBJECT, 11)
        await wait_until(lambda: is_newest(bus, 11))
        assert reads - before < 20


async def test_messages_of_the_previous_bus_key_are_accepted_while_it_is_set(
    nats_url: str, word_log: WordLog
) -> None:
    old = MessageAuthenticator("the bus key before the rotation of it")
    both = MessageAuthenticator(
        "the bus key after the rotation of it.", "the bus key before the rotation of it"
    )
    async with JetStreamBus(nats_url, name="old", authenticator=old) as before:
        await before.ready()
        async with relaying(before, word_log) as relay:
            await append(word_log, relay, sample_facts(10))
            await wait_until(lambda: is_newest(before, 10))
    async with JetStreamBus(nats_url, name="both", authenticator=both) as after:
        await after.ready()
        assert await is_newest(after, 10)
        async with relaying(after, word_log) as relay:
            await append(word_log, relay, sample_facts(10, 1))
            await wait_until(lambda: is_newest(after, 20))


async def test_log_line_about_forged_messages_is_rare_and_names_the_subject_only(
    database: str, nats_url: str, word_log: WordLog, tmp_path: Path, attacker: Attacker
) -> None:
    with structlog.testing.capture_logs() as entries:
        await forge_many(database, nats_url, word_log, tmp_path, attacker)
    lines = [entry for entry in entries if "MAC_INVALID" in str(entry)]
    assert 1 <= len(lines) <= 2
    assert all(SUBJECT in str(line) and "planted" not in str(line) for line in lines)


async def forge_many(
    database: str, nats_url: str, word_log: WordLog, tmp_path: Path, attacker: Attacker
) -> None:
    """Publish forged messages until all of them are counted."""
    async with (
        replica(database, nats_url, word_log, tmp_path) as toy,
        relaying(toy.bus, word_log) as relay,
    ):
        await toy.runner.wait_for(await append(word_log, relay, sample_facts(10)), DEADLINE)
        before = rejected(toy.bus)
        for _ in range(300):
            headers = {"Onefold-Range": "10-20", "Onefold-Mac": "planted-header"}
            forged = json.dumps("planted-payload").encode()
            await attacker.publish(Forgery(SUBJECT, headers, forged))
        await wait_until(lambda: rejected(toy.bus) == before + 300)
