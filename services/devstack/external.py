"""Checks that PostgreSQL and NATS servers that exist already can be used."""

from __future__ import annotations

import asyncpg
import nats
import nats.errors
import structlog

from services.devstack.binaries import PG_OLDEST
from services.devstack.errors import ServerError

CONNECT_SECONDS = 10

log = structlog.get_logger(__name__)


async def check_postgres(dsn: str) -> None:
    """Raise ServerError unless a PostgreSQL can be used."""
    try:
        conn = await asyncpg.connect(dsn, timeout=CONNECT_SECONDS)
    except (OSError, ValueError, TimeoutError, asyncpg.PostgresError) as error:
        raise ServerError(
            f"PostgreSQL cannot be reached ({type(error).__name__}): check ONEFOLD_POSTGRES_DSN"
        ) from error
    try:
        if int(await conn.fetchval("SHOW server_version_num")) < PG_OLDEST * 10_000:
            raise ServerError(f"PostgreSQL is older than {PG_OLDEST}: use a newer server")
        # Under a locale of bytes a Chinese character is no letter, and has no trigrams.
        if not await conn.fetchval("SELECT '上' ~ '^[[:alpha:]]$'"):
            log.warning("locale_lacks_chinese", remedy="create the database with C.UTF-8")
    finally:
        await conn.close()


async def check_nats(url: str) -> None:
    """Raise ServerError unless a nats-server with JetStream can be used."""
    try:
        client = await nats.connect(
            url,
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
