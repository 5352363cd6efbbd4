"""`onefold import`: imports CSV and JSON-lines files, row by row, over gRPC.

A second run changes nothing: the message id of an event is the one in the mapping, or else a hash
of its row and the number of equal rows before it. So an interrupted import is simply started again.
"""

from __future__ import annotations

import asyncio
import codecs
import csv
import json
import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from io import TextIOWrapper
from pathlib import Path
from typing import Annotated, NamedTuple

import typer
from onefold.ingest.v1.ingest_service_pb2 import IngestEventsRequest, IngestEventsResponse
from onefold.type.v1.errors_pb2 import ErrorReason
from onefold.type.v1.event_pb2 import Event
from typer import Argument, Option

from services.cli import output
from services.cli.context import DataDir, read_secret_option
from services.cli.endpoints import find_endpoints
from services.cli.mapping import BadCell, FileMapping, Row, parse_json, read_mapping
from services.client.api import IngestApi
from services.client.client import ApiEndpoints, Client
from services.kernel.errors import InvalidField, RetryableError
from services.kernel.yaml_documents import MAX_BYTES, parse_yaml

#: The variable of the write key.
WRITE_KEY = "ONEFOLD_WRITE_KEY"
BATCH = 500
#: How long one batch is retried while the service is away, seconds.
RETRY_FOR_S = 60.0
CALL_TIMEOUT_S = 30.0
#: The most rejections that a report lists; the others are counted.
MAX_LISTED = 1_000
_MAX_CELL = 1 << 20
_READ_SIZE = 1 << 20
#: Bytes of another encoding become surrogates, by which their lines are found and rejected.
_STRAY_BYTE = re.compile("[\ud800-\udfff]")
_ENDPOINT = (("onefold-endpoint", "file"),)

#: Is called with the number of lines done since the last call.
ImportProgress = Callable[[int], object]


def import_(
    data: DataDir,
    file: Annotated[Path, Argument(help="A .csv, .tsv, .jsonl or .ndjson file.")],
    mapping: Annotated[Path, Option(help="How its columns become events (YAML).")],
    key: Annotated[
        str,
        Option(
            metavar="@FILE|-",
            help="The file of the source's write key, or - for standard input; without it "
            f"{WRITE_KEY} or {WRITE_KEY}_FILE.",
        ),
    ] = "",
) -> None:
    """Import a file; list the rejected lines with their numbers. A second run changes nothing."""
    write_key = read_secret_option("--key", key, WRITE_KEY)
    with output.exit_on_error():
        address = find_endpoints(data).grpc["ingest"]
    with output.ProgressBars() as bars:
        task = bars.add_task(file.name, total=None)
        report = output.run(
            import_file(file, mapping, address, write_key, lambda lines: bars.advance(task, lines))
        )
    output.out.print(
        f"{report.accepted:,} new events, {report.duplicates:,} already in the log, "
        f"{report.rejected:,} lines rejected"
    )
    for line in report.rejections:
        output.out.print(f"line {line.line}: {line.reason} {line.message}")
    raise typer.Exit(1 if report.rejected else 0)


class RejectedLine(NamedTuple):
    """A line that did not become an event."""

    #: Counted from 1; the first one of a row that takes several lines.
    line: int
    #: A name of onefold.type.v1.ErrorReason without its prefix.
    reason: str
    field: str
    message: str


@dataclass(slots=True)
class ImportReport:
    """The result of an import."""

    accepted: int = 0
    #: Events that were already in the log.
    duplicates: int = 0
    rejected: int = 0
    #: The first of the rejected lines, in their order.
    rejections: list[RejectedLine] = field(default_factory=list)

    def reject(self, line: RejectedLine) -> None:
        self.rejected += 1
        if len(self.rejections) < MAX_LISTED:
            self.rejections.append(line)


class _FileLine(NamedTuple):
    number: int
    #: None where the line cannot be read.
    row: Row | None
    #: Why it cannot be read.
    error: str = ""


async def import_file(
    file: Path, mapping: Path, address: str, key: str, progress: ImportProgress = lambda _: None
) -> ImportReport:
    """Import a file (`.csv`, `.tsv`, `.jsonl`, `.ndjson`) by the mapping in a YAML file.

    `address`: of ingest, `host:port`; `key`: a write key. Raises InvalidField where file or mapping
    are wrong as a whole, and OnefoldError where the service refuses the call.
    """
    file_mapping = load_mapping(mapping)
    endpoints = ApiEndpoints(grpc={"ingest": address}, key=key)
    async with Client(endpoints, timeout_s=CALL_TIMEOUT_S) as client:
        return await _Importer(file_mapping, client.ingest, progress).run(file)


def load_mapping(file: Path) -> FileMapping:
    """Return the mapping in a file. Raises InvalidField."""
    try:
        with file.open("rb") as opened:
            return read_mapping(parse_yaml(opened.read(MAX_BYTES + 1)))
    except OSError as error:
        raise InvalidField(f"{file.name} cannot be read: {type(error).__name__}") from None
    except InvalidField as error:
        where = f"{file.name}, {error.field}" if error.field else file.name
        raise InvalidField(f"{where}: {error.message}", field=error.field) from None


class _Importer:
    def __init__(self, mapping: FileMapping, ingest: IngestApi, progress: ImportProgress) -> None:
        self._mapping = mapping
        self._ingest = ingest
        self._progress = progress
        self._report = ImportReport()
        #: How often each row was seen, by its hash: about 100 bytes of memory per row of the file.
        self._seen: Counter[bytes] = Counter()

    async def run(self, file: Path) -> ImportReport:
        batch: list[tuple[int, Event]] = []
        done = 0
        for line in read_lines(file, self._mapping):
            done += 1
            event = self._event(line)
            if event is not None:
                batch.append((line.number, event))
            if len(batch) == BATCH:
                await self._send(batch)
                self._progress(done)
                batch, done = [], 0
        if batch:
            await self._send(batch)
        self._progress(done)
        self._report.rejections.sort()
        return self._report

    def _event(self, line: _FileLine) -> Event | None:
        row = line.row
        if row is None:
            self._report.reject(RejectedLine(line.number, "JSON_INVALID", "", line.error))
            return None
        try:
            return self._mapping.to_event(row, lambda: self._message_id(row))
        except BadCell as bad:
            self._report.reject(RejectedLine(line.number, bad.reason, bad.field, bad.message))
            return None

    def _message_id(self, row: Row) -> str:
        text = json.dumps(row, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
        digest = blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest()
        earlier = self._seen[digest]
        self._seen[digest] += 1
        return f"row-{digest.hex()}" + (f"-{earlier}" if earlier else "")

    async def _send(self, batch: Sequence[tuple[int, Event]]) -> None:
        request = IngestEventsRequest(events=[event for _, event in batch])
        response = await self._send_with_retries(request)
        report = self._report
        report.accepted += response.accepted
        report.duplicates += response.duplicates
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


def read_lines(file: Path, mapping: FileMapping) -> Iterator[_FileLine]:
    """Yield the rows of a file. Raises InvalidField."""
    encoding = find_encoding(file) if mapping.encoding == "auto" else mapping.encoding
    try:
        with file.open(encoding=encoding, errors="surrogateescape", newline="") as text:
            match file.suffix.lower():
                case ".csv":
                    yield from _csv_lines(text, mapping, mapping.delimiter)
                case ".tsv":
                    yield from _csv_lines(text, mapping, "\t")
                case ".jsonl" | ".ndjson":
                    yield from _json_lines(text)
                case other:
                    raise InvalidField(f"{other or file.name}: send a .csv or a .jsonl file")
    except LookupError:
        raise InvalidField(f"{encoding} is not an encoding", field="encoding") from None
    except OSError as error:
        raise InvalidField(f"{file.name} cannot be read: {type(error).__name__}") from None


def find_encoding(file: Path) -> str:
    """Return `utf-8-sig` where the whole file is UTF-8, with or without a mark; else `gb18030`."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    try:
        with file.open("rb") as raw:
            while part := raw.read(_READ_SIZE):
                decoder.decode(part)
            decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        return "gb18030"
    except OSError as error:
        raise InvalidField(f"{file.name} cannot be read: {type(error).__name__}") from None
    return "utf-8-sig"


def _csv_lines(text: TextIOWrapper, mapping: FileMapping, delimiter: str) -> Iterator[_FileLine]:
    csv.field_size_limit(_MAX_CELL)
    reader = csv.reader(text, delimiter=delimiter)
    header = [name.strip() for name in next(reader, [])]
    if missing := sorted(mapping.columns() - set(header)):
        columns = ", ".join(header) or "none: the file is empty"
        raise InvalidField(f"the file has no column {missing[0]!r}; its columns are {columns}")
    while True:
        number = reader.line_num + 1
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            yield _FileLine(number, None, f"the line is not CSV: {error}")
            continue
        if cells:
            yield _csv_line(number, header, cells)


def _csv_line(number: int, header: list[str], cells: list[str]) -> _FileLine:
    if len(cells) != len(header):
        return _FileLine(number, None, f"the line has {len(cells)} cells instead of {len(header)}")
    if any(map(_STRAY_BYTE.search, cells)):
        return _FileLine(number, None, "the line is not in the encoding of the file")
    return _FileLine(number, dict(zip(header, cells, strict=True)))


def _json_lines(text: TextIOWrapper) -> Iterator[_FileLine]:
    for number, line in enumerate(text, 1):
        if line.strip():
            yield _json_line(number, line)


def _json_line(number: int, line: str) -> _FileLine:
    if _STRAY_BYTE.search(line):
        return _FileLine(number, None, "the line is not in the encoding of the file")
    try:
        row = parse_json(line)
    except (ValueError, RecursionError):
        return _FileLine(number, None, "the line is not valid JSON")
    if not isinstance(row, dict):
        return _FileLine(number, None, "the line is not a JSON object")
    return _FileLine(number, row)
