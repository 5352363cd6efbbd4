"""The NATS door: what publishers send to `onefold.in.<workspace>.<source>`.

JetStream keeps each message (flushed to disk before it answers the publisher) until its events are
committed, and then drops it; so nothing is lost where ingest or PostgreSQL is away. Whoever wants
the outcome sends a request to `onefold.ask.<workspace>.<source>` instead, which no stream keeps.

Headers: `Authorization: Bearer KEY` (a source's key), `Content-Type` (JSON if it does not say
protobuf), `Nats-Msg-Id` (the id of an event that has none).
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterator, Sequence
from typing import Any

import structlog
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.js import api
from nats.js.errors import NotFoundError

from services.chassis.access.authenticator import Authenticator
from services.chassis.access.keys import key_from_authorization
from services.chassis.access.principal import Role, require_role
from services.chassis.messaging.jetstream import BUS_ERRORS, JetStreamBus
from services.chassis.rpc.errors import to_onefold_error
from services.ingest.api.ingest_grpc import sender_of
from services.ingest.api.nats_message import Letter, answer_json, check_place, read_letter
from services.ingest.codec.events import taken_json
from services.ingest.commands.intake import MAX_EVENTS, Intake, Sender, Taken
from services.ingest.domain.model import Refusal
from services.ingest.metrics import EventCounts
from services.ingest.ports import Offer
from services.kernel.errors import OnefoldError, RetryableError
from services.kernel.ids import to_hex

log = structlog.get_logger(__name__)

STREAM, SUBJECTS = "ONEFOLD_IN", "onefold.in.>"
CONSUMER = GROUP = "ingest"
DELIVERED, ASKED = "onefold.deliver.in", "onefold.ask.>"

MOST_AT_ONCE = 500
_IN_FLIGHT = 4 * MOST_AT_ONCE
_ACK_WAIT_S = 60.0
_IDLE_S = 2.0
_PAUSE_S = 1.0
#: A key may be known here a little later than where it was issued.
_KEY_TRIES = 5
_MOST_ASKED = 256
_SENDERS = frozenset({Role.SOURCE})


#: A message and the events in it.
_Read = tuple[Msg, Sequence[Offer]]


class NatsDoor:
    """Takes events from the bus, for as long as `run` runs."""

    def __init__(
        self,
        bus: JetStreamBus,
        intake: Intake,
        authenticator: Authenticator,
        counts: EventCounts,
        *,
        replicas: int = 1,
    ) -> None:
        self._bus = bus
        self._intake = intake
        self._authenticator = authenticator
        self._counts = counts
        self._replicas = replicas
        self._heard: deque[Msg] = deque()
        self._some = asyncio.Event()
        self._asked = asyncio.Semaphore(_MOST_ASKED)
        #: Set while messages are taken.
        self.open = asyncio.Event()

    async def run(self) -> None:
        """Take events until cancelled, whether NATS is there or not."""
        async with asyncio.TaskGroup() as answering:
            while True:
                try:
                    await self._bus.ready()
                    await self._serve(answering)
                except BUS_ERRORS as error:
                    log.warning("nats_door_disturbed", error=type(error).__name__)
                    await asyncio.sleep(_PAUSE_S)
                finally:
                    self.open.clear()

    async def _serve(self, answering: asyncio.TaskGroup) -> None:
        client = self._bus.client

        async def asked(msg: Msg) -> None:
            await self._asked.acquire()
            answering.create_task(self._answer(msg))

        await self._make_stream()
        self._heard.clear()
        subscriptions = [
            await client.subscribe(DELIVERED, queue=GROUP, cb=self._hear),
            await client.subscribe(ASKED, queue=GROUP, cb=asked),
        ]
        try:
            await client.flush()
            self.open.set()
            while True:
                await self._take_some()
        finally:
            for subscription in subscriptions:
                await _quietly(client, subscription)

    async def _make_stream(self) -> None:
        jetstream = self._bus.jetstream
        try:
            await jetstream.stream_info(STREAM)
        except NotFoundError:
            await jetstream.add_stream(_stream(self._replicas))
            log.info("stream_made", stream=STREAM)
        try:
            await jetstream.consumer_info(STREAM, CONSUMER)
        except NotFoundError:
            await jetstream.add_consumer(STREAM, _consumer())

    async def _hear(self, msg: Msg) -> None:
        self._heard.append(msg)
        self._some.set()

    async def _take_some(self) -> None:
        if not self._heard:
            self._some.clear()
            try:
                async with asyncio.timeout(_IDLE_S):
                    await self._some.wait()
            except TimeoutError:
                # Where stream or consumer were deleted, nothing more would ever come.
                await self._bus.jetstream.consumer_info(STREAM, CONSUMER)
                return
        taken = [self._heard.popleft() for _ in range(min(len(self._heard), MOST_AT_ONCE))]
        await self._take(taken)

    async def _take(self, msgs: Sequence[Msg]) -> None:
        """Take messages, those of one sender together."""
        by_sender: dict[Sender, list[_Read]] = {}
        for msg in msgs:
            try:
                sender, offers = await self._read(msg)
            except Exception as error:
                await self._turn_away(msg, error)
                continue
            if isinstance(offers, Refusal):
                await self._refuse(msg, sender, offers)
            else:
                by_sender.setdefault(sender, []).append((msg, offers))
        for sender, letters in by_sender.items():
            for portion in _portions(letters):
                await self._take_from(sender, portion)

    async def _read(self, msg: Msg) -> tuple[Sender, Sequence[Offer] | Refusal]:
        letter = _letter(msg)
        key = key_from_authorization(letter.headers.get("authorization"))
        caller = await self._authenticator.authenticate(key)
        require_role(caller, _SENDERS)
        check_place(letter.subject, caller.workspace_id, caller.source_id)
        return sender_of(caller, "nats"), read_letter(letter)

    async def _take_from(self, sender: Sender, letters: Sequence[_Read]) -> None:
        try:
            taken = await self._intake.take(sender, [o for _, offers in letters for o in offers])
        except Exception as error:
            for msg, _ in letters:
                await self._turn_away(msg, error)
            return
        self._counts.taken(sender.door, taken)
        refused = {rejection.place for rejection in taken.rejections}
        place = 0
        for msg, offers in letters:
            places = range(place, place := place + len(offers))
            await (msg.term() if refused.issuperset(places) else msg.ack())

    async def _refuse(self, msg: Msg, sender: Sender, refusal: Refusal) -> None:
        try:
            await self._intake.refuse_body(sender, msg.data, refusal)
        except Exception as error:
            await self._turn_away(msg, error)
            return
        self._counts.refused(sender.door, refusal.reason)
        await msg.term()

    async def _turn_away(self, msg: Msg, error: Exception) -> None:
        """Let a message come again where that may help, else end it."""
        failed = _known(error)
        again = isinstance(failed, RetryableError) or failed.reason == OnefoldError.reason
        if again or (failed.reason == "KEY_UNKNOWN" and msg.metadata.num_delivered < _KEY_TRIES):
            await msg.nak(delay=_PAUSE_S)
            return
        # Whoever sent it is not known, so there is no quarantine to keep it in.
        log.warning("message_turned_away", reason=failed.reason)
        self._counts.refused("nats", failed.reason)
        await msg.term()

    async def _answer(self, msg: Msg) -> None:
        try:
            told = await self._outcome(msg)
            if msg.reply:
                await msg.respond(answer_json(told))
        except BUS_ERRORS as error:
            log.debug("answer_lost", error=type(error).__name__)
        finally:
            self._asked.release()

    async def _outcome(self, msg: Msg) -> dict[str, object]:
        try:
            sender, offers = await self._read(msg)
            if isinstance(offers, Refusal):
                kept = await self._intake.refuse_body(sender, msg.data, offers)
                told = _told(offers.reason, offers.message)
                return {**told, "quarantineId": to_hex(kept)}
            taken = await self._intake.take(sender, offers)
        except Exception as error:
            failed = _known(error)
            return _told(failed.reason, failed.message)
        self._counts.taken(sender.door, taken)
        return _outcome_of(taken)


def _portions(letters: Sequence[_Read]) -> Iterator[list[_Read]]:
    """Letters together as long as they hold few enough events for one transaction."""
    portion: list[_Read] = []
    events = 0
    for letter in letters:
        events += len(letter[1])
        if portion and events > MAX_EVENTS:
            yield portion
            portion, events = [], len(letter[1])
        portion.append(letter)
    if portion:
        yield portion


def _known(error: Exception) -> OnefoldError:
    failed = to_onefold_error(error)
    if failed.reason == OnefoldError.reason:
        log.error("call_failed", method="nats", exc_info=error)
    return failed


def _outcome_of(taken: Taken) -> dict[str, object]:
    told = taken_json(taken)
    return told if taken.accepted or taken.duplicates else {**told, "success": False}


def _told(reason: str, message: str) -> dict[str, object]:
    return {"success": False, "code": reason, "message": message}


def _letter(msg: Msg) -> Letter:
    headers = {name.lower(): value for name, value in (msg.headers or {}).items()}
    return Letter(msg.subject, headers, msg.data)


def _stream(replicas: int) -> api.StreamConfig:
    return api.StreamConfig(
        name=STREAM,
        subjects=[SUBJECTS],
        retention=api.RetentionPolicy.WORK_QUEUE,
        storage=api.StorageType.FILE,
        num_replicas=replicas,
    )


def _consumer() -> api.ConsumerConfig:
    return api.ConsumerConfig(
        durable_name=CONSUMER,
        deliver_subject=DELIVERED,
        deliver_group=GROUP,
        ack_policy=api.AckPolicy.EXPLICIT,
        ack_wait=_ACK_WAIT_S,
        max_ack_pending=_IN_FLIGHT,
    )


async def _quietly(client: Client, subscription: Any) -> None:
    try:
        await subscription.unsubscribe()
    except BUS_ERRORS as error:
        log.debug("bus_error_at_end", error=type(error).__name__)
