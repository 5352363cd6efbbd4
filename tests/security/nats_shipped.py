"""Runs a nats-server with the shipped configuration, and speaks its protocol without a library."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from integration.deploy.compose_host import process
from service_fixtures import wait_until

from services import SERVICES
from services.devstack.binaries import find_nats
from services.devstack.folders import ROOT
from services.devstack.nats_clients import ClientsFile
from services.devstack.nats_config import ClientId, new_password, password_variable
from services.devstack.ports import LOOPBACK, free_port

WEB, APP, SHOP = ClientId("school", "web"), ClientId("school", "app"), ClientId("shop", "web")
#: Receives what destinations publish.
CRM = ClientId("school", "crm", receives=True)


@dataclass(frozen=True)
class ShippedNats:
    """A running server, and the passwords of its users."""

    port: int
    passwords: Mapping[str, str]

    def url(self, user: str) -> str:
        return f"nats://{user}:{self.passwords[user]}@{LOOPBACK}:{self.port}"

    @asynccontextmanager
    async def connect(self, user: str) -> AsyncIterator[RawClient]:
        """Connect as a user."""
        async with self.connect_unknown() as client:
            assert await client.log_in(user, self.passwords[user]) == []
            yield client

    @asynccontextmanager
    async def connect_unknown(self) -> AsyncIterator[RawClient]:
        """Connect without credentials."""
        reader, writer = await asyncio.open_connection(LOOPBACK, self.port)
        try:
            yield RawClient(reader, writer)
        finally:
            writer.close()


@dataclass
class RawClient:
    """A connection: it sends what no library would."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    sids: int = 0

    async def log_in(self, user: str, password: str) -> list[str]:
        """Send credentials, and return the errors."""
        login = {"user": user, "pass": password, "headers": True, "verbose": False}
        # In one piece: a server that refuses resets the connection if more arrives afterwards, and
        # its error is lost with that.
        await self.send(f"CONNECT {json.dumps(login)}\r\nPING")
        return await self._errors_before_pong()

    async def send(self, line: str, payload: bytes | None = None) -> None:
        body = b"" if payload is None else payload + b"\r\n"
        self.writer.write(line.encode() + b"\r\n" + body)
        await self.writer.drain()

    async def errors(self) -> list[str]:
        """Return the errors that the server has reported by now."""
        await self.send("PING")
        return await self._errors_before_pong()

    async def _errors_before_pong(self) -> list[str]:
        found = []
        while (line := (await self.reader.readline()).decode().strip()) != "PONG":
            if not line:
                return [*found, "the server has closed the connection"]
            if line.startswith("-ERR"):
                found.append(line)
        return found

    async def publish(self, subject: str, payload: bytes = b"{}", reply: str = "") -> list[str]:
        """Publish, and return the errors."""
        await self.send(f"PUB {subject} {reply} {len(payload)}".replace("  ", " "), payload)
        return await self.errors()

    async def subscribe(self, subject: str, queue: str = "") -> list[str]:
        """Subscribe, and return the errors."""
        self.sids += 1
        await self.send(f"SUB {subject} {queue} {self.sids}".replace("  ", " "))
        return await self.errors()


@asynccontextmanager
async def shipped_nats(folder: Path) -> AsyncIterator[ShippedNats]:
    """Run nats-server with deploy/nats.conf, the folder for its store and free ports."""
    text = (ROOT / "deploy" / "nats.conf").read_text("utf-8")
    assert "store_dir: /data," in text
    (folder / "nats.conf").write_text(text.replace("store_dir: /data,", f"store_dir: {folder}/js,"))
    clients = ClientsFile(folder / "clients" / "clients.conf")
    passwords = {client.name: clients.create(client) for client in (WEB, APP, SHOP)}
    clients.ensure()
    passwords[CRM.name] = clients.create(CRM)
    environment = {"PATH": os.environ["PATH"]}
    for service in SERVICES:
        passwords[service] = new_password()
        environment[password_variable(service)] = f'"{passwords[service]}"'
    port = free_port()
    argv = [str(find_nats()), "-c", "nats.conf", "-a", LOOPBACK, "-p", str(port), "-m", "0"]
    with process(argv, environment, folder, folder / "nats.log"):
        nats = ShippedNats(port, passwords)
        await wait_until(lambda: accepts(nats))
        yield nats


async def accepts(nats: ShippedNats) -> bool:
    try:
        async with nats.connect("ingest"):
            return True
    except OSError:
        return False


def covers(allowed: str, subject: str) -> bool:
    """Return whether a grant, such as `onefold.log.*`, covers all of a subject."""
    grant, tried = allowed.split(), subject.split()
    if len(grant) > 1 and grant[1:] != tried[1:]:
        return False
    left, right = grant[0].split("."), tried[0].split(".")
    for index, token in enumerate(left):
        if token == ">":
            return len(right) > index
        if index >= len(right) or right[index] == ">" or (token not in ("*", right[index])):
            return False
    return len(left) == len(right)


@dataclass(frozen=True)
class Attempt:
    """An operation that a user tries."""

    verb: str
    subject: str
    queue: str = ""

    @classmethod
    def parse(cls, verb: str, text: str) -> Self:
        subject, _, queue = text.partition(" ")
        return cls(verb, subject, queue)

    async def errors(self, client: RawClient) -> list[str]:
        if self.verb == "publish":
            return await client.publish(self.subject)
        return await client.subscribe(self.subject, self.queue)

    def __str__(self) -> str:
        return f"{self.verb} {self.subject} {self.queue}".strip()
