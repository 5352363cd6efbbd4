"""`onefold keys`: the keys of the workspace."""

from __future__ import annotations

from typing import Annotated

import typer
from onefold.ingest.v1.admin_service_pb2 import DisableKeyRequest, IssueKeyRequest, ListKeysRequest
from onefold.ingest.v1.ingest_facts_pb2 import Role

from services.cli import output
from services.cli.context import DataDir, run_with_client
from services.cli.enums import value_of, word_of

app = typer.Typer(no_args_is_help=True, help="Keys of the workspace.")

_ROLE = "ROLE_"


@app.command()
def issue(
    data: DataDir,
    source: Annotated[str, typer.Option(help="The source that the key writes to.")] = "",
    role: Annotated[str, typer.Option(help="source, service or admin.")] = "source",
    title: Annotated[str, typer.Option(help="A note for people.")] = "",
) -> None:
    """Issue a key, and print it; it is shown only this once."""
    with output.exit_on_error():
        number = value_of(Role, _ROLE, role, "--role")
    request = IssueKeyRequest(role=number, source_id=source, title=title)
    issued = run_with_client(data, lambda client: client.admin.IssueKey(request))
    output.out.print(issued.key)
    output.err.print(f"The id of the key is {issued.key_id}. The key is shown only this once.")


@app.command("list")
def list_(data: DataDir) -> None:
    """List the keys, without their secrets."""
    response = run_with_client(data, lambda client: client.admin.ListKeys(ListKeysRequest()))
    rows = [
        (
            key.key_id,
            word_of(Role, _ROLE, key.role),
            key.source_id,
            key.title,
            "disabled" if key.disabled else "",
        )
        for key in response.keys
    ]
    output.print_table("", ("key", "role", "source", "title", ""), rows)


@app.command()
def disable(data: DataDir, key_id: str) -> None:
    """Disable a key."""
    request = DisableKeyRequest(key_id=key_id)
    run_with_client(data, lambda client: client.admin.DisableKey(request))
    output.out.print(f"{key_id} is disabled.")
