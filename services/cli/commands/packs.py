"""`onefold apply`: definitions from files."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from services.cli import output
from services.cli.apply import apply_pack
from services.cli.context import DataDir, run_with_client
from services.cli.definitions import read_pack


def apply(
    data: DataDir,
    file: Annotated[Path, typer.Option("-f", "--file", help="A pack: a folder or a YAML file.")],
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only show what would change.")
    ] = False,
    variables: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="NAME=VALUE", help="The value of ${NAME} in the pack."),
    ] = None,
) -> None:
    """Define sources, the identity policy, tags, segments and destinations from files.

    Returns when all of them are live: old events count, too.
    """
    values = dict(pair.partition("=")[::2] for pair in variables or ())
    with output.exit_on_error():
        pack = read_pack(file, {**os.environ, **values})
    applied = run_with_client(data, lambda client: apply_pack(client, pack, dry_run=dry_run))
    changed = "would change" if dry_run else "changed"
    rows = [(a.kind, a.id, a.version, changed if a.changed else "unchanged") for a in applied]
    output.print_table("", ("kind", "id", "version", ""), rows)
