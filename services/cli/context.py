"""Gives commands the options that they share, and a client of the system that is meant."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Annotated, TypeVar

from typer import Argument, Option

from services.cli import output
from services.cli.endpoints import default_data_dir, find_endpoints
from services.client.client import Client
from services.devstack.folders import load_internal_key

_Result = TypeVar("_Result")

DataDir = Annotated[
    Path, Option("--data", help="The data folder.", default_factory=default_data_dir)
]
IdentifierA = Annotated[str, Argument(metavar="A", help="NAMESPACE:VALUE")]
IdentifierB = Annotated[str, Argument(metavar="B", help="NAMESPACE:VALUE")]
Limit = Annotated[int, Option(help="Show at most this many.", min=1, max=1_000)]


def run_with_client(
    data: Path, work: Callable[[Client], Awaitable[_Result]], *, as_service: bool = False
) -> _Result:
    """Run `work` with a client and return its result; an expected error ends the process.

    `as_service`: call a system over `data` with the key of its services, which only the owner of
    the folder can read. A system elsewhere is always called with ONEFOLD_KEY.
    """

    async def run() -> _Result:
        endpoints = find_endpoints(data)
        if as_service and endpoints.operations_urls:
            endpoints = replace(endpoints, key=load_internal_key(data))
        async with Client(endpoints) as client:
            return await work(client)

    return output.run(run())
