"""`onefold quarantine`: rejected events, and their release."""

from __future__ import annotations

from base64 import b64encode
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer
from google.protobuf.json_format import ParseDict, ParseError
from onefold.ingest.v1.ingest_service_pb2 import ListQuarantinedRequest, ReleaseQuarantinedRequest
from onefold.type.v1.errors_pb2 import ErrorReason
from onefold.type.v1.event_pb2 import Event

from services.cli import output
from services.cli.context import DataDir, run_with_client
from services.client.client import Client
from services.kernel.errors import InvalidField

app = typer.Typer(no_args_is_help=True, help="Rejected events, and their release.")

#: Bytes in the protos, which people write as objects.
_JSON_FIELDS = frozenset({"properties", "traits", "context"})


@app.command("list")
def list_(
    data: DataDir,
    limit: Annotated[int, typer.Option(help="Show at most this many.", min=1, max=1_000)] = 50,
) -> None:
    """List rejected events, newest first, without their contents, which may be personal."""
    run_with_client(data, lambda client: _show_quarantined(client, limit))


@app.command()
def release(
    data: DataDir,
    quarantine_id: Annotated[str, typer.Argument(help="An id from the list.")],
    repaired: Annotated[
        Path | None,
        typer.Option("--repaired", help="The repaired event: JSON of a onefold.type.v1.Event."),
    ] = None,
) -> None:
    """Release one rejected event, repaired or as it was."""
    with output.exit_on_error():
        event = _event(repaired.read_bytes()) if repaired else None
    run_with_client(data, lambda client: _release(client, quarantine_id, event))


async def _show_quarantined(client: Client, limit: int) -> None:
    request = ListQuarantinedRequest(page_size=limit)
    response = await client.ingest.ListQuarantined(request)
    rows = [
        (
            entry.quarantine_id,
            output.format_time(entry.received_at_us),
            entry.source_id,
            entry.endpoint,
            ErrorReason.Name(entry.reason).removeprefix("ERROR_REASON_"),
            entry.message,
        )
        for entry in response.entries
    ]
    columns = ("id", "received", "source", "endpoint", "reason", "what to do")
    output.print_table("", columns, rows)
    if response.next_page_token:
        output.out.print("There are more: raise --limit.")


async def _release(client: Client, quarantine_id: str, repaired: Event | None) -> None:
    request = ReleaseQuarantinedRequest(quarantine_id=quarantine_id, event=repaired)
    result = (await client.ingest.ReleaseQuarantined(request)).result
    for rejection in result.rejections:
        output.fail(f"the event is still rejected: {rejection.message}")
    appended = "is in the log" if result.accepted else "was already in the log"
    output.out.print(f"The event {appended}.")


def _event(raw: bytes) -> Event:
    try:
        document = msgspec.json.decode(raw, type=dict[str, Any])
        for name in _JSON_FIELDS & document.keys():
            document[name] = b64encode(msgspec.json.encode(document[name])).decode()
        return ParseDict(document, Event())
    except (msgspec.DecodeError, ParseError) as error:
        raise InvalidField(
            "the file is not the JSON of an event; see Event in docs/reference/api.md"
        ) from error
