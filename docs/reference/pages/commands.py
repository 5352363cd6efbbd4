"""Generates the page of the command line from its own help."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import typer
from typer.testing import CliRunner

from services.cli.__main__ import app

HEAD = """\
# The command line

Generated from the help of `./onefold` by `python docs/reference/generate.py`; do not edit.

`--data` names the data folder of the system: `$ONEFOLD_DATA`, else `data` in the checkout. A
system that runs elsewhere is selected by `ONEFOLD_INGEST_URL`, `ONEFOLD_IDENTITY_URL`, … (each
`host:port`) and `ONEFOLD_KEY`.
"""


def page() -> str:
    """Return the text of the page."""
    return "\n".join([HEAD, *_sections(typer.main.get_command(app), ())])


def _sections(command: Any, words: tuple[str, ...]) -> Iterator[str]:
    if subcommands := getattr(command, "commands", None):
        for word in sorted(subcommands):
            yield from _sections(subcommands[word], (*words, word))
        return
    yield f"## {' '.join(words)}\n\n```text\n{_help(words)}\n```\n"


def _help(words: tuple[str, ...]) -> str:
    result = CliRunner().invoke(
        app, [*words, "--help"], prog_name="./onefold", env={"COLUMNS": "100", "TERM": "dumb"}
    )
    return "\n".join(line.rstrip() for line in result.output.strip().splitlines())
