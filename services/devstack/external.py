"""Servers of the user's own, in the place of engines of ours: used as they are, never stopped."""

from __future__ import annotations

import asyncio

import asyncpg
import nats
import nats.errors
import structlog

from services.devstack.managed_server import ServerError

OLDEST_POSTGRES = 150_000
CONNECT_SECONDS = 10

log = structlog.get_logger(__name__)


class ExternalPostgres:
    """A PostgreSQL that is there already."""

    name = "postgres"

    def __init__(self, dsn: str) -> None:
        self.dsn = dsn

    async def start(self) -> None:
        """See that it can be used. Raises EngineError."""
        try:
            conn = await asyncpg.connect(self.dsn, timeout=CONNECT_SECONDS)
        except (OSError, ValueError, TimeoutError, asyncpg.PostgresError) as error:
            raise ServerError(
                f"PostgreSQL cannot be reached ({type(error).__name__}): check ONEFOLD_POSTGRES_DSN"
            ) from error
        try:
            version = int(await conn.fetchval("SHOW server_version_num"))
            if version < OLDEST_POSTGRES:
                raise ServerError("PostgreSQL is older than 15: use a newer server")
            # Under a locale of bytes a Chinese character is no letter, and has no trigrams.
            if not await conn.fetchval("SELECT '上' ~ '^[[:alpha:]]$'"):
                log.warning("locale_knows_no_chinese", remedy="create the database with C.UTF-8")
        finally:
            await conn.close()

    async def watch(self) -> None:
        """Somebody else does; returns when cancelled."""
        await asyncio.Event().wait()

    async def stop(self) -> None:
        """It was there before, and stays."""


async def _pass_over(_error: Exception) -> None:
    """The connection attempt raises what is wrong; it need not be told twice."""


class ExternalNats:
    """A nats-server that is there already."""

    name = "nats"

    def __init__(self, url: str) -> None:
        self.url = url

    async def start(self) -> None:
        """See that it can be used. Raises EngineError."""
        try:
            client = await nats.connect(
                self.url,
                connect_timeout=CONNECT_SECONDS,
                allow_reconnect=False,
                max_reconnect_attempts=1,
                error_cb=_pass_over,
            )
            await client.jetstream().account_info()
            await client.close()
        except (OSError, TimeoutError, nats.errors.Error) as error:
            raise ServerError(
                f"NATS with JetStream cannot be reached ({type(error).__name__}): "
                "check ONEFOLD_NATS_URL"
            ) from error

    async def watch(self) -> None:
        """Somebody else does; returns when cancelled."""
        await asyncio.Event().wait()

    async def stop(self) -> None:
        """It was there before, and stays."""
