"""Applies migrations, numbered and forward only, and creates the generations of state.

    services/chassis/store/migrations/*.sql      lasting tables of every service (outbox, keys)
    services/<service>/store/migrations/*.sql    lasting tables of the service   → schema <service>
    services/chassis/store/state/*.sql           checkpoint, digest and backfill
    services/<service>/store/state/*.sql         rebuilt from the log → <service>_g<N>

Files are `NNNN_name.sql`, without schema names: the search path is set to the target (for state:
`<service>_g<N>,<service>`), and `onefold.shards` to the shards of the log. Each file runs in
its own transaction. A file that was changed after it was applied is refused.

Lasting tables are migrated for ever. A change of state that SQL cannot express is a rebuild, which
creates another generation (see `RebuildRunner`).
"""

from __future__ import annotations

import asyncio
import re
from hashlib import blake2b
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import NamedTuple

import asyncpg
import structlog

from services.chassis.postgres.database import Queries, connect, generation_schema, lock_class
from services.chassis.postgres.isolation import isolate, load_grants
from services.chassis.postgres.roles import ServiceRoles
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


class _Migration(NamedTuple):
    """One numbered file."""

    #: `chassis`, or the service.
    origin: str
    number: int
    name: str
    sql: str

    @property
    def key(self) -> tuple[str, int]:
        return self.origin, self.number

    @property
    def checksum(self) -> str:
        """Return 32 hexadecimal digits that change with the text."""
        return blake2b(self.sql.encode(), digest_size=16).hexdigest()


async def migrate(
    dsn: str,
    service: str,
    *,
    shards: int = 0,
    wait_s: float = 30.0,
    root: Traversable = ROOT,
    roles: ServiceRoles | None = None,
) -> int:
    """Bring the schemas of a service up to date; return the live generation.

    `shards`: those of the log, for a service that folds it; 0 for one that does not, which has no
    state and generation 0. `wait_s`: seconds to wait for a PostgreSQL that cannot be reached yet.
    `root`: the folder of the services. `roles`: those that use the schemas, which get their rights
    here; None = the user of the DSN owns and uses them. Several replicas may start at once.
    Raises MigrationRefused, RoleRefused, StoreUnavailable.
    """
    if not _SERVICE.fullmatch(service):
        raise ValueError(f"{service!r} is no name of a service")
    conn = await _connect_within(dsn, service, wait_s, roles.owner if roles else None)
    target = _Target(service, shards, root, roles)
    try:
        # Held by the session and not by a transaction: each file is its own transaction.
        await conn.execute(Q.lock_migrations, lock_class(f"migrate {service}"))
        await _apply(conn, target, service, "migrations")
        await conn.execute(Q.create_generation_table.format(service=service))
        await _isolate(conn, target, service, "migrations")
        return await _migrate_state(conn, target) if shards else 0
    finally:
        await conn.close()


async def create_generation(
    conn: asyncpg.Connection,
    service: str,
    generation: int,
    shards: int,
    root: Traversable = ROOT,
    *,
    roles: ServiceRoles | None = None,
) -> None:
    """Create the schema of a generation, empty, with checkpoints at the start of the log.

    `conn` is the owner's. A schema of that name is dropped first. Raises MigrationRefused.
    """
    await drop_generation(conn, service, generation)
    await _migrate_generation(conn, _Target(service, shards, root, roles), generation)


async def set_live_generation(conn: asyncpg.Connection, service: str, generation: int) -> None:
    """Make a generation live: connections opened from now on see it."""
    await conn.execute(Q.set_live_generation.format(service=service), generation)


async def list_generations(conn: asyncpg.Connection, service: str) -> list[int]:
    """Return the numbers of the generations that have a schema, in order."""
    rows = await conn.fetch(Q.list_generations, f"^{service}_g[0-9]+$")
    return sorted(int(row["name"].rpartition("_g")[2]) for row in rows)


async def drop_generation(conn: asyncpg.Connection, service: str, generation: int) -> None:
    """Drop the schema of a generation, if there is one."""
    await conn.execute(f"DROP SCHEMA IF EXISTS {generation_schema(service, generation)} CASCADE")


class _Target(NamedTuple):
    """Whose schemas are migrated; see `migrate`."""

    service: str
    shards: int
    root: Traversable
    roles: ServiceRoles | None


async def _migrate_state(conn: asyncpg.Connection, target: _Target) -> int:
    service, shards = target.service, target.shards
    [(live, created_with)] = await conn.fetch(Q.load_generation.format(service=service))
    if live == 0:
        await drop_generation(conn, service, 1)
        await _migrate_generation(conn, target, 1)
        await conn.execute(Q.set_first_generation.format(service=service), shards)
        return 1
    if created_with != shards:
        raise MigrationRefused(
            f"{service} folds a log of {created_with} shards; set ONEFOLD_SHARDS to {created_with}"
        )
    live = await _drop_unfinished(conn, service) or live
    await _migrate_generation(conn, target, live)
    return live


async def _drop_unfinished(conn: asyncpg.Connection, service: str) -> int:
    """Drop what a rebuild that died has left behind; return the live generation.

    0 where a rebuild is in progress: then nothing is dropped.
    """
    lock = lock_class(f"rebuild {service}")
    if not await conn.fetchval(Q.lock_rebuild, lock):
        return 0
    try:
        # Under the lock: until then a rebuild may have made another one live.
        [(live, _)] = await conn.fetch(Q.load_generation.format(service=service))
        for generation in await list_generations(conn, service):
            if generation > live:
                await drop_generation(conn, service, generation)
                log.info("unfinished_generation_dropped", service=service, generation=generation)
        return int(live)
    finally:
        await conn.execute(Q.unlock_rebuild, lock)


async def _migrate_generation(conn: asyncpg.Connection, target: _Target, generation: int) -> None:
    schema = generation_schema(target.service, generation)
    await _apply(conn, target, schema, "state")
    await _isolate(conn, target, schema, "state")


async def _isolate(conn: asyncpg.Connection, target: _Target, schema: str, folder: str) -> None:
    if target.roles is not None:
        grants = load_grants([(ROOT, "chassis"), (target.root, target.service)], folder)
        await isolate(conn, schema, target.roles, grants)


async def _apply(conn: asyncpg.Connection, target: _Target, schema: str, folder: str) -> None:
    """Apply the missing migrations of a folder to a schema, those of the chassis first."""
    service = target.service
    migrations = [*_load(ROOT, "chassis", folder), *_load(target.root, service, folder)]
    await conn.execute(f"CREATE SCHEMA IF NOT EXISTS {schema}")
    await conn.execute(Q.create_migration_table.format(schema=schema))
    rows = await conn.fetch(Q.load_applied.format(schema=schema))
    applied = {(row["origin"], row["number"]): row["checksum"] for row in rows}
    _check(schema, applied, migrations)
    save = Q.save_applied.format(schema=schema)
    for migration in migrations:
        if migration.key in applied:
            continue
        async with conn.transaction():
            await conn.execute(Q.set_search_path, f"{schema},{service}")
            await conn.execute(Q.set_shards, str(target.shards))
            # The policies of a table have no row for its owner: a migration that changes rows
            # would change none, and say nothing. So it fails, unless it lifts them first.
            await conn.execute(Q.refuse_policies)
            await conn.execute(migration.sql)
            await conn.execute(save, *migration.key, migration.name, migration.checksum)
        log.info("migration_applied", schema=schema, origin=migration.origin, name=migration.name)


def _check(schema: str, applied: dict[tuple[str, int], str], migrations: list[_Migration]) -> None:
    present = {migration.key: migration for migration in migrations}
    for (origin, number), checksum in applied.items():
        migration = present.get((origin, number))
        if migration is None:
            raise MigrationRefused(
                f"{schema} has the migration {origin}/{number:04}, which this version does not"
                " have: a newer version migrated it"
            )
        if migration.checksum != checksum:
            raise MigrationRefused(
                f"{origin}/{migration.name} was changed after it was applied to {schema};"
                " restore it and write a new migration"
            )


def _load(root: Traversable, origin: str, folder: str) -> list[_Migration]:
    directory = root.joinpath(origin, "store", folder)
    by_number: dict[int, _Migration] = {}
    for file in directory.iterdir() if directory.is_dir() else ():
        if not file.name.endswith(".sql"):
            continue
        match = _FILE.fullmatch(file.name)
        if match is None:
            raise MigrationRefused(f"{origin}: {file.name} is not named like 0001_what_it_does.sql")
        number = int(match[1])
        if number in by_number:
            raise MigrationRefused(f"{origin}/{folder} has two files of one number")
        by_number[number] = _Migration(origin, number, file.name, file.read_text("utf-8"))
    return [migration for _, migration in sorted(by_number.items())]


async def _connect_within(
    dsn: str, service: str, wait_s: float, role: str | None
) -> asyncpg.Connection:
    loop = asyncio.get_running_loop()
    deadline = loop.time() + wait_s
    while True:
        try:
            return await connect(dsn, schema=service, role=role)
        except StoreUnavailable:
            if loop.time() > deadline:
                raise
            log.info("postgres_awaited", service=service)
            await asyncio.sleep(_CONNECT_RETRY_S)
