"""`./onefold verify` and `rebuild`: state from the log again, and its digest compared."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Annotated

import typer
from onefold.log.v1.log_service_pb2 import GetHeadRequest
from onefold.projection.v1.projection_service_pb2 import (
    GetAccessDifferencesRequest,
    RebuildRequest,
    RebuildResponse,
)
from typer import Argument, Option

from services.cli import output
from services.cli.commands.engines import ENGINES, compute_rows
from services.cli.commands.facts import failed_facts
from services.cli.commands.journeys import verify_journeys
from services.cli.context import DataDir, run_with_client
from services.client.client import PROJECTIONS, Client
from services.kernel.errors import OnefoldError

#: The services whose state is a fold of the log; activation's ledger is never rebuilt.
REBUILT = ("identity", "profile", "segment")
#: Those that read the log, which they do once together.
TOGETHER = ("identity", "profile")


def verify(
    data: DataDir,
    what: Annotated[
        str, Argument(metavar="[journeys]", help="The transitions of runs instead of projections.")
    ] = "",
    shards: Annotated[
        int,
        Option(help="Rebuild as if the log had this many shards; 0 = as it is.", min=0, max=1024),
    ] = 0,
) -> None:
    """Rebuild every projection from the log beside the live one, and compare their digests.

    Identity and profile read the log together, once. The keys, sources and workspaces of every
    service are compared with those of the log as well.
    """
    if what == "journeys":
        verify_journeys(data)
        return
    if what:
        raise typer.BadParameter("verify `journeys`, or nothing to verify all projections")
    if not run_with_client(data, lambda client: _verify(client, shards), as_service=True):
        raise typer.Exit(1)


def rebuild(
    data: DataDir,
    service: Annotated[
        str,
        Argument(
            help="identity, profile or segment; without it all, for which the log is read once."
        ),
    ] = "",
    workers: Annotated[int, Option(help="Fold with this many workers.", min=1)] = 1,
    resync: Annotated[
        bool,
        Option(
            "--resync",
            help="Switch over although the digests differ: for a service that is stalled because "
            "the service before it has deleted its input (RANGE_EXPIRED).",
        ),
    ] = False,
    engine: Annotated[
        str, Option(help="`services`, or `spark`, which computes identity or profile from --log.")
    ] = "services",
    log: Annotated[
        Path | None,
        Option(help="The folder of `./onefold export log`, which Spark and the service can read."),
    ] = None,
    master: Annotated[str, Option(help="The master of Spark.")] = "local[*]",
) -> None:
    """Rebuild the state of services from the log, and make it live if the digests are equal.

    With --resync it becomes live in any case, as of the state of the service before it; what
    changed in between is published to the services after it.
    """
    if service not in REBUILT and (service or resync):
        output.fail(
            f"name one of {', '.join(REBUILT)}; activation cannot be rebuilt, because a rebuild "
            "sends nothing"
        )
    if engine not in ENGINES or (engine == "spark") != bool(service and log):
        output.fail("--engine spark needs identity or profile, and --log with an exported log")

    async def run(client: Client) -> bool:
        if resync:
            return await _resync(client, service, workers)
        rows = ""
        if log is not None:
            rows = await compute_rows(client, data, service, log, master)
        request = RebuildRequest(workers=workers, switch_over=True, rows=rows)
        return await _rebuild(client, [service] if service else REBUILT, request)

    if not run_with_client(data, run, as_service=True):
        raise typer.Exit(1)


async def request_rebuild(client: Client, service: str, request: RebuildRequest) -> RebuildResponse:
    """Rebuild a projection with a progress bar, and return the last response.

    Raises OnefoldError.
    """
    return (await _request_all(client, [service], request))[service]


async def request_rebuilds(
    client: Client, services: Sequence[str], request: RebuildRequest
) -> dict[str, RebuildResponse]:
    """Rebuild projections, and return the last response of each, by service.

    Identity and profile are rebuilt together, the others one after the other. Raises OnefoldError.
    """
    found: dict[str, RebuildResponse] = {}
    together = [service for service in TOGETHER if service in services]
    if len(together) == len(TOGETHER):
        joint = RebuildRequest(together=True)
        joint.MergeFrom(request)
        found = await _request_all(client, together, joint)
    for service in services:
        if service not in found:
            found |= await _request_all(client, [service], request)
    return found


async def _request_all(
    client: Client, services: Sequence[str], request: RebuildRequest
) -> dict[str, RebuildResponse]:
    """Rebuild projections at the same time."""
    with output.ProgressBars() as bars:

        async def run(service: str) -> RebuildResponse:
            last = RebuildResponse()
            task = bars.add_task(f"rebuilding {service}", total=None)
            async for last in client.projection(service).Rebuild(request):
                bars.update(task, completed=last.done, total=last.total)
            if not last.finished:
                raise OnefoldError(f"the rebuild of {service} ended early: see its log")
            return last

        results = await asyncio.gather(*map(run, services))
    return dict(zip(services, results, strict=True))


async def _verify(client: Client, shards: int) -> bool:
    rows = []
    equal = True
    results = await request_rebuilds(client, REBUILT, RebuildRequest(shards=shards))
    for service, result in results.items():
        equal &= result.equal
        for workspace in sorted({*result.live_digests, *result.rebuilt_digests}):
            live = result.live_digests.get(workspace, "")
            rebuilt = result.rebuilt_digests.get(workspace, "")
            rows.append((service, workspace, live, rebuilt, "yes" if live == rebuilt else "NO"))
        _print_differences(service, result.differing_rows)
    columns = ("projection", "workspace", "live digest", "rebuilt digest", "equal")
    output.print_table(columns, rows)
    await _note_left_out(client)
    return await _check_access(client) and equal


async def _note_left_out(client: Client) -> None:
    """Print how many facts both states lack: their digests are equal without them."""
    for service in PROJECTIONS:
        if lacking := await failed_facts(client, service):
            output.err.print(
                f"{service}: the state lacks {len(lacking):,} failed or parked facts; see"
                " `./onefold facts list`."
            )


async def _check_access(client: Client) -> bool:
    """Print the rows of keys, sources and workspaces that are not as the log defines them."""
    head = await client.log.GetHead(GetHeadRequest())
    await client.await_token(head.token)
    is_equal = True
    for service in PROJECTIONS:
        response = await client.projection(service).GetAccessDifferences(
            GetAccessDifferencesRequest()
        )
        _print_differences(service, response.differences)
        is_equal &= not response.differences
    if not is_equal:
        output.err.print("A restart of a service repairs its keys, sources and workspaces.")
    return is_equal


async def _rebuild(client: Client, services: Sequence[str], request: RebuildRequest) -> bool:
    results = await request_rebuilds(client, services, request)
    for service, result in results.items():
        if result.equal:
            _print_live(service, result)
        else:
            output.err.print(f"{service}: the digests differ; the live state is unchanged.")
            _print_differences(service, result.differing_rows)
    return all(result.equal for result in results.values())


async def _resync(client: Client, service: str, workers: int) -> bool:
    """Resync a service; profile follows identity.

    Identity cannot publish a difference between two of its facts; so profile, which consumes them,
    takes over the whole state.
    """
    for each in ("identity", "profile") if service == "identity" else (service,):
        request = RebuildRequest(workers=workers, resync=True)
        result = await request_rebuild(client, each, request)
        if not result.switched:
            output.err.print(f"{each}: the live state is unchanged; its log explains why.")
            return False
        _print_live(each, result)
    return True


def _print_live(service: str, result: RebuildResponse) -> None:
    output.out.print(f"{service} is rebuilt from {result.done:,} facts, and live.")


def _print_differences(service: str, rows: Iterable[str]) -> None:
    for row in rows:
        output.err.print(f"{service}: differs: {row}")
