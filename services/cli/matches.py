"""`onefold match` and `onefold matches`: find probable matches, look at them, decide."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from services.cli import output as show
from services.cli.context import DataDir, with_client

app = typer.Typer(no_args_is_help=True, help="Probable matches: who may be the same person.")

First = Annotated[str, typer.Argument(metavar="A", help="NAMESPACE:VALUE")]
Second = Annotated[str, typer.Argument(metavar="B", help="NAMESPACE:VALUE")]


def match(
    data: DataDir,
    config: Annotated[
        Path | None, typer.Option(help="What is matched, for which purposes (YAML).")
    ] = None,
    say: Annotated[bool, typer.Option("--say", help="Say what is found; else only count.")] = False,
) -> None:
    """Find people who are probably one, by name, birth date, phone, mail and address.

    Only those who allow a purpose are looked at, and nobody is merged: matches are said beside,
    and used for the purposes that both allow. Installs Splink on first use.
    """
    from services.cli.matching import match_all
    from services.linkage.config import DEFAULT

    show.run(with_client(data, lambda client: match_all(client, config or DEFAULT, say=say)))


@app.command("list")
def list_(
    data: DataDir,
    judgement: Annotated[str, typer.Option(help="to-review, accepted, rejected, all.")] = (
        "to-review"
    ),
    limit: Annotated[int, typer.Option(help="At most this many.", min=1, max=1_000)] = 20,
) -> None:
    """List matches with what speaks for and against each, in powers of two."""
    from services.cli.matching import show_matches

    show.run(with_client(data, lambda client: show_matches(client, judgement, limit)))


@app.command()
def accept(
    data: DataDir,
    a: First,
    b: Second,
    purpose: Annotated[list[str], typer.Option(help="What it may be used for.")],
) -> None:
    """Say that A and B are one, for these purposes. It stands against every model."""
    _judge(data, a, b, purpose, same=True)


@app.command()
def reject(data: DataDir, a: First, b: Second) -> None:
    """Say that A and B are two. It stands against every model."""
    _judge(data, a, b, [], same=False)


def _judge(data: Path, a: str, b: str, purposes: list[str], *, same: bool) -> None:
    from services.cli.matching import judge_match

    show.run(with_client(data, lambda client: judge_match(client, a, b, purposes, same=same)))
