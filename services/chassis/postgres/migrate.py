"""Migrations: numbered, forward only, each applied once, in one order, by one process at a time.

    services/chassis/migrations/*.sql      lasting things of every service (outbox, keys)
    services/<service>/migrations/*.sql    lasting things of the service   → schema <service>
    services/chassis/state/*.sql           position and digest
    services/<service>/state/*.sql         what can be rebuilt from the log → <service>_g<N>

Files are `NNNN_name.sql`, without schema names: the search path is set to the target (for state:
`<service>_g<N>, <service>`). Each file runs in a transaction of its own. A file that was applied
and then changed is refused.

What is lasting is migrated for ever; what is state may also be built anew: a state migration that
cannot be told in SQL is a rebuild, not a migration.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import blake2b
from importlib.resources import files
from importlib.resources.abc import Traversable

import asyncpg
import structlog

from services.chassis.postgres.database import (
    connect,
    generation_schema,
    live_generation,
    lock_class,
)
from services.chassis.projection.checkpoint import create_checkpoints
from services.kernel.errors import StoreUnavailable

#: The folder of the services.
ROOT = files("services")

log = structlog.get_logger(__name__)

_FILE = re.compile(r"(\d{4})_[a-z0-9_]+\.sql")
_SERVICE = re.compile(r"[a-z][a-z0-9_]*")
_PAUSE = 0.2

_APPLIED = """
CREATE TABLE IF NOT EXISTS {schema}.migration (
    origin text NOT NULL,
    number int NOT NULL,
    name text NOT NULL,
    checksum text NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (origin, number)
)
"""
_GENERATION = """
CREATE TABLE IF NOT EXISTS {service}.generation (
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    live int NOT NULL
);
INSERT INTO {service}.generation (live) VALUES (0) ON CONFLICT DO NOTHING
"""


class MigrationRefused(Exception):
    """An applied migration was changed or is missing, a file is misnamed, or shards do not fit."""


@dataclass(frozen=True, slots=True)
class Migration:
    """One numbered file."""

    #: `chassis`, or the service.
    origin: str
    number: int
    name: str
    sql: str

    @property
    def checksum(self) -> str:
        """32 hexadecimal digits that change with the text."""
        return blake2b(self.sql.encode(), digest_size=16).hexdigest()


async def migrate(
    dsn: str, service: str, *, shards: int = 0, wait: float = 30.0, root: Traversable = ROOT
) -> int:
    """Brings the schemas of a service up to date; answers the live generation.

    `shards`: of the log, for a service that folds it; 0 for one that does not: it has no state, and
    its generation is 0. `wait`: seconds to wait for a PostgreSQL that is not there yet. `root`: the
    folder of the services. Safe where several replicas start at once.
    Raises MigrationRefused, StoreUnavailable.
    """
    if not _SERVICE.fullmatch(service):
        raise ValueError(f"{service!r} is no name of a service")
    conn = await _connect_within(dsn, service, wait)
    try:
        # Held by the session and not by a transaction: each file commits for itself.
        await conn.execute("SELECT pg_advisory_lock($1, 0)", lock_class(f"migrate {service}"))
        await _apply(conn, service, service, lasting_migrations(service, root))
        await conn.execute(_GENERATION.format(service=service))
        return await _migrate_state(conn, service, shards, root) if shards else 0
    finally:
        await conn.close()


async def create_generation(
    conn: asyncpg.Connection,
    service: str,
    generation: int,
    shards: int,
    root: Traversable = ROOT,
) -> None:
    """Makes the schema of a generation, empty, with positions at the start of the log.

    One of that name is dropped first. Raises MigrationRefused.
    """
    schema = generation_schema(service, generation)
    await conn.execute(f"DROP SCHEMA IF EXISTS {schema} CASCADE")
    await _apply(conn, schema, f"{schema},{service}", state_migrations(service, root))
    async with conn.transaction():
        await conn.execute(f"SET LOCAL search_path TO {schema}")
        await create_checkpoints(conn, shards)


def lasting_migrations(service: str, root: Traversable = ROOT) -> list[Migration]:
    """The migrations of the schema `<service>`, in order."""
    own = _load(root, service, "migrations")
    return [*_load(ROOT, "chassis", "migrations"), *own]


def state_migrations(service: str, root: Traversable = ROOT) -> list[Migration]:
    """The migrations of a generation, in order."""
    return [*_load(ROOT, "chassis", "state"), *_load(root, service, "state")]


async def _migrate_state(
    conn: asyncpg.Connection, service: str, shards: int, root: Traversable
) -> int:
    live = await live_generation(conn, service)
    if live == 0:
        await create_generation(conn, service, 1, shards, root)
        await conn.execute(f"UPDATE {service}.generation SET live = 1")
        return 1
    schema = generation_schema(service, live)
    await _apply(conn, schema, f"{schema},{service}", state_migrations(service, root))
    known = await conn.fetchval(f"SELECT count(*) FROM {schema}.position")
    if known != shards:
        raise MigrationRefused(
            f"{service} folds a log of {known} shards; set ONEFOLD_SHARDS to {known}"
        )
    return live


async def _apply(
    conn: asyncpg.Connection, schema: str, search_path: str, migrations: list[Migration]
) -> None:
    await conn.execute(f"CREATE SCHEMA IF NOT EXISTS {schema}")
    await conn.execute(_APPLIED.format(schema=schema))
    rows = await conn.fetch(f"SELECT origin, number, checksum FROM {schema}.migration")
    applied = {(row["origin"], row["number"]): row["checksum"] for row in rows}
    _check(schema, applied, migrations)
    for migration in migrations:
        if (migration.origin, migration.number) not in applied:
            await _apply_one(conn, schema, search_path, migration)


def _check(
    schema: str, applied: dict[tuple[str, int], str], migrations: Iterable[Migration]
) -> None:
    wanted = {(m.origin, m.number): m for m in migrations}
    for key, checksum in applied.items():
        if key not in wanted:
            raise MigrationRefused(
                f"{schema} has the migration {key[0]}/{key[1]:04}, which is not known here:"
                " a newer version migrated it"
            )
        if wanted[key].checksum != checksum:
            raise MigrationRefused(
                f"{key[0]}/{wanted[key].name} was changed after it was applied to {schema};"
                " put it back and write a new migration"
            )


async def _apply_one(
    conn: asyncpg.Connection, schema: str, search_path: str, migration: Migration
) -> None:
    async with conn.transaction():
        await conn.execute(f"SET LOCAL search_path TO {search_path}")
        await conn.execute(migration.sql)
        await conn.execute(
            f"INSERT INTO {schema}.migration (origin, number, name, checksum)"
            " VALUES ($1, $2, $3, $4)",
            *(migration.origin, migration.number, migration.name, migration.checksum),
        )
    log.info("migration_applied", schema=schema, origin=migration.origin, name=migration.name)


def _load(root: Traversable, origin: str, folder: str) -> list[Migration]:
    place = root.joinpath(origin, folder)
    listed = place.iterdir() if place.is_dir() else ()
    found = [_read(origin, file) for file in listed if file.name.endswith(".sql")]
    by_number = sorted(found, key=lambda m: m.number)
    if len({m.number for m in by_number}) != len(by_number):
        raise MigrationRefused(f"{origin}/{folder} has a number twice")
    return by_number


def _read(origin: str, file: Traversable) -> Migration:
    shaped = _FILE.fullmatch(file.name)
    if shaped is None:
        raise MigrationRefused(f"{origin}: {file.name} is not named like 0001_what_it_does.sql")
    return Migration(origin, int(shaped[1]), file.name, file.read_text("utf-8"))


async def _connect_within(dsn: str, service: str, wait: float) -> asyncpg.Connection:
    loop = asyncio.get_running_loop()
    deadline = loop.time() + wait
    while True:
        try:
            return await connect(dsn, schema=service)
        except StoreUnavailable:
            if loop.time() > deadline:
                raise
            log.info("postgres_awaited", service=service)
            await asyncio.sleep(_PAUSE)
