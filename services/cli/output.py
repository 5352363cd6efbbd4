"""What a person sees: tables, trees, progress, and errors in one line."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Coroutine, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NoReturn, TypeVar

import msgspec
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from services.devstack.managed_server import ServerError
from services.kernel.errors import OnefoldError

_Result = TypeVar("_Result")

out = Console(highlight=False)
err = Console(stderr=True, highlight=False)


def run(work: Coroutine[Any, Any, _Result]) -> _Result:
    """Run a command; an error of ours becomes one line and exit code 1."""
    with errors():
        return asyncio.run(work)
    raise AssertionError("errors() ends the process")


@contextmanager
def errors() -> Iterator[None]:
    """Make one line and exit code 1 of an error of ours."""
    try:
        yield
    except (OnefoldError, ServerError) as error:
        fail(str(error))
    except KeyboardInterrupt:
        err.print("stopped")
        sys.exit(130)


def fail(message: str) -> NoReturn:
    """Say what is wrong and end."""
    err.print(f"[bold red]error[/] {message}", soft_wrap=True)
    sys.exit(1)


def table(title: str, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Print a table; numbers are set to the right."""
    shaped = Table(title=title, title_justify="left", box=None, pad_edge=False)
    kept = [[_cell(value) for value in row] for row in rows]
    raw = list(zip(*kept, strict=True)) if kept else []
    for index, column in enumerate(columns):
        numeric = bool(raw) and all(
            c.replace(",", "").replace("-", "").isdigit() for c in raw[index]
        )
        shaped.add_column(column, justify="right" if numeric else "left", overflow="fold")
    for row in kept:
        shaped.add_row(*row)
    out.print(shaped)


def readable(document: bytes) -> str:
    """A JSON document as people read it: its letters as they are, and not as escapes."""
    try:
        return msgspec.json.encode(msgspec.json.decode(document)).decode()
    except msgspec.DecodeError:
        return document.decode(errors="replace")


def bars() -> Progress:
    """Progress bars for long work; lines of text where there is no terminal."""
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=err,
        transient=True,
        disable=not err.is_terminal,
    )


def _cell(value: Any) -> str:
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)
