"""`onefold clock`: the log's clock, for demos and tests."""

from __future__ import annotations

from typing import Annotated

import typer
from onefold.log.v1.log_service_pb2 import TickClockRequest

from services.cli import output
from services.cli.context import DataDir, run_with_client
from services.kernel.time import parse_span

app = typer.Typer(no_args_is_help=True, help="The log's clock, for demos and tests.")


@app.command()
def advance(data: DataDir, span: Annotated[str, typer.Argument(help="Such as 8d.")]) -> None:
    """Move the log's clock ahead."""
    try:
        advance_us = parse_span(span)
    except ValueError as error:
        output.fail(str(error))
    request = TickClockRequest(advance_us=advance_us)
    tick = run_with_client(data, lambda client: client.log.TickClock(request))
    output.out.print(f"The log's clock is at {output.format_time(tick.now_us)}.")
