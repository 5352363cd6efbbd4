"""Checks that PostgreSQL and NATS servers that exist already can be used."""

from __future__ import annotations

from contextlib import suppress

import asyncpg
import nats.errors
import structlog
from nats.aio.client import Client
from nats.js.errors import NotFoundError

from services.chassis.postgres.roles import ServiceRoles
from services.chassis.runtime.nats_servers import NatsServers
from services.devstack.binaries import PG_OLDEST
from services.devstack.errors import ServerError

CONNECT_SECONDS = 10
_NATS_ERRORS = (OSError, TimeoutError, nats.errors.Error)

log = structlog.get_logger(__name__)


async def check_postgres(dsn: str, service: str | None) -> None:
    """Raise ServerError unless a PostgreSQL can be used.

    `service`: log in as its owner role; None = as the user of the DSN.
    """
    try:
        role = ServiceRoles.from_dsn(dsn, service).owner if service else None
        conn = await asyncpg.connect(dsn, timeout=CONNECT_SECONDS, user=role)
    except asyncpg.InvalidAuthorizationSpecificationError as error:
        raise ServerError(
            "PostgreSQL refuses the roles of the services: create them with `./onefold database"
            " roles`, or set ONEFOLD_POSTGRES_ROLES=single for a quick try"
        ) from error
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
    """Raise ServerError unless ingest can use a nats-server, or a cluster, with JetStream."""
    try:
        servers = NatsServers.parse(url)
    except ValueError as error:
        raise ServerError(f"ONEFOLD_NATS_URL is malformed: {error}") from None
    try:
        client = await _connect(servers)
        try:
            # Its user needs no other right to find out.
            with suppress(NotFoundError):
                await client.jetstream().stream_info("ONEFOLD_IN")
        finally:
            await client.close()
    except _NATS_ERRORS as error:
        raise ServerError(
            f"NATS with JetStream cannot be reached ({type(error).__name__}): "
            "check ONEFOLD_NATS_URL"
        ) from error


async def _connect(servers: NatsServers) -> Client:
    client = Client()
    try:
        await client.connect(
            **servers.as_options(),
            connect_timeout=CONNECT_SECONDS,
            allow_reconnect=False,
            max_reconnect_attempts=1,
            error_cb=_ignore,
            inbox_prefix="_INBOX.ingest",
        )
    except BaseException:
        # A refused client leaves its connection open.
        await client.close()
        raise
    return client


async def _ignore(_error: Exception) -> None:
    """Ignore an error that the attempt to connect raises as well."""
