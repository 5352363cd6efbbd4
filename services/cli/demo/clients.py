"""The four ways in, each as a customer would use it."""

from __future__ import annotations

import asyncio
import csv
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import nats
from onefold.ingest.v1.ingest_service_pb2 import IngestEventsRequest
from onefold.type.v1 import event_pb2
from onefold.type.v1.identifier_pb2 import Identifier
from segment.analytics.client import Client as SegmentClient

from services.cli.client import Client
from services.cli.demo.dataset import Happening
from services.cli.importer import import_file
from services.kernel.errors import OnefoldError
from services.kernel.time import to_rfc3339

#: Told how many more events were sent.
Sent = Callable[[int], object]
_T = TypeVar("_T")

GRPC_BATCH, NATS_BATCH, NATS_WINDOW = 200, 50, 32
_TYPES = {n.removeprefix("EVENT_TYPE_").lower(): v for n, v in event_pb2.EventType.items()}


async def through_sdk(events: Sequence[Happening], url: str, key: str, sent: Sent) -> None:
    """The website's back end: the official segment-analytics-python, unchanged."""
    await asyncio.to_thread(_through_sdk, events, url, key, sent)


def _through_sdk(events: Sequence[Happening], url: str, key: str, sent: Sent) -> None:
    failures: list[Exception] = []
    client = SegmentClient(
        key,
        host=url,
        max_queue_size=len(events) + 1,
        upload_size=100,
        gzip=True,
        on_error=lambda error, _items: failures.append(error),
    )
    try:
        for part in _parts(events, 500):
            for event in part:
                _with_sdk(client, event)
            client.flush()
            sent(len(part))
    finally:
        client.join()
    if failures:
        raise OnefoldError(f"the SDK could not deliver: {type(failures[0]).__name__}")


def _with_sdk(client: SegmentClient, event: Happening) -> None:
    told: dict[str, Any] = {
        "user_id": event.user_id or None,
        "anonymous_id": event.anonymous_id or None,
        "timestamp": datetime.fromtimestamp(event.occurred_at_us / 1e6, UTC),
        "message_id": event.message_id,
    }
    if event.type == "identify":
        client.identify(traits=event.traits, **told)
    elif event.type == "page":
        client.page(properties=event.properties, **told)
    else:
        client.track(event=event.name, properties=event.properties, **told)


async def through_grpc(events: Sequence[Happening], client: Client, sent: Sent) -> None:
    """The app's back end: batches over gRPC."""
    for part in _parts(events, GRPC_BATCH):
        request = IngestEventsRequest(events=map(message, part))
        answer = await client.call(client.ingest.IngestEvents, request)
        if answer.rejections:
            raise OnefoldError(f"gRPC: refused: {answer.rejections[0].message}")
        sent(len(part))


async def through_nats(
    events: Sequence[Happening], url: str, subject: str, key: str, sent: Sent
) -> None:
    """The mini-program's back end: JetStream publishes, acknowledged."""
    connection = await nats.connect(url)
    try:
        stream = connection.jetstream()
        headers = {"Authorization": f"Bearer {key}"}
        for window in _parts(list(_parts(events, NATS_BATCH)), NATS_WINDOW):
            bodies = [msgspec.json.encode({"batch": [_json(e) for e in part]}) for part in window]
            publishing = (stream.publish(subject, body, headers=headers) for body in bodies)
            await asyncio.gather(*publishing)
            sent(sum(map(len, window)))
    finally:
        await connection.close()


async def through_file(
    events: Sequence[Happening], folder: Path, client: Client, key: str, sent: Sent
) -> None:
    """The branch offices: a CSV file out of their CRM."""
    file = folder / "crm.csv"
    _write_csv(file, events)
    mapping = Path(__file__).with_name("crm.yaml")
    report = await import_file(file, mapping, client.doors.grpc["ingest"], key)
    if report.refused:
        raise OnefoldError(f"CSV: {report.refused} lines were refused")
    sent(len(events))


def _write_csv(file: Path, events: Iterable[Happening]) -> None:
    with file.open("w", newline="", encoding="utf-8") as out:
        writer = csv.writer(out)
        writer.writerow(["record", "what", "phone", "when", "lesson", "course", "amount"])
        for event in events:
            told = event.properties
            writer.writerow(
                [
                    *(event.message_id, event.name, event.phone),
                    to_rfc3339(event.occurred_at_us),
                    *(told.get("lesson", ""), told.get("course_id", ""), told.get("amount", "")),
                ]
            )


def message(event: Happening) -> event_pb2.Event:
    """The event as a gRPC client sends it."""
    identifiers = {"user_id": event.user_id, "anonymous_id": event.anonymous_id}
    identifiers |= {"phone": event.phone or event.traits.get("phone", "")}
    identifiers |= {"email": event.traits.get("email", "")}
    return event_pb2.Event(
        type=_TYPES[event.type],  # type: ignore[arg-type]  # the numbers are the enum's
        name=event.name,
        message_id=event.message_id,
        identifiers=[Identifier(namespace=n, value=v) for n, v in identifiers.items() if v],
        occurred_at_us=event.occurred_at_us,
        properties=msgspec.json.encode(event.properties),
        traits=msgspec.json.encode(event.traits),
        channel=event.channel,
    )


def _json(event: Happening) -> dict[str, Any]:
    told: dict[str, Any] = {
        "type": event.type,
        "messageId": event.message_id,
        "userId": event.user_id or None,
        "anonymousId": event.anonymous_id or None,
        "timestamp": to_rfc3339(event.occurred_at_us),
    }
    if event.type == "identify":
        return told | {"traits": event.traits}
    if event.type == "track":
        told["event"] = event.name
    return told | {"properties": event.properties}


def _parts(items: Sequence[_T], size: int) -> Iterator[list[_T]]:
    rest = iter(items)
    while part := list(islice(rest, size)):
        yield part
