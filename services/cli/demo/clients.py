"""Sends events through the four endpoints, each as a customer would."""

from __future__ import annotations

import asyncio
import csv
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import nats
from onefold.ingest.v1.ingest_service_pb2 import IngestEventsRequest
from onefold.type.v1 import event_pb2
from onefold.type.v1.identifier_pb2 import Identifier
from segment.analytics.client import Client as SegmentClient

from services.cli.commands.imports import import_file
from services.cli.demo.dataset import VisitorEvent
from services.client.client import Client
from services.devstack.folders import open_private
from services.devstack.nats_config import ClientId
from services.kernel.errors import OnefoldError
from services.kernel.time import to_rfc3339

#: Is called with the number of events sent since the last call.
OnSent = Callable[[int], object]
_T = TypeVar("_T")

#: Seconds for which the SDK retries.
SDK_RETRIES_S = 30
SDK_BATCH, GRPC_BATCH, NATS_BATCH, NATS_WINDOW = 500, 200, 50, 32
_TYPES = {n.removeprefix("EVENT_TYPE_").lower(): v for n, v in event_pb2.EventType.items()}


def send_by_sdk(
    events: Sequence[VisitorEvent], url: str, key: str, sent: OnSent, ended: threading.Event
) -> None:
    """Send as the website's back end does: with the official segment-analytics-python.

    It runs in a thread, and stops soon after `ended` is set. Raises OnefoldError where events are
    not delivered in time.
    """
    failures: list[Exception] = []
    client = SegmentClient(
        key,
        host=url,
        max_queue_size=len(events) + 1,
        upload_size=100,
        gzip=True,
        on_error=lambda error, _items: failures.append(error),
        # The defaults of the SDK retry for half a day.
        max_total_backoff_duration=SDK_RETRIES_S,
        max_rate_limit_duration=SDK_RETRIES_S,
    )
    try:
        for batch in _batches(events, SDK_BATCH):
            for event in batch:
                _call_sdk(client, event)
            while client.queue.unfinished_tasks and not failures and not ended.is_set():
                time.sleep(0.01)
            if failures or ended.is_set():
                break
            sent(len(batch))
    finally:
        client.join()
    if failures:
        raise OnefoldError(f"the SDK could not deliver: {type(failures[0]).__name__}")


def _call_sdk(client: SegmentClient, event: VisitorEvent) -> None:
    fields: dict[str, Any] = {
        "user_id": event.user_id or None,
        "anonymous_id": event.anonymous_id or None,
        "timestamp": datetime.fromtimestamp(event.occurred_at_us / 1e6, UTC),
        "message_id": event.message_id,
    }
    if event.type == "identify":
        client.identify(traits=event.traits, **fields)
    elif event.type == "page":
        client.page(properties=event.properties, **fields)
    else:
        client.track(event=event.name, properties=event.properties, **fields)


async def send_by_grpc(events: Sequence[VisitorEvent], client: Client, sent: OnSent) -> None:
    """Send as the app's back end does: batches over gRPC."""
    for batch in _batches(events, GRPC_BATCH):
        request = IngestEventsRequest(events=map(to_message, batch))
        response = await client.ingest.IngestEvents(request)
        if response.rejections:
            raise OnefoldError(f"gRPC: rejected: {response.rejections[0].message}")
        sent(len(batch))


async def send_by_nats(
    events: Sequence[VisitorEvent], url: str, publisher: ClientId, key: str, sent: OnSent
) -> None:
    """Send as the mini-program's back end does: acknowledged publications to JetStream."""
    connection = await nats.connect(url, inbox_prefix=publisher.inbox_prefix)
    try:
        stream = connection.jetstream()
        headers = {"Authorization": f"Bearer {key}"}
        for window in _batches(list(_batches(events, NATS_BATCH)), NATS_WINDOW):
            bodies = [
                msgspec.json.encode({"batch": [_to_json(e) for e in batch]}) for batch in window
            ]
            publishing = (
                stream.publish(publisher.subject, body, headers=headers) for body in bodies
            )
            await asyncio.gather(*publishing)
            sent(sum(map(len, window)))
    finally:
        await connection.close()


async def send_by_file(
    events: Sequence[VisitorEvent], folder: Path, address: str, key: str, sent: OnSent
) -> None:
    """Send as the branch offices do: a CSV file exported from their CRM."""
    file = folder / "crm.csv"
    _write_csv(file, events)
    report = await import_file(file, Path(__file__).with_name("crm.yaml"), address, key)
    if report.rejected:
        raise OnefoldError(f"CSV: {report.rejected} lines were rejected")
    sent(len(events))


def _write_csv(file: Path, events: Iterable[VisitorEvent]) -> None:
    with open(file, "w", newline="", encoding="utf-8", opener=open_private) as out:
        writer = csv.writer(out)
        writer.writerow(["record", "what", "phone", "when", "lesson", "course", "amount"])
        for event in events:
            values = [event.properties.get(name, "") for name in ("lesson", "course_id", "amount")]
            when = to_rfc3339(event.occurred_at_us)
            writer.writerow([event.message_id, event.name, event.phone, when, *values])


def to_message(event: VisitorEvent) -> event_pb2.Event:
    """Return the event as a gRPC client sends it."""
    identifiers = {
        "user_id": event.user_id,
        "anonymous_id": event.anonymous_id,
        "phone": event.phone or event.traits.get("phone", ""),
        "email": event.traits.get("email", ""),
    }
    return event_pb2.Event(
        type=_TYPES[event.type],  # type: ignore[arg-type]  # the numbers are the enum's
        name=event.name,
        message_id=event.message_id,
        identifiers=[Identifier(namespace=n, value=v) for n, v in identifiers.items() if v],
        occurred_at_us=event.occurred_at_us,
        properties=msgspec.json.encode(event.properties),
        traits=msgspec.json.encode(event.traits),
        channel=event.channel,
        group_id=event.group_id,
    )


def _to_json(event: VisitorEvent) -> dict[str, Any]:
    call: dict[str, Any] = {
        "type": event.type,
        "messageId": event.message_id,
        "userId": event.user_id or None,
        "anonymousId": event.anonymous_id or None,
        "timestamp": to_rfc3339(event.occurred_at_us),
    }
    if event.type == "identify":
        return call | {"traits": event.traits}
    if event.type == "track":
        call["event"] = event.name
    return call | {"properties": event.properties}


def _batches(items: Sequence[_T], size: int) -> Iterator[Sequence[_T]]:
    for start in range(0, len(items), size):
        yield items[start : start + size]
