"""`./onefold up`, `down` and `status`: the system of a data folder."""

from __future__ import annotations

import asyncio
import json
import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

from onefold.log.v1.log_service_pb2 import GetHeadRequest, GetHeadResponse
from onefold.projection.v1.projection_service_pb2 import GetStatusRequest, GetStatusResponse
from typer import Exit, Option

from services.cli import output
from services.cli.commands.console import login_link
from services.cli.context import DataDir, run_with_client
from services.cli.endpoints import default_data_dir, find_endpoints, has_supervisor, read_stack
from services.cli.health import load_problems
from services.client.client import PROJECTIONS, ApiEndpoints, Client
from services.devstack.errors import ServerError
from services.devstack.folders import ROOT, make_folder, open_private
from services.devstack.ports import FIRST_PORT_VARIABLE, LOOPBACK, load_ports
from services.devstack.process import is_alive
from services.kernel.errors import OnefoldError, RetryableError

STOP_TIMEOUT_S = 90.0
#: Each of the two rounds of calls of `status` may take so many seconds.
_STATUS_TIMEOUT_S = 4.0


def up(
    data: DataDir,
    allow_clock: Annotated[
        bool, Option("--allow-clock", help="Let `clock advance` move the clock.")
    ] = False,
    first_port: Annotated[
        int | None,
        Option(
            "--first-port",
            help="Listen on consecutive ports from here on; 0 = on free ones.",
            envvar=FIRST_PORT_VARIABLE,
            min=0,
            max=65_500,
        ),
    ] = None,
) -> None:
    """Start PostgreSQL, NATS and the five services, and leave them running.

    They listen on 127.0.0.1, by default on ports 7810 (events over HTTP), 7811 to 7815 (gRPC for
    clients of ingest, identity, profile, segment, activation), 7816 to 7820 (their internal gRPC),
    7821 to 7825 (their health and metrics), 7826 (PostgreSQL), 7827 and 7828 (NATS, its monitor),
    7829 and 7830 (the console, its health). A default port in use is replaced by
    a free one; a port that is set must be free. A restart uses the ports of the last start.
    ONEFOLD_INGEST_HTTP_PORT, ONEFOLD_PROFILE_GRPC_PORT,
    ONEFOLD_PROFILE_INTERNAL_GRPC_PORT, ONEFOLD_POSTGRES_PORT, ONEFOLD_NATS_PORT, … set single
    ports.
    """
    settings = {"ONEFOLD_CLOCK_ADVANCE": "allowed"} if allow_clock else {}
    if first_port is not None:
        settings[FIRST_PORT_VARIABLE] = str(first_port)
    with output.exit_on_error():
        started = start_system(data, settings)
        endpoints = find_endpoints(data)
        link = run_with_client(data, login_link) if started else "see `./onefold console`"
        problems = {} if started else asyncio.run(load_problems(endpoints.operations_urls))
    if _print_problems(problems):
        output.fail("Onefold was already running, and not all of it answers (see above)")
    for line in (
        "Onefold is running." if started else "Onefold was already running.",
        f"  events over HTTP   {endpoints.events_url}/v1/batch",
        f"  events over gRPC   {endpoints.public_grpc['ingest']}",
        f"  events over NATS   {_nats_endpoint(data)}",
        f"  calls over HTTP    {endpoints.calls_url}/api",
        f"  console            {link}",
        f"  admin key          in {data / 'admin.key'}",
        f"Next: {_next_steps(data)}",
    ):
        output.out.print(line, soft_wrap=True)


def _next_steps(data: Path) -> str:
    """Return the commands that a user runs next, over the same data folder."""
    same = "" if data == default_data_dir() else f" --data {shlex.quote(str(data))}"
    steps = ("apply -f packs/education/sources.yaml", "status", "down")
    return ", ".join(f"`./onefold {step}{same}`" for step in steps) + "."


def down(data: DataDir) -> None:
    """Stop what `up` started. The data are kept."""
    stopped = output.run(_stop(data))
    output.out.print("Stopped." if stopped else f"Nothing runs over {data}.")


def status(data: DataDir) -> None:
    """Show the services, their lag per shard, counts and endpoints; name what does not answer."""
    # Others see no counts.
    if not run_with_client(data, _show_status, as_service=True):
        raise Exit(1)


def _print_problems(problems: Mapping[str, str]) -> bool:
    """Print what is wrong with the services; return whether there is anything."""
    for name, why in problems.items():
        output.err.print(f"{name}: {why}", soft_wrap=True)
    return bool(problems)


def start_system(data_dir: Path, settings: Mapping[str, str]) -> bool:
    """Start the supervisor of a data folder; False where one runs already. Raises ServerError."""
    if read_stack(data_dir) is not None:
        return False
    make_folder(data_dir, passable=True)
    log_file = data_dir / "supervisor.log"
    with open(log_file, "ab", opener=open_private) as log:
        supervisor = subprocess.Popen(
            [sys.executable, "-m", "services.cli.supervisor", str(data_dir.resolve())],
            cwd=ROOT,
            env=os.environ | settings,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=log,
            start_new_session=True,
            text=True,
        )
    _show_start(supervisor, log_file)
    return True


def _show_start(supervisor: subprocess.Popen[str], log_file: Path) -> None:
    """Show the progress of a start until the system is ready. Raises ServerError."""
    with output.err.spinner("starting") as spinner:
        for line in supervisor.stdout or ():
            event: dict[str, Any] = json.loads(line)
            if event.get("ready"):
                return
            if "error" in event:
                raise ServerError(event["error"])
            if "notice" in event:
                output.err.print(f"  {event['notice']}", soft_wrap=True)
            elif event["done"]:
                output.err.print(f"  {event['step']} is ready")
            else:
                spinner.update(f"starting {event['step']}")
    raise ServerError(f"the system did not start: see {log_file}")


async def _stop(data_dir: Path) -> bool:
    """Stop the system of a data folder; False where none runs. Raises ServerError."""
    state = read_stack(data_dir)
    if state is None:
        return False
    pid = state["supervisor_pid"]
    os.kill(pid, signal.SIGTERM)
    try:
        async with asyncio.timeout(STOP_TIMEOUT_S):
            while is_alive(pid) and has_supervisor(data_dir):  # noqa: ASYNC110 there is no event
                await asyncio.sleep(0.05)
    except TimeoutError:
        raise ServerError(
            f"process {pid} did not stop in {STOP_TIMEOUT_S:.0f} s: see "
            f"{data_dir / 'supervisor.log'}, then run `./onefold down` again"
        ) from None
    return True


async def _show_status(client: Client) -> bool:
    """Show what can be read; return whether every service is ready."""
    # Together, and the end of the log after them: a hanging service delays no other one, and no
    # service is ahead of the log.
    problems, statuses = await asyncio.gather(
        load_problems(client.endpoints.operations_urls, _STATUS_TIMEOUT_S),
        asyncio.gather(*(_load_status(client, name) for name in PROJECTIONS)),
    )
    head = await _load_head(client)
    if head is not None:
        facts, clock = sum(head.token.offsets), output.format_time(head.now_us)
        output.out.print(f"log: {facts:,} facts, clock {clock}")
    rows = [_status_row(name, one, head) for name, one in zip(PROJECTIONS, statuses, strict=True)]
    columns = ("service", "facts behind, per shard", "generation", "failed facts", "counts")
    output.print_table(columns, rows)
    for name in client.endpoints.grpc:
        output.out.print(_endpoints_line(client.endpoints, name), soft_wrap=True)
    if client.endpoints.calls_url:
        output.out.print(f"{'calls':<11} http {client.endpoints.calls_url}/api", soft_wrap=True)
    return not _print_problems(problems) and head is not None


async def _load_head(client: Client) -> GetHeadResponse | None:
    try:
        return await client.log.GetHead(GetHeadRequest(), timeout=_STATUS_TIMEOUT_S)
    except RetryableError as error:
        output.err.print(f"the log cannot be read: {error}", soft_wrap=True)
        return None


async def _load_status(client: Client, name: str) -> GetStatusResponse | OnefoldError:
    try:
        request = GetStatusRequest(counts=True)
        return await client.projection(name).GetStatus(request, timeout=_STATUS_TIMEOUT_S)
    except RetryableError as error:
        return error


def _endpoints_line(endpoints: ApiEndpoints, name: str) -> str:
    """Return a line such as `ingest grpc HOST:PORT http URL internal HOST:PORT metrics URL`."""
    line = f"{name:<11}"
    if public := endpoints.public_grpc.get(name):
        line += f" grpc {public}"
    if name == "ingest" and endpoints.events_url:
        line += f" http {endpoints.events_url}"
    line += f" internal {endpoints.grpc[name]}"
    if operations := endpoints.operations_urls.get(name):
        line += f" metrics {operations}/metrics"
    return line


def _status_row(
    name: str, status: GetStatusResponse | OnefoldError, head: GetHeadResponse | None
) -> tuple[str, str, str, str, str]:
    if isinstance(status, OnefoldError):
        return name, str(status), "", "", ""
    ends = head.token.offsets if head is not None else ()
    behind = " ".join(
        str(ends[shard.shard] - shard.log_offset) if shard.shard < len(ends) else "?"
        for shard in status.shards
    )
    counts = ", ".join(f"{count:,} {what}" for what, count in sorted(status.counts.items()))
    return name, behind, str(status.generation), _left_out_text(status), counts


def _left_out_text(status: GetStatusResponse) -> str:
    """Return how many facts the state lacks; `./onefold facts list` shows them."""
    failed = sum(shard.failed_facts for shard in status.shards)
    parked = sum(shard.parked_facts for shard in status.shards)
    return f"{failed}" if not parked else f"{failed}, {parked} parked"


def _nats_endpoint(data_dir: Path) -> str:
    port = load_ports(data_dir / "nats" / "ports.json").get("nats")
    if port is None:
        return "as in ONEFOLD_NATS_URL"
    return f"{LOOPBACK}:{port}, with `./onefold nats credentials --source ID`"
