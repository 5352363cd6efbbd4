"""Files into the log: CSV and JSON lines, row by row, through the gRPC door.

A second run changes nothing: an event is named by the mapping's message id or, where it names none,
by what its row says and how many equal rows stood before it. So an import that was stopped is
simply started again.
"""

from __future__ import annotations

import asyncio
import codecs
import csv
import json
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from io import TextIOWrapper
from pathlib import Path
from typing import Any, NamedTuple

import yaml
from onefold.ingest.v1.ingest_service_pb2 import IngestEventsRequest
from onefold.ingest.v1.ingest_service_pb2_grpc import IngestServiceStub
from onefold.type.v1.errors_pb2 import ErrorReason
from onefold.type.v1.event_pb2 import Event

from services.chassis.rpc.channel import ServiceChannel, open_channel
from services.cli.mapping import BadCell, FileMapping, Row, read_json, read_mapping
from services.kernel.errors import InvalidField, RetryableError
from services.kernel.tokens import Token

BATCH = 500
#: How long one batch is tried again while the service is away, seconds.
PATIENCE_S = 60.0
CALL_S = 30.0
#: Refusals that a report lists; the others are counted.
MAX_LISTED = 1_000
_MAX_CELL = 1 << 20
_LOOK_AT_ONCE = 1 << 20
_DOOR = (("onefold-door", "file"),)

#: Told how many more lines are done.
Progress = Callable[[int], object]


class LineRefused(NamedTuple):
    """A line that did not become an event."""

    #: Counted from 1; where a row goes over several lines, the first of them.
    line: int
    #: A name of onefold.type.v1.ErrorReason without its prefix.
    reason: str
    field: str
    message: str


@dataclass(slots=True)
class ImportReport:
    """What became of a file."""

    accepted: int = 0
    #: Events that were in the log before.
    duplicates: int = 0
    refused: int = 0
    #: The first of those refused, in the order of their lines.
    refusals: list[LineRefused] = field(default_factory=list)
    #: The state of the log that includes them.
    token: Token = field(default_factory=Token)

    def refuse(self, refusal: LineRefused) -> None:
        """Note a refusal."""
        self.refused += 1
        if len(self.refusals) < MAX_LISTED:
            self.refusals.append(refusal)


class _Line(NamedTuple):
    number: int
    #: None where the line cannot be read, and why.
    row: Row | None
    fault: str = ""


async def import_file(
    file: Path,
    mapping: Path,
    to: str | ServiceChannel,
    key: str,
    progress: Progress | None = None,
) -> ImportReport:
    """Import a file (`.csv`, `.tsv`, `.jsonl`, `.ndjson`) as a mapping (YAML) says.

    `to`: the address of ingest (`host:port`), or a channel with the key. Raises InvalidField where
    file or mapping are wrong as a whole, and OnefoldError where the service refuses.
    """
    shape = load_mapping(mapping)
    peer = open_channel(to, key, timeout_s=CALL_S) if isinstance(to, str) else to
    try:
        return await _Importer(shape, IngestServiceStub(peer), progress).run(file)
    finally:
        if peer is not to:
            await peer.close()


def load_mapping(file: Path) -> FileMapping:
    """The mapping in a file. Raises InvalidField."""
    try:
        return read_mapping(yaml.safe_load(file.read_text("utf-8")))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise InvalidField(f"{file.name} cannot be read: {type(error).__name__}") from None
    except InvalidField as error:
        place = f"{file.name}, {error.field}" if error.field else file.name
        raise InvalidField(f"{place}: {error.message}", field=error.field) from None


class _Importer:
    def __init__(self, mapping: FileMapping, stub: Any, progress: Progress | None) -> None:
        self._mapping = mapping
        self._stub = stub
        self._progress = progress or (lambda _: None)
        self._report = ImportReport()
        #: How often a row was seen; of long files, all of whose rows this holds, 100 bytes a row.
        self._seen: Counter[bytes] = Counter()

    async def run(self, file: Path) -> ImportReport:
        lines: list[int] = []
        events: list[Event] = []
        done = 0
        for line in read_lines(file, self._mapping):
            done += 1
            event = self._event(line)
            if event is not None:
                lines.append(line.number)
                events.append(event)
            if len(events) == BATCH:
                await self._send(lines, events)
                self._progress(done)
                lines, events, done = [], [], 0
        if events:
            await self._send(lines, events)
        self._progress(done)
        self._report.refusals.sort()
        return self._report

    def _event(self, line: _Line) -> Event | None:
        row = line.row
        if row is None:
            self._report.refuse(LineRefused(line.number, "JSON_INVALID", "", line.fault))
            return None
        try:
            return self._mapping.to_event(row, lambda: self._own_id(row))
        except BadCell as bad:
            self._report.refuse(LineRefused(line.number, bad.reason, bad.field, bad.message))
            return None

    def _own_id(self, row: Row) -> str:
        told = json.dumps(row, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
        name = blake2b(told.encode("utf-8", "surrogatepass"), digest_size=16).digest()
        earlier = self._seen[name]
        self._seen[name] += 1
        return f"row-{name.hex()}" + (f"-{earlier}" if earlier else "")

    async def _send(self, lines: Sequence[int], events: Sequence[Event]) -> None:
        answer = await self._ingest(IngestEventsRequest(events=events))
        report = self._report
        report.accepted += answer.accepted
        report.duplicates += answer.duplicates
        report.token = report.token.union(Token(tuple(answer.token.offsets)))
        for rejection in answer.rejections:
            reason = ErrorReason.Name(rejection.reason).removeprefix("ERROR_REASON_")
            field_ = rejection.field.partition(".")[2]
            line = lines[rejection.index]
            report.refuse(LineRefused(line, reason, field_, rejection.message))

    async def _ingest(self, request: IngestEventsRequest) -> Any:
        """Send a batch; where the service is away, again: a repeat is the same events."""
        loop = asyncio.get_running_loop()
        end = loop.time() + PATIENCE_S
        while True:
            try:
                return await self._stub.IngestEvents(request, metadata=_DOOR)
            except RetryableError as error:
                if loop.time() + error.retry_after > end:
                    raise
                await asyncio.sleep(error.retry_after)


def read_lines(file: Path, mapping: FileMapping) -> Iterator[_Line]:
    """The rows of a file, one at a time. Raises InvalidField."""
    encoding = find_encoding(file) if mapping.encoding == "auto" else mapping.encoding
    try:
        # What is not of the encoding is seen again in the cells, and refused line by line.
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
        raise InvalidField(f"{encoding} is no encoding", field="encoding") from None
    except OSError as error:
        raise InvalidField(f"{file.name} cannot be read: {type(error).__name__}") from None


def find_encoding(file: Path) -> str:
    """UTF-8 where the whole file is, with or without a mark at its start; else GB 18030."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    try:
        with file.open("rb") as raw:
            while part := raw.read(_LOOK_AT_ONCE):
                decoder.decode(part)
            decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        return "gb18030"
    except OSError as error:
        raise InvalidField(f"{file.name} cannot be read: {type(error).__name__}") from None
    return "utf-8-sig"


def _csv_lines(text: TextIOWrapper, mapping: FileMapping, delimiter: str) -> Iterator[_Line]:
    csv.field_size_limit(_MAX_CELL)
    reader = csv.reader(text, delimiter=delimiter)
    header = [name.strip() for name in next(reader, [])]
    if missing := sorted(mapping.columns() - set(header)):
        there = ", ".join(header) or "none: the file is empty"
        raise InvalidField(f"the file has no column {missing[0]!r}; its columns are {there}")
    while True:
        number = reader.line_num + 1
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            yield _Line(number, None, f"the line is no CSV: {error}")
            continue
        if cells:
            yield _csv_line(number, header, cells)


def _csv_line(number: int, header: list[str], cells: list[str]) -> _Line:
    if len(cells) != len(header):
        return _Line(number, None, f"the line has {len(cells)} cells and not {len(header)}")
    if any(map(_has_stray_bytes, cells)):
        return _Line(number, None, "the line is not in the encoding of the file")
    return _Line(number, dict(zip(header, cells, strict=True)))


def _json_lines(text: TextIOWrapper) -> Iterator[_Line]:
    for number, line in enumerate(text, 1):
        if line.strip():
            yield _json_line(number, line)


def _json_line(number: int, line: str) -> _Line:
    if _has_stray_bytes(line):
        return _Line(number, None, "the line is not in the encoding of the file")
    try:
        row = read_json(line)
    except (ValueError, RecursionError):
        return _Line(number, None, "the line is not valid JSON")
    if not isinstance(row, dict):
        return _Line(number, None, "the line is no JSON object")
    return _Line(number, row)


def _has_stray_bytes(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return True
    return False
