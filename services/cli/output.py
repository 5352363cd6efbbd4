"""Prints tables, trees, progress and one-line errors on the terminal."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Coroutine, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NoReturn, TypeVar

import msgspec
from rich.console import Console, JustifyMethod
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from services.devstack.errors import ServerError
from services.kernel.errors import OnefoldError
from services.kernel.time import to_rfc3339

_Result = TypeVar("_Result")

#: Texts are printed as they are: names and values of customers may look like markup or emoji codes.
out = Console(highlight=False, markup=False, emoji=False)
err = Console(stderr=True, highlight=False, markup=False, emoji=False)


def run(work: Coroutine[Any, Any, _Result]) -> _Result:
    """Run a command and return its result; an expected error ends the process with one line."""
    with exit_on_error():
        return asyncio.run(work)
    raise AssertionError("exit_on_error() ends the process")


@contextmanager
def exit_on_error() -> Iterator[None]:
    """Print an expected error as one line and end the process with exit code 1."""
    try:
        yield
    except (OnefoldError, ServerError) as error:
        fail(str(error))
    except KeyboardInterrupt:
        err.print("interrupted")
        sys.exit(130)


def fail(message: str) -> NoReturn:
    """Print an error and end the process with exit code 1."""
    err.print(Text.assemble(("error", "bold red"), " ", message), soft_wrap=True)
    sys.exit(1)


def print_table(
    columns: Sequence[str], rows: Iterable[Sequence[Any]], title: str = "", *, more: bool = False
) -> None:
    """Print a title, if there is one, and a table; numbers are aligned to the right.

    The first column is never wrapped, as it has the ids that users copy. `more`: a limit has cut
    the rows.
    """
    if title:
        out.print(title, style="bold")
    cells = [[_cell(value) for value in row] for row in rows]
    if cells:
        table = Table(box=None, pad_edge=False)
        for index, column in enumerate(columns):
            numbers = all(row[index].replace(",", "").replace("-", "").isdigit() for row in cells)
            justify: JustifyMethod = "right" if numbers else "left"
            table.add_column(column, justify=justify, overflow="fold", no_wrap=not index)
        for row in cells:
            table.add_row(*row)
        out.print(table)
    else:
        out.print("There is none.")
    if more:
        out.print("There are more: raise --limit.")


def format_json(document: bytes) -> str:
    """Return a JSON document with its letters as they are, and not as escapes."""
    try:
        return msgspec.json.encode(msgspec.json.decode(document)).decode()
    except msgspec.DecodeError:
        return document.decode(errors="replace")


def format_time(us: int) -> str:
    """Return Unix microseconds as a UTC time to the second, such as 2026-11-21 08:30:00."""
    return to_rfc3339(us)[:19].replace("T", " ")


def progress_bars() -> Progress:
    """Return progress bars for long work; they show nothing where there is no terminal."""
    return Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=err,
        transient=True,
        disable=not err.is_terminal,
    )


def _cell(value: Any) -> str:
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)
