"""Inserts messages as rows of a table of PostgreSQL, each once."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Awaitable, Callable
from typing import Any, Self

import asyncpg

from services.activation.channels import Message, Sender
from services.activation.channels.connections import ConnectionCache, shown_result
from services.activation.channels.http import NOT_REACHED
from services.activation.channels.ssrf import PrivateAddressError, TargetDialer
from services.activation.domain.channels import port_of
from services.activation.domain.mirror_channels import PostgresMirror
from services.activation.domain.model import Destination
from services.activation.domain.sealing import SecretKeys, SecretNotReadable
from services.activation.domain.system_channels import PostgresTable
from services.activation.domain.transitions import AttemptResult, AttemptStatus

#: Seconds for a connection with its login, and for a statement.
OPEN_TIMEOUT_S, TIMEOUT_S = 10.0, 15.0
#: Classes of SQLSTATE that say what a server lacks for every message: a login, a right, a table.
_SETUP = ("28", "3D", "42")
#: Classes of SQLSTATE that say that the message itself is not taken.
_REFUSED = ("22", "23", "44")


class _NamedContext(ssl.SSLContext):
    """Checks the certificate of a host by its name, although its address is dialled."""

    host = ""

    def wrap_bio(self, *args: Any, **kwargs: Any) -> ssl.SSLObject:
        return super().wrap_bio(*args, **{**kwargs, "server_hostname": self.host})


class PostgresServers:
    """The connections to the servers of destinations.

    `authorities`: the file with the authorities that certificates go back to; None = those of the
    system.
    """

    def __init__(
        self, dialer: TargetDialer, keys: SecretKeys, *, authorities: str | None = None
    ) -> None:
        self._dialer = dialer
        self._keys = keys
        self._authorities = authorities
        self._connections = ConnectionCache[asyncpg.Connection](_close)

    async def run(
        self,
        destination: Destination,
        channel: PostgresTable | PostgresMirror,
        work: Callable[[asyncpg.Connection], Awaitable[None]],
    ) -> AttemptResult:
        """Return the result of some work over the connection of a destination."""
        result = await self._run(destination, channel, work)
        return shown_result(self._dialer.guard, channel.host, port_of(channel), result)

    async def _run(
        self,
        destination: Destination,
        channel: PostgresTable | PostgresMirror,
        work: Callable[[asyncpg.Connection], Awaitable[None]],
    ) -> AttemptResult:
        begun = False
        try:
            password = self._keys.open_all(
                destination.workspace_id, destination.destination_id, channel
            )["password"]
            async with self._connections.use(
                destination, lambda: self._connect(channel, password)
            ) as conn:
                begun = True
                async with asyncio.timeout(TIMEOUT_S):
                    await work(conn)
        except SecretNotReadable as error:
            return AttemptResult(AttemptStatus.CREDENTIALS, str(error))
        except PrivateAddressError:
            return AttemptResult(AttemptStatus.FAILED, NOT_REACHED)
        except asyncpg.PostgresError as error:
            return result_of_state(error.sqlstate or "")
        except (OSError, TimeoutError, asyncpg.InterfaceError, asyncpg.InternalClientError):
            if begun:
                return AttemptResult(AttemptStatus.LOST, "the connection was lost")
            return AttemptResult(AttemptStatus.FAILED, "no connection to the server")
        return AttemptResult(AttemptStatus.DELIVERED)

    async def _connect(
        self, channel: PostgresTable | PostgresMirror, password: str
    ) -> asyncpg.Connection:
        found = await self._dialer.addresses(channel.host, port_of(channel))
        return await asyncpg.connect(
            # By their addresses: the name could lead elsewhere a second time.
            host=[each["host"] for each in found],
            port=port_of(channel),
            user=channel.username,
            # Never that of the environment, nor of a file of the operator.
            password=password,
            passfile="/dev/null",
            database=channel.database,
            ssl=False if channel.security == "none" else self._tls(channel.host),
            timeout=OPEN_TIMEOUT_S,
            statement_cache_size=0,
        )

    def _tls(self, host: str) -> ssl.SSLContext:
        context = _NamedContext(ssl.PROTOCOL_TLS_CLIENT)
        context.host = host
        if self._authorities is None:
            context.load_default_certs()
        else:
            context.load_verify_locations(self._authorities)
        return context

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._connections.close()


class PostgresSender(Sender):
    """Inserts one row a message; a repeat inserts none."""

    def __init__(self, servers: PostgresServers) -> None:
        self._servers = servers

    async def send(self, destination: Destination, message: Message) -> AttemptResult:
        channel = destination.channel
        if not isinstance(channel, PostgresTable):
            raise TypeError("this sender inserts rows of messages")
        statement = (
            f"INSERT INTO {quoted_table(channel.table)} (effect_id, message)"
            " VALUES ($1, $2::text::jsonb) ON CONFLICT (effect_id) DO NOTHING"
        )

        async def insert(conn: asyncpg.Connection) -> None:
            await conn.execute(statement, message.key, message.payload.decode())

        return await self._servers.run(destination, channel, insert)


def quoted_table(name: str) -> str:
    """Return a table's name, with its schema if it has one, for a statement."""
    return ".".join('"' + part.replace('"', '""') + '"' for part in name.split("."))


def result_of_state(state: str) -> AttemptResult:
    """Return the result of an error with this SQLSTATE; nothing of its text, which may be data."""
    reason = f"SQLSTATE {state}"
    if state.startswith(_SETUP):
        return AttemptResult(AttemptStatus.CREDENTIALS, reason)
    if state.startswith(_REFUSED):
        return AttemptResult(AttemptStatus.REJECTED, reason)
    return AttemptResult(AttemptStatus.FAILED, reason)


async def _close(conn: asyncpg.Connection) -> None:
    async with asyncio.timeout(1.0):
        await conn.close()
