"""`./onefold pull`: reads the new rows of another system's database, and imports them.

A row that is read twice changes nothing, as its message id is a function of its key and of what the
mapping uses of it. So a read that was interrupted is continued, and begins a little earlier than
the last one ended.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import aclosing
from pathlib import Path
from typing import Annotated, NamedTuple

import typer
from typer import Argument, Option

from services.cli import output
from services.cli.commands.imports import (
    CALL_TIMEOUT_S,
    WRITE_KEY,
    ImportReport,
    RejectedLine,
    RowSender,
    WriteKey,
    hash_cells,
    rejection_file,
    summary_of,
)
from services.cli.context import DataDir, read_secret_option
from services.cli.databases.cells import to_row
from services.cli.databases.errors import DatabaseUnreachable
from services.cli.databases.form import DatabaseSource, read_database_form
from services.cli.databases.position import (
    Cursor,
    PositionFile,
    begin_of_read,
    check_cursor,
    greatest,
    is_beyond,
    now,
)
from services.cli.databases.readers import DatabaseReader, open_database
from services.cli.endpoints import find_endpoints, secret_from_environment
from services.cli.files.cells import Row
from services.client.client import ApiEndpoints, Client
from services.kernel.errors import InvalidField, RetryableError
from services.kernel.time import SECOND_US, parse_span
from services.kernel.yaml_documents import MAX_BYTES, parse_yaml


class PullReport(NamedTuple):
    """The result of one read of a database."""

    events: ImportReport
    #: Rows that no read returns, as their cursor is empty; they are counted by a first read alone.
    without_cursor: int


def pull(
    data: DataDir,
    file: Annotated[Path, Argument(help="The database, its rows, and their mapping (YAML).")],
    key: WriteKey = "",
    every: Annotated[
        str, Option(metavar="SPAN", help="Read again and again, such as every 30s, until it ends.")
    ] = "",
    position: Annotated[
        Path | None,
        Option(help="The file of the position; without it FILE with the ending .position.json."),
    ] = None,
    rejections: Annotated[
        Path | None, Option(help="Write every rejected row with its reason into this CSV file.")
    ] = None,
) -> None:
    """Import the rows of a PostgreSQL or MySQL database that are new since the last read."""
    with output.exit_on_error():
        interval_s = _seconds(every)
        source = load_source(file)
        positions = PositionFile(position or file.with_suffix(".position.json"), source)
        address = find_endpoints(data).grpc["ingest"]
    write_key = read_secret_option("--key", key, WRITE_KEY)
    endpoints = ApiEndpoints(grpc={"ingest": address}, key=write_key)
    if interval_s:
        output.run(follow_database(source, positions, endpoints, interval_s, rejections))
    report = output.run(pull_database(source, positions, endpoints, rejections))
    _print(source, report, rejections)
    raise typer.Exit(1 if report.events.rejected else 0)


def load_source(file: Path) -> DatabaseSource:
    """Return the database that a file describes. Raises InvalidField."""
    try:
        with file.open("rb") as opened:
            form = parse_yaml(opened.read(MAX_BYTES + 1))
        return read_database_form(form, secret_from_environment)
    except OSError as error:
        raise InvalidField(f"{file.name} cannot be read: {error.strerror}") from None
    except InvalidField as error:
        raise InvalidField(f"{file.name}: {error.message}", field=error.field) from None


async def pull_database(
    source: DatabaseSource,
    positions: PositionFile,
    endpoints: ApiEndpoints,
    rejections: Path | None = None,
) -> PullReport:
    """Import the rows of a database that are new since the position, and move the position.

    Raises OnefoldError where the database or the service refuses it.
    """
    with rejection_file(rejections, (positions.file,)) as on_rejected:
        return await _pull(source, positions, endpoints, on_rejected)


async def _pull(
    source: DatabaseSource,
    positions: PositionFile,
    endpoints: ApiEndpoints,
    on_rejected: Callable[[RejectedLine], object],
) -> PullReport:
    last = positions.load()
    report = ImportReport(on_rejected=on_rejected)
    async with (
        Client(endpoints, timeout_s=CALL_TIMEOUT_S) as client,
        open_database(source) as database,
    ):
        without = await database.count_without_cursor() if last is None else 0
        sender = RowSender(
            source.mapping, client.ingest, report, lambda row: _message_id(source, row)
        )
        await _read(source, positions, database, sender, last)
    return PullReport(report, without)


async def _read(
    source: DatabaseSource,
    positions: PositionFile,
    database: DatabaseReader,
    sender: RowSender,
    last: Cursor | None,
) -> None:
    begin, began = None if last is None else begin_of_read(source, last), now()
    saved = last
    async with aclosing(database.read(begin)) as rows:
        async for values in rows:
            cursor = check_cursor(source.cursor, values[0])
            row = to_row(source.columns, values)
            place = ", ".join(f"{name}={row[name]}" for name in source.key)
            if await sender.add(place, row) and last is not None and last != saved:
                positions.save(last)
                saved = last
            if not is_beyond(cursor, began):
                last = greatest(last, cursor)
    await sender.flush()
    if last is not None:
        positions.save(last)


def _message_id(source: DatabaseSource, row: Row) -> str:
    cells = [source.name, [row[name] for name in source.key], source.mapping.used_values(row)]
    return f"row-{hash_cells(cells).hex()}"


async def follow_database(
    source: DatabaseSource,
    positions: PositionFile,
    endpoints: ApiEndpoints,
    interval_s: float,
    rejections: Path | None,
) -> None:
    """Pull again and again, every `interval_s` seconds, also while database or service are away."""
    with rejection_file(rejections, (positions.file,)) as write:
        rejected = _NewRejections(write)
        while True:
            try:
                report = await _pull(source, positions, endpoints, rejected.add)
                if report.events.accepted or rejected.new or report.without_cursor:
                    _print(source, report, rejections)
                rejected.end_read()
            except (DatabaseUnreachable, RetryableError) as error:
                output.err.print(f"{error}; it is tried again in {interval_s:g} s", soft_wrap=True)
            await asyncio.sleep(interval_s)


class _NewRejections:
    """Passes on each rejected row once, though reads that overlap reject it again and again."""

    def __init__(self, write: Callable[[RejectedLine], object]) -> None:
        self._write = write
        #: Hashes of the rows that the last read has rejected, and this one, with those that failed.
        self._before: set[int] = set()
        self._found: set[int] = set()
        self.new = 0

    def add(self, row: RejectedLine) -> None:
        """Take a row that is rejected."""
        if hash(row) not in self._before and hash(row) not in self._found:
            self.new += 1
            self._write(row)
        self._found.add(hash(row))

    def end_read(self) -> None:
        """End a read that was whole: what it has not rejected is new when it is rejected."""
        self._before, self._found, self.new = self._found, set(), 0


def _print(source: DatabaseSource, report: PullReport, rejections: Path | None) -> None:
    for line in summary_of(report.events, rejections, unit="row"):
        output.out.print(line, soft_wrap=True)
    if report.without_cursor:
        text = f"{report.without_cursor:,} rows have no {source.cursor}: no read returns them"
        output.out.print(text, soft_wrap=True)


def _seconds(span: str) -> float:
    if not span:
        return 0.0
    try:
        us = parse_span(span)
    except ValueError as error:
        raise InvalidField(f"--every: {error}") from None
    if us < SECOND_US:
        raise InvalidField("--every: write at least 1s")
    return us / SECOND_US
