"""`onefold up`, `down`, `status`: the system of a data folder."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from onefold.log.v1.log_service_pb2 import GetHeadRequest
from onefold.projection.v1.projection_service_pb2 import GetStatusRequest

from services.cli import output as show
from services.cli.client import PROJECTIONS, Client
from services.cli.endpoints import find_doors, is_kept, read_stack
from services.devstack.managed_server import ServerError, load_or_create_secrets, make_folder
from services.devstack.ports import saved_ports
from services.devstack.process import is_alive
from services.devstack.stack import ROOT
from services.kernel.errors import OnefoldError
from services.kernel.time import to_rfc3339

STOP_SECONDS = 90.0


def up(data_dir: Path, settings: Mapping[str, str]) -> bool:
    """Start the keeper of a data folder; False where one runs already. Raises EngineError."""
    if read_stack(data_dir) is not None:
        return False
    make_folder(data_dir)
    keeper = subprocess.Popen(
        [sys.executable, "-m", "services.cli.supervisor", str(data_dir.resolve())],
        cwd=ROOT,
        env=os.environ | settings,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=(data_dir / "keeper.log").open("ab"),
        start_new_session=True,
        text=True,
    )
    _follow(keeper, data_dir)
    return True


def _follow(keeper: subprocess.Popen[str], data_dir: Path) -> None:
    """Show the steps of a start until it is ready."""
    with show.err.status("starting") as status:
        for line in keeper.stdout or ():
            told: dict[str, Any] = json.loads(line)
            if told.get("ready"):
                return
            if "error" in told:
                raise ServerError(told["error"])
            if told["done"]:
                show.err.print(f"  {told['step']} is ready")
            else:
                status.update(f"starting {told['step']}")
    raise ServerError(f"the system did not start: see {data_dir / 'keeper.log'}")


async def down(data_dir: Path) -> bool:
    """Stop the system of a data folder; False where none runs. Raises EngineError."""
    told = read_stack(data_dir)
    if told is None:
        return False
    pid = int(told["keeper"]["keeper"]["pid"])
    os.kill(pid, signal.SIGTERM)
    async with asyncio.timeout(STOP_SECONDS):
        while is_alive(pid) and is_kept(data_dir):  # noqa: ASYNC110 nobody tells us
            await asyncio.sleep(0.05)
    return True


async def status(data_dir: Path) -> None:
    """Print services, lag per shard, and counts."""
    doors = find_doors(data_dir)
    async with Client(doors) as client:
        head = await client.call(client.log.GetHead, GetHeadRequest())
        show.out.print(f"log: {sum(head.token.offsets):,} facts, clock {to_rfc3339(head.now_us)}")
        rows = [await _service_row(client, name, head) for name in PROJECTIONS]
    show.table("", ("service", "behind, by shard", "generation", "holds"), rows)
    for name, url in doors.http.items():
        show.out.print(f"{name:<11} grpc {doors.grpc[name]:<22} http {url}")


async def _service_row(client: Client, name: str, head: Any) -> tuple[str, str, str, str]:
    try:
        told = await client.call(client.projection(name).GetStatus, GetStatusRequest(), 5.0)
    except OnefoldError as error:
        return name, str(error), "", ""
    behind = " ".join(str(head.token.offsets[s.shard] - s.log_offset) for s in told.shards)
    counts = ", ".join(f"{count:,} {what}" for what, count in sorted(told.counts.items()))
    return name, behind, str(told.generation), counts


def nats_place(data_dir: Path) -> str:
    """Where NATS listens, and where its credentials are kept."""
    port = saved_ports(data_dir / "nats" / "ports.json").get("client")
    if port is None:
        return "as ONEFOLD_NATS_URL says"
    return f"127.0.0.1:{port} (credentials in {data_dir / 'nats' / 'passwords.json'})"


def internal_key(data_dir: Path) -> str:
    """The key of the services themselves, which only the owner of the data folder can read.

    Raises EngineError.
    """
    return load_or_create_secrets(data_dir / "secrets.json", "internal")["internal"]
