"""Fixtures that give tests the real engines, and the one way in which a test waits.

One PostgreSQL and one nats-server a process of tests, started when the first test asks; a database
of its own for each test; no stream left of the test before. `tests/conftest.py` loads this module.
"""

from __future__ import annotations

import asyncio
import inspect
import secrets
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any, Protocol, TypeVar

import asyncpg
import nats
import pytest
import pytest_asyncio
import uvloop

from services.chassis.runtime.settings import ServiceSettings
from services.devstack.nats import NatsServer
from services.devstack.postgres import PostgresServer

T = TypeVar("T")
S = TypeVar("S", bound=ServiceSettings)

#: The servers of tests survive kill -9, which needs no fsync; they need not survive a power cut.
QUICK = {"fsync": "off", "full_page_writes": "off", "shared_buffers": "128MB"}

_FIRST_PAUSE_S = 0.005
_LONGEST_PAUSE_S = 0.1


def pytest_asyncio_loop_factories() -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Tests run on the loop that the services run on."""
    return {"uvloop": uvloop.new_event_loop}


async def wait_until(predicate: Callable[[], T | Awaitable[T]], deadline_s: float = 20.0) -> T:
    """Ask `predicate` again and again until its answer is true, and give that answer.

    Raises TimeoutError, which names the predicate and its last answer.
    """
    loop = asyncio.get_running_loop()
    end, pause = loop.time() + deadline_s, _FIRST_PAUSE_S
    while not (answer := await _ask(predicate)):
        if loop.time() > end:
            name = getattr(predicate, "__qualname__", repr(predicate))
            raise TimeoutError(f"{name} was still {answer!r} after {deadline_s} s")
        await asyncio.sleep(pause)
        pause = min(pause * 1.5, _LONGEST_PAUSE_S)
    return answer


async def _ask(predicate: Callable[[], T | Awaitable[T]]) -> T:
    answer = predicate()
    if inspect.isawaitable(answer):
        return await answer
    return answer


@pytest.fixture(scope="session")
def engines_dir() -> Iterator[Path]:
    """A folder for the engines of this session, removed at its end."""
    with tempfile.TemporaryDirectory(prefix="onefold-test-", ignore_cleanup_errors=True) as folder:
        yield Path(folder)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def postgres_server(engines_dir: Path) -> AsyncIterator[PostgresServer]:
    """The session's PostgreSQL. A test that stops or kills it makes one of its own."""
    async with PostgresServer(engines_dir, settings=QUICK) as server:
        yield server


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def nats_server(engines_dir: Path) -> AsyncIterator[NatsServer]:
    """The session's nats-server. A test that stops or kills it makes one of its own."""
    async with NatsServer(engines_dir) as server:
        yield server


@pytest_asyncio.fixture(loop_scope="session")
async def database(postgres_server: PostgresServer) -> AsyncIterator[str]:
    """The DSN of an empty database that this test alone uses."""
    name = f"onefold_{secrets.token_hex(6)}"
    admin = await asyncpg.connect(postgres_server.admin_dsn)
    try:
        await admin.execute(f"CREATE DATABASE {name} OWNER onefold")
        yield postgres_server.dsn.rpartition("/")[0] + f"/{name}"
        await admin.execute(f"DROP DATABASE {name} WITH (FORCE)")
    finally:
        await admin.close()


@pytest_asyncio.fixture(loop_scope="session")
async def nats_url(nats_server: NatsServer) -> str:
    """The URL of a NATS that holds no stream."""
    connection = await nats.connect(nats_server.url)
    try:
        stream = connection.jetstream()
        for info in await stream.streams_info():
            await stream.delete_stream(info.config.name or "")
    finally:
        await connection.close()
    return nats_server.url


@pytest.fixture(scope="session")
def internal_key() -> str:
    """The key with which the services of this session call each other."""
    return secrets.token_urlsafe(32)


class MakeSettings(Protocol):
    """Makes settings of a service that uses this test's database, NATS and key."""

    def __call__(self, kind: type[S], **fields: Any) -> S:
        """Settings of `kind`; `fields` are set over the rest."""
        ...


@pytest.fixture
def make_settings(database: str, nats_url: str, internal_key: str, tmp_path: Path) -> MakeSettings:
    """Makes settings of a service on this test's own database and NATS."""

    def make(kind: type[S], **fields: Any) -> S:
        engines = {"postgres_dsn": database, "nats_url": nats_url, "internal_key": internal_key}
        return kind(**{**engines, "data_dir": tmp_path, **fields})

    return make
