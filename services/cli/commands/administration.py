"""`./onefold sources`, `quarantine` and `clock`: sources, rejected events, and the log's clock."""

from __future__ import annotations

from base64 import b64encode
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer
from google.protobuf.json_format import ParseDict, ParseError
from onefold.ingest.v1.admin_service_pb2 import ListSourcesRequest
from onefold.ingest.v1.ingest_facts_pb2 import SourceDefined
from onefold.ingest.v1.ingest_service_pb2 import (
    ListDuplicatesRequest,
    ListQuarantinedRequest,
    ReleaseQuarantinedRequest,
    Repeats,
)
from onefold.log.v1.log_service_pb2 import TickClockRequest
from onefold.type.v1.errors_pb2 import ErrorReason
from onefold.type.v1.event_pb2 import Event
from onefold.type.v1.source_trust_pb2 import Party, SourceTrust
from typer import Argument, Option

from services.cli import output
from services.cli.context import DataDir, Limit, run_with_client
from services.cli.values import word_of
from services.kernel.errors import InvalidField
from services.kernel.time import parse_span

sources = typer.Typer(no_args_is_help=True, help="The sources of events, and their trust.")
quarantine = typer.Typer(no_args_is_help=True, help="Rejected events, and their release.")
clock = typer.Typer(no_args_is_help=True, help="The log's clock, for demos and tests.")

#: Fields that are bytes in the protos and objects in YAML.
_JSON_FIELDS = frozenset({"properties", "traits", "context"})


@sources.command("list")
def list_sources(data: DataDir) -> None:
    """List the sources, how far each is believed, and what its events may contain."""
    request = ListSourcesRequest()
    response = run_with_client(data, lambda client: client.admin.ListSources(request))
    rows = [
        (
            each.source.source_id,
            each.source.title,
            word_of(SourceTrust, "SOURCE_TRUST_", each.source.trust),
            word_of(Party, "PARTY_", each.source.party),
            limits_text(each.source),
            "disabled" if each.source.disabled else "",
        )
        for each in response.sources
    ]
    output.print_table(("id", "title", "trust", "party", "limits", ""), rows)


@sources.command("duplicates")
def list_duplicates(
    data: DataDir,
    source: Annotated[str, Option(help="Only messages of this source.")] = "",
    limit: Limit = 50,
) -> None:
    """List the messages that were sent again, and that the log did not store again.

    A message is named by the id of the fact that it became when it came first.
    """
    request = ListDuplicatesRequest(page_size=limit, source_id=source)
    response = run_with_client(data, lambda client: client.ingest.ListDuplicates(request))
    header = ("source", "repeats", "first repeated", "last repeated")
    totals = [total for total in response.totals if source in ("", total.source_id)]
    output.print_table(header, map(_repeats_row, totals))
    rows = [(each.fact_id, *_repeats_row(each.repeats)) for each in response.messages]
    output.print_table(("fact", *header), rows)


def _repeats_row(repeats: Repeats) -> tuple[str, ...]:
    times = (repeats.first_at_us, repeats.last_at_us)
    return (repeats.source_id, f"{repeats.count:,}", *map(output.format_time, times))


def limits_text(source: SourceDefined) -> str:
    """Return the limits that a definition states, as one line."""
    limits = (
        ("namespaces", ", ".join(source.allowed_namespaces)),
        ("events", ", ".join(source.allowed_event_names)),
        ("traits", ", ".join(source.allowed_traits)),
        ("age", f"{source.max_age_days}d" if source.max_age_days else ""),
    )
    return "; ".join(f"{name}: {text}" for name, text in limits if text)


@quarantine.command("list")
def list_quarantined(data: DataDir, limit: Limit = 50) -> None:
    """List rejected events, newest first, without their contents, which may be personal."""
    request = ListQuarantinedRequest(page_size=limit)
    response = run_with_client(data, lambda client: client.ingest.ListQuarantined(request))
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
    output.print_table(columns, rows, more=bool(response.next_page_token))


@quarantine.command()
def release(
    data: DataDir,
    quarantine_id: Annotated[str, Argument(help="An id from the list.")],
    repaired: Annotated[
        Path | None,
        Option("--repaired", help="The repaired event: JSON of a onefold.type.v1.Event."),
    ] = None,
) -> None:
    """Release one rejected event, repaired or as it was."""
    with output.exit_on_error():
        event = _event(repaired.read_bytes()) if repaired else None
    request = ReleaseQuarantinedRequest(quarantine_id=quarantine_id, event=event)
    response = run_with_client(data, lambda client: client.ingest.ReleaseQuarantined(request))
    for rejection in response.result.rejections:
        output.fail(f"the event is still rejected: {rejection.message}")
    appended = "is in the log" if response.result.accepted else "was already in the log"
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


@clock.command()
def advance(data: DataDir, span: Annotated[str, Argument(help="Such as 8d.")]) -> None:
    """Move the log's clock ahead."""
    try:
        advance_us = parse_span(span)
    except ValueError as error:
        output.fail(str(error))
    request = TickClockRequest(advance_us=advance_us)
    tick = run_with_client(data, lambda client: client.log.TickClock(request))
    output.out.print(f"The log's clock is at {output.format_time(tick.now_us)}.")
