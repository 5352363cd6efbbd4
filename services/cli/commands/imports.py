"""`onefold import`: files into the log."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from services.cli import output
from services.cli.context import DataDir
from services.cli.endpoints import find_endpoints
from services.cli.importer import import_file


def import_(
    data: DataDir,
    file: Annotated[Path, typer.Argument(help="A .csv, .tsv, .jsonl or .ndjson file.")],
    mapping: Annotated[Path, typer.Option(help="How its columns become events (YAML).")],
    key: Annotated[str, typer.Option(help="The source's write key.", envvar="ONEFOLD_WRITE_KEY")],
) -> None:
    """Import a file; list the rejected lines with their numbers. A second run changes nothing."""
    with output.exit_on_error():
        address = find_endpoints(data).grpc["ingest"]
    with output.progress_bars() as bars:
        task = bars.add_task(file.name, total=None)
        report = output.run(
            import_file(file, mapping, address, key, lambda lines: bars.advance(task, lines))
        )
    output.out.print(
        f"{report.accepted:,} new events, {report.duplicates:,} already in the log, "
        f"{report.rejected:,} lines rejected"
    )
    for line in report.rejections:
        output.out.print(f"line {line.line}: {line.reason} {line.message}")
    raise typer.Exit(1 if report.rejected else 0)
