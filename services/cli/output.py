"""Prints tables, trees, progress and one-line errors on the terminal.

No other module of the command line writes to it. Every text passes `plain`, because names, values
and errors come from customers and sources.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Coroutine, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NoReturn, Self, TextIO, TypeVar

import msgspec
import yaml
from rich import progress, tree
from rich.console import Console, JustifyMethod
from rich.measure import Measurement
from rich.status import Status
from rich.table import Table
from rich.text import Text

from services.devstack.errors import ServerError
from services.kernel.errors import OnefoldError
from services.kernel.printable import needs_quotes, printable, printable_json, printable_yaml
from services.kernel.time import MINUTE_US, SECOND_US, to_rfc3339
from services.kernel.yaml_documents import SCALARS

_Result = TypeVar("_Result")
#: Characters: no row is wider.
_WIDEST = 1_000_000


def plain(text: str) -> Text:
    """Return a text as the terminal shows it: without markup, control or hidden characters."""
    return Text(printable(text))


class Tree:
    """A tree of lines."""

    def __init__(self, *lines: str) -> None:
        self.rendered = tree.Tree(_joined(lines))

    def add(self, *lines: str) -> Tree:
        """Add a branch, and return it."""
        branch = Tree(*lines)
        self.rendered.children.append(branch.rendered)
        return branch


class Terminal:
    """Standard output or standard error."""

    def __init__(self, *, errors: bool = False) -> None:
        self.console = Console(stderr=errors, highlight=False, markup=False, emoji=False)

    def print(self, text: str | Tree = "", *, style: str = "", soft_wrap: bool = False) -> None:
        """Print a tree, or a text as one line, which the terminal wraps if `soft_wrap`."""
        if isinstance(text, Tree):
            self.print_whole(text.rendered)
        else:
            whole = soft_wrap or not self.console.is_terminal
            self.console.print(plain(text), style=style or None, soft_wrap=whole)

    def print_whole(self, rendered: Table | tree.Tree) -> None:
        """Print a table or a tree; to a file or a pipe, no row of it is broken."""
        if self.console.is_terminal or "COLUMNS" in os.environ:
            self.console.print(rendered)
            return
        widest = self.console.options.update(max_width=_WIDEST)
        own_width = self.console.width
        self.console.width = Measurement.get(self.console, widest, rendered).maximum
        try:
            self.console.print(rendered, crop=False)
        finally:
            self.console.width = own_width

    def print_labelled(self, label: str, text: str) -> None:
        """Print a red label and a text as one line."""
        line = Text.assemble((printable(label), "bold red"), " ", plain(text))
        self.console.print(line, soft_wrap=True)

    def print_document(self, document: str) -> None:
        """Print a text of many lines, none of which is broken."""
        lines = document.rstrip("\n").split("\n")
        self.console.file.write("".join(f"{printable(line)}\n" for line in lines))

    @contextmanager
    def spinner(self, text: str) -> Iterator[Spinner]:
        """Show a spinner beside a text."""
        with self.console.status(plain(text)) as status:
            yield Spinner(status)


class Spinner:
    """A running spinner."""

    def __init__(self, status: Status) -> None:
        self._status = status

    def update(self, text: str) -> None:
        """Replace the text."""
        self._status.update(plain(text))


class ProgressBars:
    """Progress bars for long work; they show nothing where there is no terminal."""

    def __init__(self) -> None:
        self._bars = progress.Progress(
            progress.TextColumn("{task.description}", markup=False),
            progress.BarColumn(),
            progress.MofNCompleteColumn(),
            progress.TimeElapsedColumn(),
            console=err.console,
            transient=True,
            disable=not err.console.is_terminal,
        )

    def __enter__(self) -> Self:
        self._bars.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bars.stop()

    def add_task(self, description: str, total: float | None = None) -> progress.TaskID:
        """Add a bar, and return its number; `total` None = it is unknown."""
        return self._bars.add_task(printable(description), total=total)

    def advance(self, task: progress.TaskID, steps: float) -> None:
        """Move a bar ahead."""
        self._bars.advance(task, steps)

    def update(self, task: progress.TaskID, *, completed: float, total: float) -> None:
        """Set what is done, and how much there is."""
        self._bars.update(task, completed=completed, total=total)


out = Terminal()
err = Terminal(errors=True)


def guard_streams() -> None:
    """Escape what anything else writes to the terminal: usage errors, warnings and tracebacks.

    A character that the encoding of the terminal lacks is escaped, too.
    """
    for name, terminal in (("stdout", out), ("stderr", err)):
        stream = getattr(sys, name)
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
        terminal.console.file = stream
        setattr(sys, name, _EscapingStream(stream))


class _EscapingStream:
    """A text stream that escapes what it is given; line ends and tabs stay."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        lines = (line.split("\t") for line in text.split("\n"))
        self._stream.write("\n".join("\t".join(map(printable, parts)) for parts in lines))
        return len(text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


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
    except OSError as error:
        if not isinstance(error.filename, str | bytes):
            raise
        fail(f"{os.fsdecode(error.filename)}: {error.strerror}")
    except KeyboardInterrupt:
        err.print("interrupted")
        sys.exit(130)


def fail(message: str) -> NoReturn:
    """Print an error and end the process with exit code 1."""
    err.print_labelled("error", message)
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
            table.add_column(plain(column), justify=justify, overflow="fold", no_wrap=not index)
        for row in cells:
            table.add_row(*map(plain, row))
        out.print_whole(table)
    else:
        out.print("There is none.")
    if more:
        out.print("There are more: raise --limit.")


def print_json(document: str) -> None:
    """Print a JSON document; what a terminal might carry out is escaped in its texts."""
    out.print_document(printable_json(document))


def print_yaml(form: Any) -> None:
    """Print a value as YAML."""
    out.print_document(format_yaml(form))


def format_yaml(form: Any) -> str:
    """Return a value as YAML that `parse_yaml` reads as the same value."""
    text = yaml.dump(
        form, Dumper=_QuotingDumper, sort_keys=False, allow_unicode=True, default_flow_style=None
    )
    return printable_yaml(text)


def format_json(document: bytes) -> str:
    """Return a JSON document with its letters as they are, and not as escapes."""
    try:
        return msgspec.json.encode(msgspec.json.decode(document)).decode()
    except msgspec.DecodeError:
        return document.decode(errors="replace")


def format_actual(actual: bytes, is_span: bool) -> str:
    """Return the value that a predicate compares as JSON; a span of time in days and less."""
    if not is_span or actual == b"null":
        return format_json(actual)
    seconds = int(actual) // SECOND_US
    minutes, hours = seconds // 60, seconds // 3_600
    return f"{hours // 24}d {hours % 24}h {minutes % 60}m {seconds % 60}s"


def format_time(us: int) -> str:
    """Return Unix microseconds as a UTC time to the second, such as 2026-11-21 08:30:00."""
    return to_rfc3339(us)[:19].replace("T", " ")


def format_cause(occurred_at_us: int, at_us: int) -> str:
    """Return when the event took place that made a change at an instant; empty = just then."""
    if abs(at_us - occurred_at_us) < MINUTE_US:
        return ""
    return f" (by an event of {format_time(occurred_at_us)})"


class _QuotingDumper(yaml.SafeDumper):
    """Quotes texts with hidden characters, and those that `parse_yaml` would read as numbers."""


def _represent_text(dumper: _QuotingDumper, text: str) -> yaml.ScalarNode:
    style = '"' if needs_quotes(text) else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_QuotingDumper.add_representer(str, _represent_text)
for _tag, _pattern, _first in SCALARS:
    _QuotingDumper.add_implicit_resolver(_tag, _pattern, _first)


def _joined(lines: Iterable[str]) -> Text:
    return Text("\n").join(map(plain, lines))


def _cell(value: Any) -> str:
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)
