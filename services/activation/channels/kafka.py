"""Appends messages to topics of Kafka by an idempotent producer."""

from __future__ import annotations

import asyncio
import threading
from typing import Any, Self

import msgspec

from services.activation.channels import Message, Sender
from services.activation.channels.change import change_of
from services.activation.channels.extras import MissingExtra, load_extra
from services.activation.channels.ssrf import TargetGuard
from services.activation.domain.channels import brokers_of
from services.activation.domain.model import Destination
from services.activation.domain.sealing import SecretKeys, SecretNotReadable
from services.activation.domain.system_channels import Kafka
from services.activation.domain.transitions import AttemptResult, AttemptStatus

#: Milliseconds within which the brokers accept a record, or the attempt has failed.
TIMEOUT_MS = 15_000
#: Seconds between two looks for reports while nothing happens.
_POLL_S = 0.2
NOT_ALLOWED = "a broker is not allowed by the operator"
#: Errors of Kafka (by their names in librdkafka) that no repeat of this message changes.
_REFUSED = frozenset({"MSG_SIZE_TOO_LARGE", "INVALID_RECORD", "INVALID_MSG", "_INVALID_ARG"})
#: Errors that stand for every message until the destination or the cluster is changed.
_SETUP = frozenset(
    {
        "_AUTHENTICATION", "_SSL", "CLUSTER_AUTHORIZATION_FAILED", "SASL_AUTHENTICATION_FAILED",
        "TOPIC_AUTHORIZATION_FAILED", "TRANSACTIONAL_ID_AUTHORIZATION_FAILED",
        "UNSUPPORTED_SASL_MECHANISM", "ILLEGAL_SASL_STATE", "TOPIC_EXCEPTION", "_UNKNOWN_TOPIC",
        "UNKNOWN_TOPIC_OR_PART",
    }
)  # fmt: skip


class KafkaSender(Sender):
    """Appends one record a message, whose header `effect-id` lets consumers drop repeats.

    The library connects to whatever brokers the cluster names, past the guard of targets, so only
    clusters are used whose brokers the operator allows one by one.
    """

    def __init__(self, guard: TargetGuard, keys: SecretKeys) -> None:
        self._guard = guard
        self._keys = keys
        self._producers: dict[tuple[str, str], _Producer] = {}

    async def send(self, destination: Destination, message: Message) -> AttemptResult:
        channel = destination.channel
        if not isinstance(channel, Kafka):
            raise TypeError("a Kafka sender appends records to topics")
        if not all(self._guard.is_allowed(host, port) for host, port in brokers_of(channel)):
            return AttemptResult(AttemptStatus.CREDENTIALS, NOT_ALLOWED)
        try:
            producer = self._producer(destination, channel)
        except (MissingExtra, SecretNotReadable) as error:
            return AttemptResult(AttemptStatus.CREDENTIALS, str(error))
        result = await producer.append(channel.topic, message)
        if producer.is_broken:
            self._producers.pop(_key_of(destination), None)
            producer.close()
        return result

    def _producer(self, destination: Destination, channel: Kafka) -> _Producer:
        key = _key_of(destination)
        found = self._producers.get(key)
        if found is not None and found.version == destination.version:
            return found
        library = load_extra("confluent_kafka", "kafka")
        password = self._keys.open_all(
            destination.workspace_id, destination.destination_id, channel
        )["password"]
        if found is not None:
            found.close()
        self._producers[key] = _Producer(
            library, settings_of(channel, password), destination.version
        )
        return self._producers[key]

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        for producer in self._producers.values():
            producer.close()


class _Producer:
    """A producer, and the thread that waits for what the brokers report."""

    def __init__(self, library: Any, settings: dict[str, Any], version: int) -> None:
        self.version = version
        #: Whether the producer cannot go on, such as after an error of its idempotence.
        self.is_broken = False
        self._library = library
        self._loop = asyncio.get_running_loop()
        self._producer = library.Producer(settings)
        self._closed = False
        threading.Thread(target=self._poll, name="kafka", daemon=True).start()

    async def append(self, topic: str, message: Message) -> AttemptResult:
        """Append a record to the partition of its profile, and wait until the brokers have it."""
        ended: asyncio.Future[AttemptResult] = self._loop.create_future()

        def report(error: Any, _: Any) -> None:
            result = (
                AttemptResult(AttemptStatus.DELIVERED) if error is None else self._judged(error)
            )
            self._loop.call_soon_threadsafe(_set, ended, result)

        try:
            self._producer.produce(
                topic,
                message.payload,
                key=_partition_key(message),
                headers={"effect-id": message.key, "content-type": "application/json"},
                on_delivery=report,
            )
        except self._library.KafkaException as error:
            return self._judged(error.args[0])
        except BufferError:
            return AttemptResult(AttemptStatus.FAILED, "too many records wait for the brokers")
        return await ended

    def close(self) -> None:
        """End the thread; records without a report have results as the library gives them up."""
        self._closed = True

    def _poll(self) -> None:
        while not self._closed:
            self._producer.poll(_POLL_S)
        self._producer.purge()
        self._producer.poll(_POLL_S)

    def _judged(self, error: Any) -> AttemptResult:
        self.is_broken = self.is_broken or bool(error.fatal())
        return result_of_error(error.name())


def settings_of(channel: Kafka, password: str) -> dict[str, Any]:
    """Return the settings of the producer of a channel."""
    settings: dict[str, Any] = {
        "bootstrap.servers": ",".join(
            f"{f'[{host}]' if ':' in host else host}:{port}" for host, port in brokers_of(channel)
        ),
        "enable.idempotence": True,
        "acks": "all",
        "message.timeout.ms": TIMEOUT_MS,
        "linger.ms": 5,
        "log_level": 0,
    }
    protocol = "PLAINTEXT" if channel.security == "none" else "SSL"
    if channel.username:
        protocol = f"SASL_{protocol}"
        settings |= {
            "sasl.mechanism": channel.mechanism or "SCRAM-SHA-512",
            "sasl.username": channel.username,
            "sasl.password": password,
        }
    return settings | {"security.protocol": protocol}


def result_of_error(name: str) -> AttemptResult:
    """Return the result of an error by its name in librdkafka, such as `_MSG_TIMED_OUT`.

    Others than those listed may stand for a record that the brokers have: it is appended again, and
    consumers drop it by its header.
    """
    if name in _SETUP:
        return AttemptResult(AttemptStatus.CREDENTIALS, name)
    if name in _REFUSED:
        return AttemptResult(AttemptStatus.REJECTED, name)
    return AttemptResult(AttemptStatus.LOST, name)


def _partition_key(message: Message) -> str:
    """Return the id of the profile, so that its messages stay in order; else the message's key."""
    try:
        return change_of(message.payload).profile.id
    except msgspec.DecodeError:
        return message.key


def _set(future: asyncio.Future[AttemptResult], result: AttemptResult) -> None:
    if not future.done():
        future.set_result(result)


def _key_of(destination: Destination) -> tuple[str, str]:
    return destination.workspace_id, destination.destination_id
