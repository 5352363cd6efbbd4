"""The source, the destination and the condition of the guide to extensions run beside a system."""

from __future__ import annotations

import asyncio
import json
import os
import re
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from integration.console.running_console import Console, running_console
from onefold.ingest.v1.admin_service_pb2 import DefineSourceRequest
from onefold.ingest.v1.ingest_facts_pb2 import SourceDefined
from onefold.type.v1.source_trust_pb2 import SOURCE_TRUST_SERVER
from service_fixtures import MakeSettings, wait_until

from services.activation.settings import ActivationSettings
from services.cli.commands.packs import apply_pack
from services.cli.definitions import read_pack
from services.devstack.ports import free_port

GUIDE = Path(__file__).parents[3] / "docs" / "how-to" / "extend.md"
SECRET = "whsec_dGhlIHNlY3JldCBvZiB0aGUgZG9jdW1lbnRz"
ORDERS = [
    {"no": "1", "buyer": "li@firma.example", "paid": "2026-11-01T08:00:00Z", "sum": 20},
    {"no": "2", "buyer": "wang@qq.com", "paid": "2026-11-02T08:00:00Z", "sum": 30},
]


def write_programs(folder: Path) -> None:
    """Write the programs of the guide as files."""
    for block in re.findall(r"^```python\n(.*?)^```", GUIDE.read_text("utf-8"), re.M | re.S):
        name = re.match(r"# (\w+\.py):", block)
        assert name
        (folder / name[1]).write_text(block, "utf-8")


@dataclass
class Programs:
    """Starts the programs of the guide."""

    folder: Path
    environment: dict[str, str]

    async def start(self, name: str, *arguments: str) -> Process:
        environment = {"PATH": os.environ["PATH"], **self.environment}
        return await asyncio.create_subprocess_exec(
            *(sys.executable, "-I", str(self.folder / name), *arguments),
            stdin=PIPE,
            stdout=PIPE,
            stderr=PIPE,
            env=environment,
        )

    async def run(self, name: str, *arguments: str, lines: str = "") -> str:
        process = await self.start(name, *arguments)
        output, errors = await process.communicate(lines.encode())
        assert process.returncode == 0, errors.decode()
        return output.decode()

    @asynccontextmanager
    async def running(self, name: str) -> AsyncIterator[Process]:
        process = await self.start(name)
        try:
            yield process
        finally:
            process.kill()
            await process.wait()


async def apply_guide(console: Console, folder: Path, receiver: str) -> None:
    [yaml] = re.findall(r"^```yaml\n(.*?)^```", GUIDE.read_text("utf-8"), re.M | re.S)
    pack = folder / "pack.yaml"
    pack.write_text(yaml.replace("https://crm.example/onefold", receiver), "utf-8")
    await apply_pack(console.system.admin, read_pack(pack, {}))


@pytest.mark.timeout(180)
async def test_source_destination_and_condition_of_the_guide_work_together(
    make_settings: MakeSettings, internal_key: str, tmp_path: Path
) -> None:
    port = free_port()

    def settings(kind: Any, **fields: Any) -> Any:
        if kind is ActivationSettings:
            fields["private_targets"] = f"127.0.0.1:{port}"
        return make_settings(kind, **fields)

    write_programs(tmp_path)
    async with running_console(settings, internal_key, tmp_path) as console:
        system = console.system
        # The identifier of the shop's buyers is an e-mail address.
        source = SourceDefined(source_id="web", trust=SOURCE_TRUST_SERVER)
        await system.admin.admin.DefineSource(DefineSourceRequest(source=source))
        await apply_guide(console, tmp_path, f"http://127.0.0.1:{port}/")
        programs = Programs(
            tmp_path,
            {
                "ONEFOLD_EVENTS": system.source.endpoints.events_url,
                "ONEFOLD_KEY": system.source.endpoints.key,
                "WEBHOOK_SECRET": SECRET,
                "PORT": str(port),
            },
        )
        lines = "".join(f"{json.dumps(order)}\n" for order in ORDERS)
        await programs.run("source.py", lines=lines)
        await programs.run("source.py", lines=lines)  # a repeat adds nothing
        for order in ORDERS:
            await system.send(
                "identify", f"user_id:{order['buyer']}", f"email:{order['buyer']}", verified=True
            )
        await system.drain()
        assert len(await system.members("buyers")) == 2
        assert await system.members("company-buyers") == set()

        as_admin = {
            "ONEFOLD_CALLS": f"{console.url}/api",
            "ONEFOLD_KEY": system.admin.endpoints.key,
        }
        condition = replace(programs, environment=as_admin)
        async with programs.running("destination.py") as receiver:
            await condition.run("condition.py", "buyers")
            await system.drain()
            assert await system.members("company-buyers") == set(
                await system.profiles("email:li@firma.example")
            )
            assert receiver.stdout
            kind, segment, person = (await receiver.stdout.readline()).decode().split(" ", 2)
            assert (kind, segment) == ("segment.entered", "company-buyers")
            assert {"namespace": "email", "value": "li@firma.example"} in json.loads(person)[
                "identifiers"
            ]

            async def is_delivered() -> bool:
                [delivery] = await system.deliveries("crm-of-companies")
                return bool(delivery.attempts == 1)

            await wait_until(is_delivered)
