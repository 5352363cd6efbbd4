"""`./onefold mirror`: shows copies of memberships, and has all of their entries written again."""

from __future__ import annotations

from typing import Annotated

import typer
from onefold.activation.v1.activation_service_pb2 import (
    GetMirrorRequest,
    Mirror,
    ReconcileMirrorRequest,
)
from typer import Argument

from services.cli import output
from services.cli.context import DataDir, run_with_client

app = typer.Typer(
    no_args_is_help=True, help="Show copies of memberships in other systems, and repair them."
)
_Destination = Annotated[str, Argument(metavar="DESTINATION", help="The id of a destination.")]


@app.command()
def show(data: DataDir, destination: _Destination) -> None:
    """Show how many members and entries a mirror has, and what is still to be written."""
    request = GetMirrorRequest(destination_id=destination)
    response = run_with_client(data, lambda client: client.activation.GetMirror(request))
    _print(response.mirror)


@app.command()
def reconcile(data: DataDir, destination: _Destination) -> None:
    """Read the segments of a mirror again, and write all of its entries once more."""
    request = ReconcileMirrorRequest(destination_id=destination)
    response = run_with_client(data, lambda client: client.activation.ReconcileMirror(request))
    _print(response.mirror)


def _print(mirror: Mirror) -> None:
    rows = [
        ("members taken in", "yes" if mirror.loaded else "not yet"),
        ("members", mirror.members),
        ("members to look at", mirror.underived),
        ("entries", mirror.entries),
        ("entries to write", mirror.unwritten),
        ("entries to remove", mirror.unremoved),
        ("entries refused", mirror.refused),
        *([("last failure", mirror.reason)] if mirror.reason else []),
    ]
    output.print_table(("mirror", ""), rows)
