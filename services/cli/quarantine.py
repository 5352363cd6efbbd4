"""`onefold quarantine`: what was refused, and its way back."""

from __future__ import annotations

from base64 import b64encode
from typing import Any

import msgspec
from google.protobuf.json_format import ParseDict, ParseError
from onefold.ingest.v1.ingest_service_pb2 import (
    ListQuarantinedRequest,
    ReleaseQuarantinedRequest,
)
from onefold.type.v1.errors_pb2 import ErrorReason
from onefold.type.v1.event_pb2 import Event

from services.cli import output as show
from services.cli.client import Client
from services.kernel.errors import InvalidField
from services.kernel.time import to_rfc3339

#: Bytes in the treaty, but written as objects by people.
_DOCUMENTS = frozenset({"properties", "traits", "context"})


async def show_quarantined(client: Client, limit: int) -> None:
    """Print the newest entries; what was sent is not shown, for it may be personal."""
    request = ListQuarantinedRequest(page_size=limit)
    answer = await client.call(client.ingest.ListQuarantined, request)
    rows = [
        (
            entry.quarantine_id,
            to_rfc3339(entry.received_at_us)[:19],
            entry.source_id,
            entry.door,
            ErrorReason.Name(entry.reason).removeprefix("ERROR_REASON_"),
            entry.message,
        )
        for entry in answer.entries
    ]
    show.table("", ("id", "received", "source", "door", "reason", "what to do"), rows)
    if answer.next_page_token:
        show.out.print("There are more.")


async def release(client: Client, quarantine_id: str, repaired: bytes | None) -> None:
    """Release one entry, as it was or as the JSON of a onefold.type.v1.Event.

    Raises InvalidField where the JSON is no event.
    """
    request = ReleaseQuarantinedRequest(quarantine_id=quarantine_id)
    if repaired is not None:
        request.event.CopyFrom(_event(repaired))
    answer = await client.call(client.ingest.ReleaseQuarantined, request)
    for rejection in answer.result.rejections:
        show.fail(f"it is still refused: {rejection.message}")
    show.out.print("It is in the log." if answer.result.accepted else "It was in the log already.")


def _event(raw: bytes) -> Event:
    try:
        told = msgspec.json.decode(raw, type=dict[str, Any])
        for name in _DOCUMENTS & told.keys():
            told[name] = b64encode(msgspec.json.encode(told[name])).decode()
        return ParseDict(told, Event())
    except (msgspec.DecodeError, ParseError) as error:
        raise InvalidField(
            "the file is not the JSON of an event; see Event in docs/reference/api.md"
        ) from error
