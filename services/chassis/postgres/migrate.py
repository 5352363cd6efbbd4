"""Applies migrations: numbered, forward only, each once, by one process at a time.

    services/chassis/migrations/*.sql      lasting tables of every service (outbox, keys)
    services/<service>/migrations/*.sql    lasting tables of the service   → schema <service>
    services/chassis/state/*.sql           checkpoint, digest and backfill
    services/<service>/state/*.sql         what can be rebuilt from the log → <service>_g<N>

Files are `NNNN_name.sql`, without schema names: the search path is set to the target (for state:
`<service>_g<N>,<service>`), and `onefold.shards` to the shards of the log. Each file runs in a
transaction of its own. A file that was changed after it was applied is refused.

Lasting tables are migrated for ever. State may also be rebuilt: a change of state that SQL cannot
express is a rebuild and not a migration.
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

from services.chassis.postgres.database import Queries, connect, generation_schema, live_generation
from services.chassis.postgres.generations import drop_generation
from services.chassis.postgres.locks import lock_class
from services.kernel.errors import StoreUnavailable

log = structlog.get_logger(__name__)

Q = Queries.load(__package__, "migrate.sql")

#: The folder of the services.
ROOT = files("services")

_FILE = re.compile(r"(\d{4})_[a-z0-9_]+\.sql")
_SERVICE = re.compile(r"[a-z][a-z0-9_]*")
_CONNECT_RETRY_S = 0.2


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
    dsn: str, service: str, *, shards: int = 0, wait_s: float = 30.0, root: Traversable = ROOT
) -> int:
    """Bring the schemas of a service up to date; return the live generation.

    `shards`: those of the log, for a service that folds it; 0 for one that does not, which has no
    state and generation 0. `wait_s`: seconds to wait for a PostgreSQL that cannot be reached yet.
    `root`: the folder of the services. Several replicas may start at once.
    Raises MigrationRefused, StoreUnavailable.
    """
    if not _SERVICE.fullmatch(service):
        raise ValueError(f"{service!r} is no name of a service")
    conn = await _connect_within(dsn, service, wait_s)
    try:
        # Held by the session and not by a transaction: each file is its own transaction.
        await conn.execute(Q.lock_migrations, lock_class(f"migrate {service}"))
        await _apply(conn, service, service, lasting_migrations(service, root))
        await conn.execute(Q.create_generation_table.format(service=service))
        return await _migrate_state(conn, service, shards, root) if shards else 0
    finally:
        await conn.close()


async def create_generation(
    conn: asyncpg.Connection, service: str, generation: int, shards: int, root: Traversable = ROOT
) -> None:
    """Create the schema of a generation, empty, with checkpoints at the start of the log.

    A schema of that name is dropped first. Raises MigrationRefused.
    """
    schema = generation_schema(service, generation)
    await drop_generation(conn, service, generation)
    migrations = state_migrations(service, root)
    await _apply(conn, schema, f"{schema},{service}", migrations, shards)


def lasting_migrations(service: str, root: Traversable = ROOT) -> list[Migration]:
    """Return the migrations of the schema `<service>`, in order."""
    own = _load(root, service, "migrations")
    return [*_load(ROOT, "chassis", "migrations"), *own]


def state_migrations(service: str, root: Traversable = ROOT) -> list[Migration]:
    """Return the migrations of a generation, in order."""
    return [*_load(ROOT, "chassis", "state"), *_load(root, service, "state")]


async def _migrate_state(
    conn: asyncpg.Connection, service: str, shards: int, root: Traversable
) -> int:
    live = await live_generation(conn, service)
    if live == 0:
        await create_generation(conn, service, 1, shards, root)
        await conn.execute(Q.set_first_generation.format(service=service), shards)
        return 1
    created_with = await conn.fetchval(Q.load_shards.format(service=service))
    if created_with != shards:
        raise MigrationRefused(
            f"{service} folds a log of {created_with} shards; set ONEFOLD_SHARDS to {created_with}"
        )
    schema = generation_schema(service, live)
    await _apply(conn, schema, f"{schema},{service}", state_migrations(service, root), shards)
    return live


async def _apply(
    conn: asyncpg.Connection,
    schema: str,
    search_path: str,
    migrations: list[Migration],
    shards: int = 0,
) -> None:
    await conn.execute(f"CREATE SCHEMA IF NOT EXISTS {schema}")
    await conn.execute(Q.create_migration_table.format(schema=schema))
    rows = await conn.fetch(Q.load_applied.format(schema=schema))
    applied = {(row["origin"], row["number"]): row["checksum"] for row in rows}
    _check(schema, applied, migrations)
    for migration in migrations:
        if (migration.origin, migration.number) in applied:
            continue
        async with conn.transaction():
            await conn.execute(Q.set_search_path, search_path)
            await conn.execute(Q.set_shards, str(shards))
            await conn.execute(migration.sql)
            await conn.execute(
                Q.save_applied.format(schema=schema),
                migration.origin,
                migration.number,
                migration.name,
                migration.checksum,
            )
        log.info("migration_applied", schema=schema, origin=migration.origin, name=migration.name)


def _check(
    schema: str, applied: dict[tuple[str, int], str], migrations: Iterable[Migration]
) -> None:
    present = {(m.origin, m.number): m for m in migrations}
    for key, checksum in applied.items():
        if key not in present:
            raise MigrationRefused(
                f"{schema} has the migration {key[0]}/{key[1]:04}, which this version does not"
                " have: a newer version migrated it"
            )
        if present[key].checksum != checksum:
            raise MigrationRefused(
                f"{key[0]}/{present[key].name} was changed after it was applied to {schema};"
                " restore it and write a new migration"
            )


def _load(root: Traversable, origin: str, folder: str) -> list[Migration]:
    directory = root.joinpath(origin, folder)
    listed = directory.iterdir() if directory.is_dir() else ()
    migrations = [_read(origin, file) for file in listed if file.name.endswith(".sql")]
    by_number = sorted(migrations, key=lambda m: m.number)
    if len({m.number for m in by_number}) != len(by_number):
        raise MigrationRefused(f"{origin}/{folder} has two files of one number")
    return by_number


def _read(origin: str, file: Traversable) -> Migration:
    match = _FILE.fullmatch(file.name)
    if match is None:
        raise MigrationRefused(f"{origin}: {file.name} is not named like 0001_what_it_does.sql")
    return Migration(origin, int(match[1]), file.name, file.read_text("utf-8"))


async def _connect_within(dsn: str, service: str, wait_s: float) -> asyncpg.Connection:
    loop = asyncio.get_running_loop()
    deadline = loop.time() + wait_s
    while True:
        try:
            return await connect(dsn, schema=service)
        except StoreUnavailable:
            if loop.time() > deadline:
                raise
            log.info("postgres_awaited", service=service)
            await asyncio.sleep(_CONNECT_RETRY_S)
