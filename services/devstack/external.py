"""Uses PostgreSQL and NATS servers that exist already, and never stops them."""

from __future__ import annotations

import asyncio

import asyncpg
import nats
import nats.errors
import structlog

from services.devstack.errors import ServerError

OLDEST_POSTGRES = 150_000
CONNECT_SECONDS = 10

log = structlog.get_logger(__name__)


class ExternalServer:
    """A server that is run by other means: `start` checks it, `stop` leaves it running."""

    async def watch(self) -> None:
        """Wait until cancelled."""
        await asyncio.Event().wait()

    async def stop(self) -> None:
        """Do nothing."""


class ExternalPostgres(ExternalServer):
    """A PostgreSQL that exists already."""

    name = "postgres"

    def __init__(self, dsn: str) -> None:
        self.dsn = dsn

    async def start(self) -> None:
        """Check that it can be used. Raises ServerError."""
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
                log.warning("locale_lacks_chinese", remedy="create the database with C.UTF-8")
        finally:
            await conn.close()


class ExternalNats(ExternalServer):
    """A nats-server that exists already."""

    name = "nats"

    def __init__(self, url: str) -> None:
        self.url = url

    async def start(self) -> None:
        """Check that it can be used. Raises ServerError."""
        try:
            client = await nats.connect(
                self.url,
                connect_timeout=CONNECT_SECONDS,
                allow_reconnect=False,
                max_reconnect_attempts=1,
                error_cb=_ignore,
            )
            await client.jetstream().account_info()
            await client.close()
        except (OSError, TimeoutError, nats.errors.Error) as error:
            raise ServerError(
                f"NATS with JetStream cannot be reached ({type(error).__name__}): "
                "check ONEFOLD_NATS_URL"
            ) from error


async def _ignore(_error: Exception) -> None:
    """Ignore an error that the attempt to connect raises as well."""
