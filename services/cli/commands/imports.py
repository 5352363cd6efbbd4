"""`./onefold import`: imports CSV and JSON-lines files, row by row, over gRPC.

A second run changes nothing: the message id of an event is the one in the mapping, or else a hash
of what the mapping uses of its row, and the number of equal rows before it. So an interrupted
import is simply started again.
"""

from __future__ import annotations

import asyncio
import csv
import json
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from hashlib import blake2b
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import typer
from onefold.ingest.v1.ingest_service_pb2 import IngestEventsRequest, IngestEventsResponse
from onefold.type.v1.errors_pb2 import ErrorReason
from onefold.type.v1.event_pb2 import Event
from typer import Argument, Option

from services.cli import output
from services.cli.context import DataDir, read_secret_option
from services.cli.endpoints import find_endpoints
from services.cli.files.cells import BadCell, Row
from services.cli.files.mapping import FileMapping, read_mapping
from services.cli.files.rows import RowFile
from services.client.api import IngestApi
from services.client.client import ApiEndpoints, Client
from services.devstack.folders import open_private
from services.kernel.errors import InvalidField, RetryableError
from services.kernel.yaml_documents import MAX_BYTES, parse_yaml

#: The variable of the write key.
WRITE_KEY = "ONEFOLD_WRITE_KEY"
#: The most events and bytes of one call.
BATCH, BATCH_BYTES = 500, 1 << 20
#: The largest event that is sent; the endpoints reject smaller ones already.
MAX_EVENT = 256 << 10
#: How long one batch is retried while the service is away, seconds.
RETRY_FOR_S = 60.0
CALL_TIMEOUT_S = 30.0
#: The most rejections that a report lists; the others are counted.
MAX_LISTED = 1_000
WriteKey = Annotated[
    str,
    Option(
        metavar="@FILE|-",
        help="The file of the source's write key, or - for standard input; without it "
        f"{WRITE_KEY} or {WRITE_KEY}_FILE.",
    ),
]
_ENDPOINT = (("onefold-endpoint", "file"),)

#: Is called with the number of lines done since the last call.
ImportProgress = Callable[[int], object]


def import_(
    data: DataDir,
    file: Annotated[Path, Argument(help="A .csv, .tsv, .jsonl or .ndjson file.")],
    mapping: Annotated[Path, Option(help="How its columns become events (YAML).")],
    key: WriteKey = "",
    rejections: Annotated[
        Path | None, Option(help="Write every rejected line with its reason into this CSV file.")
    ] = None,
) -> None:
    """Import a file; list the rejected lines with their numbers. A second run changes nothing."""
    write_key = read_secret_option("--key", key, WRITE_KEY)
    with output.exit_on_error():
        address = find_endpoints(data).grpc["ingest"]
    with output.ProgressBars() as bars:
        task = bars.add_task(file.name, total=None)
        report = output.run(
            import_file(
                file,
                mapping,
                address,
                write_key,
                lambda lines: bars.advance(task, lines),
                rejections,
            )
        )
    for line in summary_of(report, rejections):
        output.out.print(line, soft_wrap=True)
    raise typer.Exit(1 if report.rejected else 0)


class RejectedLine(NamedTuple):
    """A line of a file, or a row of a database, that did not become an event."""

    #: Counted from 1; the first one of a row that takes several lines. Of a database: the key.
    line: int | str
    #: A name of onefold.type.v1.ErrorReason without its prefix, or LINE_INVALID.
    reason: str
    field: str
    message: str


@dataclass(slots=True)
class ImportReport:
    """The result of an import."""

    #: The encoding of the file, and what decided it; empty for a database.
    encoding: str = ""
    accepted: int = 0
    #: Events that were already in the log.
    duplicates: int = 0
    rejected: int = 0
    #: The first of the rejected lines, in their order.
    rejections: list[RejectedLine] = field(default_factory=list)
    #: All rejected lines by their reason.
    reasons: Counter[str] = field(default_factory=Counter)
    #: Identifiers of events in the log that identify no one, as the service counts them.
    unusable_identifiers: int = 0
    #: Cells of identifiers that identify no one, by namespace and reason.
    unusable: Counter[tuple[str, str]] = field(default_factory=Counter)
    #: Columns that the mapping uses and that no row has.
    unseen_columns: tuple[str, ...] = ()
    #: Is called with each rejected line.
    on_rejected: Callable[[RejectedLine], object] = lambda _: None

    def reject(self, line: RejectedLine) -> None:
        self.rejected += 1
        self.reasons[line.reason] += 1
        self.on_rejected(line)
        if len(self.rejections) < MAX_LISTED:
            self.rejections.append(line)


def summary_of(
    report: ImportReport, rejections: Path | None = None, what: str = "events", unit: str = "line"
) -> Iterator[str]:
    """Yield the lines of a report: counts of `what` is imported, then the rejected units."""
    if report.encoding:
        yield f"encoding: {report.encoding}"
    yield (
        f"{report.accepted:,} new {what}, {report.duplicates:,} already in the log, "
        f"{report.rejected:,} {unit}s rejected"
    )
    for reason, count in sorted(report.reasons.items()):
        yield f"  {count:,} {unit}s: {reason}"
    if report.unusable_identifiers:
        count = report.unusable_identifiers
        yield f"  {count:,} identifiers of these events identify no one, or are no valid ones"
    for (namespace, reason), count in sorted(report.unusable.items()):
        yield f"  {count:,} cells of {namespace} identify no one: {reason}"
    for column in report.unseen_columns:
        yield f"  no row has a value in {column!r}, which the mapping uses"
    for line in report.rejections:
        yield f"{unit} {line.line}: {line.reason} {line.message}"
    if more := report.rejected - len(report.rejections):
        where = (
            f"all are in {rejections}"
            if rejections
            else "a second run with `--rejections FILE` writes all of them into a file"
        )
        yield f"and {more:,} {unit}s more: {where}"


async def import_file(
    file: Path,
    mapping: Path,
    address: str,
    key: str,
    progress: ImportProgress = lambda _: None,
    rejections: Path | None = None,
) -> ImportReport:
    """Import a file (`.csv`, `.tsv`, `.jsonl`, `.ndjson`) by the mapping in a YAML file.

    `address`: of ingest, `host:port`; `key`: a write key; `rejections`: a CSV file for all rejected
    lines. Raises InvalidField where file or mapping are wrong as a whole, and OnefoldError where
    the service refuses the call.
    """
    file_mapping = load_mapping(mapping)
    rows = RowFile(file, file_mapping)
    endpoints = ApiEndpoints(grpc={"ingest": address}, key=key)
    with rejection_file(rejections, (file, mapping)) as on_rejected:
        report = ImportReport(encoding=str(rows.encoding), on_rejected=on_rejected)
        async with Client(endpoints, timeout_s=CALL_TIMEOUT_S) as client:
            name = RowNamer(file_mapping).message_id
            await _import_rows(rows, RowSender(file_mapping, client.ingest, report, name), progress)
    report.unseen_columns = tuple(sorted(rows.unseen))
    report.rejections.sort()
    return report


def load_mapping(file: Path) -> FileMapping:
    """Return the mapping in a file. Raises InvalidField."""
    try:
        with file.open("rb") as opened:
            return read_mapping(parse_yaml(opened.read(MAX_BYTES + 1)))
    except OSError as error:
        raise InvalidField(f"{file.name} cannot be read: {error.strerror}") from None
    except InvalidField as error:
        where = f"{file.name}, {error.field}" if error.field else file.name
        raise InvalidField(f"{where}: {error.message}", field=error.field) from None


@contextmanager
def rejection_file(
    file: Path | None, inputs: Sequence[Path]
) -> Iterator[Callable[[RejectedLine], object]]:
    """Yield what writes a rejected line into a CSV file. Raises InvalidField."""
    if file is None:
        yield lambda _: None
        return
    try:
        if file.exists() and any(map(file.samefile, inputs)):
            raise InvalidField(f"{file} is a file to read: name another one for the rejections")
        # Every line is there at once: a command that reads again and again is never at its end.
        opened = open(file, "w", 1, newline="", encoding="utf-8", opener=open_private)  # noqa: SIM115 - closed below
    except OSError as error:
        raise InvalidField(f"{file} cannot be written: {error.strerror}") from None
    with opened:
        writer = csv.writer(opened)
        writer.writerow(RejectedLine._fields)
        yield writer.writerow


async def _import_rows(rows: RowFile, sender: RowSender, progress: ImportProgress) -> None:
    done = 0
    for row in rows:
        if row.row is None:
            sender.report.reject(RejectedLine(row.number, row.reason, "", row.error))
        elif await sender.add(row.number, row.row):
            progress(done)
            done = 0
        done += 1
    await sender.flush()
    progress(done)


class RowSender:
    """Sends the events of rows in batches, and counts what becomes of them."""

    def __init__(
        self,
        mapping: FileMapping,
        ingest: IngestApi,
        report: ImportReport,
        name: Callable[[Row], str],
    ) -> None:
        """`name` gives the message id of a row where the mapping does not."""
        self._mapping = mapping
        self._ingest = ingest
        self.report = report
        self._name = name
        self._batch: list[tuple[int | str, Event]] = []
        self._bytes = 0

    async def add(self, place: int | str, row: Row) -> bool:
        """Add a row; return whether everything before it has been sent just now."""
        event = self._event(place, row)
        if event is None:
            return False
        size = event.ByteSize()
        is_full = len(self._batch) == BATCH or self._bytes + size > BATCH_BYTES
        if is_full:
            await self.flush()
        self._batch.append((place, event))
        self._bytes += size
        return is_full

    async def flush(self) -> None:
        """Send what was added."""
        if self._batch:
            await self._send(self._batch)
        self._batch, self._bytes = [], 0

    def _event(self, place: int | str, row: Row) -> Event | None:
        try:
            event = self._mapping.to_event(row, lambda: self._name(row))
        except BadCell as bad:
            self.report.reject(RejectedLine(place, bad.reason, bad.field, bad.message))
            return None
        if event.ByteSize() > MAX_EVENT:
            message = f"the event has more than {MAX_EVENT:,} bytes"
            self.report.reject(RejectedLine(place, "TOO_LARGE", "", message))
            return None
        self.report.unusable.update(self._mapping.unusable_identifiers(row, event))
        return event

    async def _send(self, batch: Sequence[tuple[int | str, Event]]) -> None:
        request = IngestEventsRequest(events=[event for _, event in batch])
        response = await self._send_with_retries(request)
        report = self.report
        report.accepted += response.accepted
        report.duplicates += response.duplicates
        report.unusable_identifiers += response.unusable_identifiers
        for rejection in response.rejections:
            reason = ErrorReason.Name(rejection.reason).removeprefix("ERROR_REASON_")
            field_ = rejection.field.partition(".")[2]
            line, _ = batch[rejection.index]
            report.reject(RejectedLine(line, reason, field_, rejection.message))

    async def _send_with_retries(self, request: IngestEventsRequest) -> IngestEventsResponse:
        """Send a batch, and retry while the service is unavailable: no event is appended twice."""
        loop = asyncio.get_running_loop()
        end = loop.time() + RETRY_FOR_S
        while True:
            try:
                return await self._ingest.IngestEvents(request, metadata=_ENDPOINT)
            except RetryableError as error:
                if loop.time() + error.retry_after > end:
                    raise
                await asyncio.sleep(error.retry_after)


class RowNamer:
    """Gives rows message ids: a function of what the mapping uses of a row, and of equal rows."""

    def __init__(self, mapping: FileMapping) -> None:
        self._mapping = mapping
        #: How often each row was seen, by its hash: about 100 bytes of memory per row of the file.
        self._seen: Counter[bytes] = Counter()

    def message_id(self, row: Row) -> str:
        """Return the message id of the next row of a file."""
        digest = hash_cells(self._mapping.used_values(row))
        earlier = self._seen[digest]
        self._seen[digest] += 1
        return f"row-{digest.hex()}" + (f"-{earlier}" if earlier else "")


def hash_cells(cells: Any) -> bytes:
    """Return 16 bytes that stand for cells of a row, as JSON has them."""
    text = json.dumps(cells, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest()
