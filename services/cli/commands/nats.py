"""`./onefold nats credentials`: what a source connects to NATS with."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from onefold.ingest.v1.admin_service_pb2 import ListSourcesRequest
from typer import Option

from services.cli import output
from services.cli.context import DataDir
from services.cli.endpoints import find_endpoints
from services.client.client import Client
from services.devstack.errors import ServerError
from services.devstack.nats import apply_credentials, reload_clients
from services.devstack.nats_clients import ClientsFile
from services.devstack.nats_config import CLIENTS_FILE, ClientId
from services.devstack.ports import load_ports
from services.kernel.errors import OnefoldError

#: The workspace of the admin key of a data folder.
DEFAULT_WORKSPACE = "default"
#: Seconds to find out whether a source is defined.
_TIMEOUT_S = 4.0

app = typer.Typer(no_args_is_help=True, help="Credentials of NATS publishers.")


@app.callback()
def nats() -> None:
    """Make the commands of this group subcommands also while there is only one."""


@app.command()
def credentials(
    data: DataDir,
    source: Annotated[str, Option(help="The source that publishes.")],
    workspace: Annotated[str, Option(help="Its workspace.")] = "default",
    rotate: Annotated[
        bool, Option("--rotate", help="Replace the credentials; the old ones end at once.")
    ] = False,
    remove: Annotated[bool, Option("--remove", help="Remove the credentials.")] = False,
    receive: Annotated[
        bool,
        Option(
            "--receive",
            help="Make credentials of a receiver: they permit to subscribe to what destinations of "
            "the workspace publish below onefold.out.WORKSPACE, and to nothing else.",
        ),
    ] = False,
    file: Annotated[
        Path | None,
        Option(
            "--file",
            help="The file clients.conf that a NATS in a container includes; without it, the NATS "
            "of the data folder is changed.",
        ),
    ] = None,
    server: Annotated[
        str, Option("--server", help="With --file: the address of that NATS.")
    ] = "127.0.0.1:4222",
) -> None:
    """Make the NATS credentials of a source, and print their URL; it is shown only this once.

    They permit to publish events and requests of that source, and to receive the replies, nothing
    else; with --receive, to receive what destinations publish. A client has to use the inbox prefix
    that is printed with them.
    """
    if rotate and remove:
        output.fail("choose one of --rotate and --remove")
    with output.exit_on_error():
        client = ClientId(workspace, source, receives=receive)
        home = data / "nats"
        if file is None and not load_ports(home / "ports.json"):
            raise ServerError(
                f"{data} runs no NATS of its own: name the file of the other one with --file"
            )
        clients = ClientsFile(file or home / CLIENTS_FILE)
        if remove:
            clients.remove(client)
            _report_removal(client, file, home)
            return
        password = clients.create(client, rotate=rotate)
        url = f"nats://{client.name}:{password}@{server}"
        is_missing = False
        if file is None:
            url = output.run(apply_credentials(home.resolve(), client))
            is_missing = not receive and output.run(_is_not_defined(data, client))
    output.out.print(url, soft_wrap=True)
    _explain_credentials(client, file, is_missing=is_missing)


def _explain_credentials(client: ClientId, file: Path | None, *, is_missing: bool) -> None:
    """Print how credentials are used, and what has to be done before."""
    for line in (
        f"The source {'receives' if client.receives else 'publishes on'} {client.subject}, with "
        f"the inbox prefix {client.inbox_prefix}.",
        "The URL has its password, and is shown only this once.",
        *([] if file is None else [_reload(file)]),
        *([_define(client)] if is_missing else []),
    ):
        output.err.print(line, soft_wrap=True)


async def _is_not_defined(data: Path, client: ClientId) -> bool:
    """Return whether the workspace has no such source; False where this cannot be found out."""
    if client.workspace_id != DEFAULT_WORKSPACE:
        return False
    try:
        async with Client(find_endpoints(data)) as caller:
            found = await caller.admin.ListSources(ListSourcesRequest(), timeout=_TIMEOUT_S)
    except (OnefoldError, ServerError):
        return False
    return client.source_id not in {each.source.source_id for each in found.sources}


def _define(client: ClientId) -> str:
    return (
        f"No source {client.source_id} is defined, and without one no key of it can be issued: "
        "define it with `./onefold apply -f FILE`, as packs/education/sources.yaml does."
    )


def _report_removal(client: ClientId, file: Path | None, home: Path) -> None:
    if file is None:
        reload_clients(home.resolve())
    output.out.print(f"The credentials of {client.name} are removed.")
    if file is not None:
        output.err.print(_reload(file), soft_wrap=True)


def _reload(file: Path) -> str:
    return (
        f"NATS reads {file} when it is reloaded: `docker compose kill --signal HUP nats`, or "
        "`nats-server --signal reload`."
    )
