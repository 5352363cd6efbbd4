"""`./onefold erasures`: erases a person, and lists what was erased."""

from __future__ import annotations

from typing import Annotated, Any

import typer
from onefold.identity.v1.identity_service_pb2 import RequestErasureRequest
from onefold.ingest.v1.admin_service_pb2 import ErasureState, ListErasuresRequest
from typer import Argument, Option

from services.cli import output
from services.cli.context import DataDir, Limit, run_with_client
from services.cli.values import word_of
from services.client.text import profile_selector

erasures = typer.Typer(no_args_is_help=True, help="Erasure of persons.")


@erasures.command()
def request(
    data: DataDir,
    person: Annotated[str, Argument(metavar="PERSON", help="NAMESPACE:VALUE, or a profile id.")],
    ground: Annotated[str, Option(help="The legal ground, without personal data.")],
    block: Annotated[bool, Option("--block", help="Refuse later events of the person.")] = False,
    erase: Annotated[bool, Option("--erase", help="Erase; without it only show what.")] = False,
) -> None:
    """Show what an erasure of a person would erase, or erase it for ever."""
    with output.exit_on_error():
        by: dict[str, Any] = profile_selector(person)
    message = RequestErasureRequest(**by, legal_ground=ground, block=block, dry_run=not erase)
    response = run_with_client(data, lambda client: client.identity.RequestErasure(message))
    rows = [(each.namespace, each.value) for each in response.identifiers]
    output.print_table(("namespace", "value"), rows)
    output.err.print(f"{response.related_identifiers} identifiers of others stay.")
    if erase:
        output.err.print(f"The erasure {response.request_id} is requested.")
    else:
        output.err.print("Nothing was erased. With --erase it is, and cannot be taken back.")


@erasures.command("list")
def list_erasures(data: DataDir, limit: Limit = 50) -> None:
    """List the erasures and what they have erased, the newest first."""
    message = ListErasuresRequest(page_size=limit)
    response = run_with_client(data, lambda client: client.admin.ListErasures(message))
    rows = [
        (
            each.request_id,
            output.format_time(each.requested_at_us),
            word_of(ErasureState, "ERASURE_STATE_", each.state),
            each.legal_ground,
            str(each.identifiers),
            str(each.facts),
            str(each.facts_of_others),
            str(each.refused_events),
            ", ".join(one.service for one in each.services) or "–",
        )
        for each in response.erasures
    ]
    columns = ("request", "requested", "state", "ground", "identifiers", "facts")
    output.print_table((*columns, "facts of others", "refused events", "deleted by"), rows)
