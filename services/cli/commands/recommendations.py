"""`./onefold recommendations`: computes the items of slots, and shows those of a person."""

from __future__ import annotations

from typing import Annotated

import typer
from onefold.activation.v1 import decision_service_pb2 as pb
from typer import Argument, Option

from services.cli import output
from services.cli.context import DataDir, run_with_client
from services.cli.output import format_time
from services.cli.values import word_of
from services.client.text import parse_identifier

app = typer.Typer(no_args_is_help=True, help="Compute and show the items of slots for persons.")

SlotId = Annotated[str, Argument(metavar="SLOT", help="The id of a slot with items.")]


@app.command()
def fit(data: DataDir, slot: SlotId) -> None:
    """Compute from all events which items of a slot belong together."""
    request = pb.FitItemsRequest(slot_id=slot)
    fitted = run_with_client(data, lambda client: client.decisions.FitItems(request))
    output.out.print(
        f"{slot}: {fitted.items:,} items of {fitted.persons:,} persons, as of"
        f" {format_time(fitted.fitted_at_us)}"
    )


@app.command()
def show(
    data: DataDir,
    slot: SlotId,
    of: Annotated[str, Argument(metavar="IDENTIFIER", help="NAMESPACE:VALUE of a person.")],
    limit: Annotated[int, Option(min=1, max=100, help="The most items.")] = 10,
) -> None:
    """Show the items of a slot for a person, with the reasons."""
    with output.exit_on_error():
        identifier = parse_identifier(of)
    request = pb.RecommendRequest(
        identifier=identifier, slot_id=slot, limit=limit, deadline_ms=10_000
    )
    found = run_with_client(data, lambda client: client.decisions.Recommend(request))
    reason = word_of(pb.DecisionReason, "DECISION_REASON_", found.reason)
    when = format_time(found.fitted_at_us) if found.fitted_at_us else "never"
    output.out.print(f"{reason.replace('_', ' ')}; computed: {when}")
    rows = [
        (
            each.item_id,
            f"{each.score:.4f}",
            word_of(pb.ItemReason, "ITEM_REASON_", each.reason).replace("_", " "),
            each.because_of,
        )
        for each in found.items
    ]
    output.print_table(("item", "score", "reason", "because of"), rows)
