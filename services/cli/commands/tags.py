"""`./onefold tags`: fits the models of tags."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated

import typer
from onefold.profile.v1.profile_service_pb2 import FitTagRequest, FitTagResponse
from typer import Argument

from services.cli import output
from services.cli.context import DataDir, run_with_client
from services.cli.output import format_time
from services.kernel.rules.readings.amounts import MICRO

app = typer.Typer(no_args_is_help=True, help="Fit the models of tags.")


@app.command()
def fit(
    data: DataDir, tag: Annotated[str, Argument(metavar="TAG", help="The id of a tag with `rfm`.")]
) -> None:
    """Fit the quantiles of a tag over all persons, unless that is done in this period."""
    response = run_with_client(
        data, lambda client: client.profile.FitTag(FitTagRequest(tag_id=tag))
    )
    print_fit(response)


def print_fit(response: FitTagResponse) -> None:
    """Print the edges of a fit, one line for each score except the highest."""
    edges = response.tag.rfm.fit
    since = "fitted now" if response.fitted else "fitted in this period already"
    output.out.print(
        f"{response.tag.tag_id}: {since}, over {edges.persons:,} persons with an order, as of "
        f"{format_time(edges.at_us)}"
    )
    rows = [
        (str(number), _span(recency), f"{frequency:,}", f"{monetary / MICRO:,.2f}")
        for number, (recency, frequency, monetary) in enumerate(
            zip(edges.recency_us[::-1], edges.frequency, edges.monetary_micros, strict=True), 1
        )
    ]
    columns = ("score", "last order longer ago than", "orders up to", "net spend up to")
    output.print_table(columns, rows)
    values = ", ".join(own.value for own in response.tag.values)
    output.out.print(f"values: {values}")


def _span(microseconds: int) -> str:
    return f"{timedelta(microseconds=microseconds) / timedelta(days=1):,.1f} d"
