"""Provides tests with a real PostgreSQL and NATS, and with the one way to wait for a condition.

Each process of tests starts one PostgreSQL and one nats-server when its first test needs them. Each
test gets an empty database and a NATS without streams. `tests/conftest.py` loads this module.
"""

from __future__ import annotations

import asyncio
import inspect
import secrets
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Protocol, TypeVar
from urllib.parse import urlsplit

import asyncpg
import nats
import pytest
import pytest_asyncio
import uvloop

from services import SERVICES
from services.chassis.messaging.envelope import MessageAuthenticator
from services.chassis.messaging.jetstream import JetStreamBus
from services.chassis.postgres.roles import grant_database
from services.chassis.runtime.settings import ServiceSettings
from services.devstack.nats import NatsServer
from services.devstack.nats_config import NatsUser
from services.devstack.postgres import PREFIX, PostgresServer
from tests.index_key import INDEX_KEY_TEXT

T = TypeVar("T")
S = TypeVar("S", bound=ServiceSettings)

#: The servers of tests must survive kill -9, which needs no fsync, but no power cut.
QUICK = {"fsync": "off", "full_page_writes": "off", "shared_buffers": "128MB"}

#: Seals the secrets of destinations in tests.
SECRETS_KEY = "1." + "0f" * 32
#: The secret that authenticates the messages of the services in tests.
BUS_KEY = "the bus key of all services in these tests"

#: How long a test waits for what takes seconds on a quiet machine: a guard against hanging.
HANG_S = 120.0

#: The folders of modules whose tests share services.
_SHARING: list[Path] = []

_FIRST_PAUSE_S = 0.005
_LONGEST_PAUSE_S = 0.1


def pytest_asyncio_loop_factories() -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Run tests on the event loop of the services."""
    return {"uvloop": uvloop.new_event_loop}


async def wait_until(predicate: Callable[[], T | Awaitable[T]], deadline_s: float = HANG_S) -> T:
    """Call `predicate` until its result is true, and return that result.

    Raises TimeoutError, which names the predicate and its last result.
    """
    loop = asyncio.get_running_loop()
    end, pause = loop.time() + deadline_s, _FIRST_PAUSE_S
    while not (result := await _call(predicate)):
        if loop.time() > end:
            name = getattr(predicate, "__qualname__", repr(predicate))
            raise TimeoutError(f"{name} was still {result!r} after {deadline_s} s")
        await asyncio.sleep(pause)
        pause = min(pause * 1.5, _LONGEST_PAUSE_S)
    return result


async def _call(predicate: Callable[[], T | Awaitable[T]]) -> T:
    result = predicate()
    if inspect.isawaitable(result):
        return await result
    return result


@pytest.fixture(scope="session")
def servers_dir() -> Iterator[Path]:
    """A folder for the servers of this session, removed at its end."""
    with tempfile.TemporaryDirectory(prefix="onefold-test-", ignore_cleanup_errors=True) as folder:
        yield Path(folder)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def postgres_server(servers_dir: Path) -> AsyncIterator[PostgresServer]:
    """Provide the session's PostgreSQL. A test that stops or kills it starts a separate one.

    The user of its DSN can log in, as a superuser: for tests that read the tables of services, and
    for services of tests, which have no roles. The services themselves log in as their roles.
    """
    async with PostgresServer(servers_dir, settings=QUICK) as server:
        await create_login(server)
        yield server


async def create_login(server: PostgresServer) -> None:
    """Make the user of a server's DSN one that can log in and read every table."""
    login = urlsplit(server.dsn)
    admin = await asyncpg.connect(server.admin_dsn)
    await admin.execute(f"CREATE ROLE {login.username} SUPERUSER LOGIN PASSWORD '{login.password}'")
    await admin.close()


async def create_database(admin: asyncpg.Connection) -> str:
    """Create an empty database that the services can use, and return its name."""
    name = f"onefold_{secrets.token_hex(6)}"
    await admin.execute(f"CREATE DATABASE {name}")
    await admin.execute(grant_database(PREFIX, SERVICES, name))
    return name


class OpenNatsServer(NatsServer):
    """A NATS with one more user, who may do everything in the account of the services."""

    users = (*NatsServer.users, "test")

    @property
    def url(self) -> str:
        """The URL of that user."""
        return self.url_of("test")

    def _config_users(self) -> list[NatsUser]:
        everything = (">",)
        test = NatsUser("test", self._passwords["test"], everything, everything)
        return [*super()._config_users(), test]


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def nats_server(servers_dir: Path) -> AsyncIterator[OpenNatsServer]:
    """Provide the session's nats-server. A test that stops or kills it starts a separate one."""
    async with OpenNatsServer(servers_dir) as server:
        yield server


@asynccontextmanager
async def _new_database(server: PostgresServer) -> AsyncIterator[str]:
    """Yield the DSN of an empty database."""
    admin = await asyncpg.connect(server.admin_dsn)
    try:
        name = await create_database(admin)
        yield server.dsn.rpartition("/")[0] + f"/{name}"
        await admin.execute(f"DROP DATABASE {name} WITH (FORCE)")
    finally:
        await admin.close()


@pytest_asyncio.fixture(loop_scope="session")
async def database(postgres_server: PostgresServer) -> AsyncIterator[str]:
    """The DSN of an empty database that only this test uses."""
    async with _new_database(postgres_server) as dsn:
        yield dsn


@pytest_asyncio.fixture(loop_scope="session")
async def nats_url(nats_server: OpenNatsServer) -> str:
    """The URL of a NATS without streams."""
    assert not _SHARING, "the streams belong to the module's services: use module_settings"
    await delete_streams(nats_server.url)
    return nats_server.url


async def delete_streams(url: str) -> None:
    """Delete the streams of tests before from a NATS."""
    connection = await nats.connect(url)
    try:
        stream = connection.jetstream()
        for info in await stream.streams_info():
            await stream.delete_stream(info.config.name or "")
    finally:
        await connection.close()


def open_bus(url: str, name: str) -> JetStreamBus:
    """Return a connection to NATS with the bus key of the services in tests; enter it."""
    return JetStreamBus(url, name=name, authenticator=MessageAuthenticator(BUS_KEY))


@pytest.fixture(scope="session")
def internal_key() -> str:
    """The key with which the services of this session call each other."""
    return secrets.token_urlsafe(32)


class MakeSettings(Protocol):
    """Creates the settings of a service that uses this test's database, NATS and key."""

    def __call__(self, kind: type[S], **fields: Any) -> S:
        """Return settings of `kind`, with `fields` over the rest."""
        ...


def _settings_maker(
    postgres_dsn: str, nats_url: str, internal_key: str, folder: Path
) -> MakeSettings:
    def make(kind: type[S], **fields: Any) -> S:
        servers = {"postgres_dsn": postgres_dsn, "nats_url": nats_url}
        keys = {"internal_key": internal_key, "bus_key": BUS_KEY}
        # Ingest begins before activation, and calls it for receipts alone.
        servers["activation_url"] = "127.0.0.1:1"
        if "index_key" in kind.model_fields:
            keys["index_key"] = INDEX_KEY_TEXT
        if "secrets_key" in kind.model_fields:
            keys["secrets_key"] = SECRETS_KEY
        return kind(**{**servers, **keys, "data_dir": folder, **fields})

    return make


@pytest.fixture
def make_settings(database: str, nats_url: str, internal_key: str, tmp_path: Path) -> MakeSettings:
    """Create settings of a service on this test's own database and NATS."""
    return _settings_maker(database, nats_url, internal_key, tmp_path)


@pytest.fixture(scope="module")
def module_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for what the tests of a module share."""
    return tmp_path_factory.mktemp("module")


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def module_settings(
    postgres_server: PostgresServer,
    nats_server: OpenNatsServer,
    internal_key: str,
    module_folder: Path,
) -> AsyncIterator[MakeSettings]:
    """Create settings of services that the tests of a module share, on a database of their own.

    The module's tests from then on may not use `nats_url`, which is without streams.
    """
    await delete_streams(nats_server.url)
    _SHARING.append(module_folder)
    async with _new_database(postgres_server) as dsn:
        yield _settings_maker(dsn, nats_server.url, internal_key, module_folder)
    _SHARING.remove(module_folder)
