"""Connects services to PostgreSQL: pools with a search path, named statements, lock keys, errors.

A service owns the schema `<service>` for lasting data (outbox, history, ledgers, keys) and one
schema `<service>_g<N>` per generation for state that can be rebuilt from the log. The search path
of its connections is `<service>_g<live>,<service>`, so statements name tables without a schema.

What acts for a caller uses the pool of the api role, in which a connection sees the rows of the
caller's workspace alone; everything else uses the pool of the fold role. See `roles`, `isolation`.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager, nullcontext
from functools import lru_cache
from hashlib import blake2b
from importlib.resources import files
from inspect import signature
from typing import Any, Self, cast

import asyncpg
import structlog

from services.chassis.postgres.arrays import use_plain_array_types
from services.chassis.postgres.errors import translate_store_errors
from services.chassis.postgres.roles import ServiceRoles
from services.chassis.postgres.shares import WorkspaceShares
from services.chassis.postgres.workspace import (
    WorkspaceConnection,
    current_workspace,
    keep_session,
    use_current_workspace,
    workspace_scope,
)
from services.chassis.runtime.tasks import clip_to_deadline
from services.kernel.errors import StoreUnavailable

log = structlog.get_logger(__name__)

use_plain_array_types()

#: Both ends notice within half a minute that the host of the other one is gone.
_KEEPALIVES = {
    "tcp_keepalives_idle": "10",
    "tcp_keepalives_interval": "5",
    "tcp_keepalives_count": "3",
    "tcp_user_timeout": "30s",
}
#: Seconds.
CONNECT_TIMEOUT = 10.0
ACQUIRE_TIMEOUT = 20.0
CLOSE_TIMEOUT = 5.0
#: After this a statement of a pool is given up: where the host of PostgreSQL is gone, no answer
#: comes, and no error for a quarter of an hour.
COMMAND_TIMEOUT = 120.0


class CallPool(asyncpg.Pool):
    """A pool for calls, of which one workspace holds at most half at once."""

    __slots__ = ("shares",)

    def __init__(self, dsn: str, *, max_size: int, **kwargs: Any) -> None:
        defaults = {
            name: parameter.default
            for name, parameter in signature(asyncpg.create_pool).parameters.items()
            if parameter.kind is parameter.KEYWORD_ONLY
        }
        super().__init__(dsn, **{**defaults, "min_size": 1, "max_size": max_size, **kwargs})
        self.shares = WorkspaceShares(max_size)


class RoleRefused(Exception):
    """PostgreSQL knows no such role, or another password of it."""


@asynccontextmanager
async def acquire(
    pool: asyncpg.Pool, workspace_id: str | None = None
) -> AsyncIterator[asyncpg.Connection]:
    """Acquire a connection of the pool.

    One of the api role sees the rows of `workspace_id`; None = of the current call's workspace. One
    workspace holds at most half of a pool for calls, so never acquire a second connection inside.
    Raises StoreUnavailable where PostgreSQL is or goes away, no connection is free in time, or a
    query exceeds the time limit of its role; RateLimited where the workspace has too many calls.
    """
    named = current_workspace() if workspace_id is None else workspace_id
    async with pool.shares.hold(named) if isinstance(pool, CallPool) else nullcontext():
        with translate_store_errors():
            with nullcontext() if workspace_id is None else workspace_scope(workspace_id):
                async with asyncio.timeout(clip_to_deadline(ACQUIRE_TIMEOUT)):
                    proxy = await pool.acquire()  # its own timeout would cost a task
            try:
                # The proxy has all of Connection's methods; the stubs have them as two types.
                conn = cast(asyncpg.Connection, proxy)
                with translate_store_errors(conn):
                    yield conn
            finally:
                await pool.release(proxy, timeout=ACQUIRE_TIMEOUT)


@asynccontextmanager
async def transaction(
    pool: asyncpg.Pool, workspace_id: str | None = None
) -> AsyncIterator[asyncpg.Connection]:
    """Acquire a connection inside a transaction, as `acquire` does."""
    async with acquire(pool, workspace_id) as conn, conn.transaction():
        yield conn


async def connect_pool(
    dsn: str,
    *,
    schema: str,
    max_size: int = 8,
    role: str | None = None,
    command_timeout: float | None = None,
) -> asyncpg.Pool:
    """Open a pool whose search path is `schema` (one schema, or several separated by commas).

    `role`: log in as this one, with the password of the DSN; None = as the user of the DSN.
    `command_timeout`: of each statement, seconds. Raises StoreUnavailable where PostgreSQL is away,
    RoleRefused.
    """
    args = _connect_args(schema, _POOL, role=role, command_timeout=command_timeout)
    with translate_store_errors(), _explain_refusal(role):
        return await asyncpg.create_pool(
            dsn, min_size=1, max_size=max_size, reset=keep_session, **args
        )


async def connect_api_pool(
    dsn: str,
    *,
    schema: str,
    max_size: int,
    role: str | None = None,
    settings: Mapping[str, str] = {},
) -> CallPool:
    """Open a pool for calls, as `connect_pool` does. With `role`, the api role, its connections see
    the rows of the current call's workspace alone."""
    args = _connect_args(schema, {**_POOL, **settings}, role=role, command_timeout=COMMAND_TIMEOUT)
    bound = {"setup": use_current_workspace, "connection_class": WorkspaceConnection}
    with translate_store_errors(), _explain_refusal(role):
        return await CallPool(
            dsn, max_size=max_size, reset=keep_session, **(bound if role else {}), **args
        )


async def connect(
    dsn: str,
    *,
    schema: str,
    point_lookups: bool = False,
    role: str | None = None,
    settings: Mapping[str, str] = {},
) -> asyncpg.Connection:
    """Open a single connection, as `connect_pool` does a pool.

    `point_lookups`: all its statements look rows up by their keys. `settings` of the session."""
    lookups = _POINT_LOOKUPS if point_lookups else {}
    args = _connect_args(schema, {**lookups, **settings}, role=role)
    with translate_store_errors(), _explain_refusal(role):
        return await asyncpg.connect(dsn, **args)


@contextmanager
def _explain_refusal(role: str | None) -> Iterator[None]:
    """Raise RoleRefused in place of an error that says that the role cannot log in."""
    try:
        yield
    except asyncpg.InvalidAuthorizationSpecificationError as error:
        if role is None:
            raise
        raise RoleRefused(
            f"PostgreSQL refuses the role {role}: create the roles of the services with `onefold"
            " database roles`, and check the password in the DSN; or set"
            " ONEFOLD_POSTGRES_ROLES=single to try Onefold as the user of the DSN, without the"
            " isolation of workspaces by the database"
        ) from error


#: A connection keeps the plan that it made when a table was small, until the statistics are new: a
#: plan that reads all of a table that grows fast would cost seconds meanwhile.
_POOL = {"enable_seqscan": "off"}
#: A lookup by key has one good plan, whatever the statistics.
_POINT_LOOKUPS = {
    **_POOL,
    "plan_cache_mode": "force_generic_plan",
    "enable_hashjoin": "off",
    "enable_mergejoin": "off",
}


def _connect_args(
    schema: str,
    more: Mapping[str, str] = {},
    *,
    role: str | None = None,
    command_timeout: float | None = None,
) -> dict[str, Any]:
    return {
        **({"user": role} if role else {}),
        "server_settings": {
            "search_path": schema,
            "application_name": f"onefold:{schema.split(',')[0]}",
            "jit": "off",
            # The server ends the session of a client that vanished during a statement.
            "client_connection_check_interval": "2s",
            **_KEEPALIVES,
            **more,
        },
        # Never a standby: what it shows may be older than what this process has read before.
        "target_session_attrs": "primary",
        "command_timeout": command_timeout,
        "timeout": CONNECT_TIMEOUT,
        "statement_cache_size": 1000,
        "max_cached_statement_lifetime": 0,
    }


def lock_class(name: str) -> int:
    """Return the first key of the two-key advisory locks with this name (32 bits, signed).

    The second key is a number, such as a shard.
    """
    return _hash(name, 4)


def lock_keys(space: str, ids: Iterable[bytes]) -> list[int]:
    """Return the one-key advisory locks (64 bits, signed) of items, in the order to take them in.

    `ids` have 8 bytes or more, of which the first 8 count. Two items may share a key.
    """
    salt = _hash(space, 8)
    return sorted({int.from_bytes(id_[:8], "big", signed=True) ^ salt for id_ in ids})


@lru_cache
def _hash(name: str, size: int) -> int:
    return int.from_bytes(blake2b(name.encode(), digest_size=size).digest(), "big", signed=True)


class Queries:
    """Named SQL statements as attributes: `Q.load_leaves` is the text below `-- name: load_leaves`.

    The line after the name is a comment with the purpose of the statement.
    """

    def __init__(self, statements: dict[str, str], origin: str) -> None:
        self._statements = statements
        self._origin = origin

    @classmethod
    def load(cls, package: str | None, file: str = "queries.sql") -> Self:
        """Load the statements of a file of a package: `Queries.load(__package__, "leaves.sql")`.

        Raises ValueError where a name occurs twice or a statement is empty.
        """
        name = package or "services"
        return cls.parse(files(name).joinpath(file).read_text("utf-8"), f"{name}:{file}")

    @classmethod
    def parse(cls, text: str, origin: str) -> Self:
        """Return the statements of a text. Raises ValueError as `load` does."""
        statements: dict[str, str] = {}
        for part in ("\n" + text).split("\n-- name:")[1:]:
            name, _, body = part.partition("\n")
            name = name.strip()
            is_empty = all(line.strip()[:2] in ("", "--") for line in body.splitlines())
            if is_empty or name in statements or hasattr(cls, name):
                raise ValueError(f"{origin}: the statement {name} is empty, or its name is taken")
            statements[name] = body.strip()
        return cls(statements, origin)

    def __getattr__(self, name: str) -> str:
        try:
            return self._statements[name]
        except KeyError:
            raise AttributeError(f"{self._origin} has no statement {name}") from None

    def __dir__(self) -> list[str]:
        return sorted(self._statements)


class Database:
    """The connections of one service: two pools, and single connections, to its live generation.

    Use: `async with Database(dsn, "profile", roles=roles) as database:`, after `migrate`. When a
    rebuild makes another generation live, the pools point there. `roles` None: everything is done
    as the user of the DSN, through one pool. `max_size`: of both pools. `point_lookups`: calls look
    rows up by their keys alone, so plans are kept.
    """

    def __init__(
        self,
        dsn: str,
        service: str,
        *,
        max_size: int = 8,
        roles: ServiceRoles | None = None,
        point_lookups: bool = False,
    ) -> None:
        self.dsn = dsn
        self.service = service
        self.roles = roles
        #: The live generation, as last read.
        self.generation = 0
        self._api_settings = _POINT_LOOKUPS if point_lookups else _POOL
        self._api_size = max_size // 2 if roles else 0
        self._fold_size = max_size - self._api_size
        self._pool: asyncpg.Pool | None = None
        self._api_pool: asyncpg.Pool | None = None
        self._refreshing = asyncio.Lock()

    @property
    def pool(self) -> asyncpg.Pool:
        """The pool of the fold role, for what concerns all workspaces."""
        if self._pool is None:
            raise RuntimeError("the database is not open")
        return self._pool

    @property
    def api_pool(self) -> asyncpg.Pool:
        """The pool for what is done for a caller; see `acquire`."""
        return self._api_pool or self.pool

    @property
    def schema(self) -> str:
        """The search path of the live generation."""
        if self.generation == 0:
            return self.service
        return f"{generation_schema(self.service, self.generation)},{self.service}"

    @property
    def fold_role(self) -> str | None:
        return self.roles.fold if self.roles else None

    async def connect(
        self, *, point_lookups: bool = False, settings: Mapping[str, str] = {}
    ) -> asyncpg.Connection:
        """Open a single connection of the fold role to the live generation; the caller closes it.

        Raises StoreUnavailable, RoleRefused.
        """
        return await connect(
            self.dsn,
            schema=self.schema,
            point_lookups=point_lookups,
            role=self.fold_role,
            settings=settings,
        )

    @asynccontextmanager
    async def owning(self) -> AsyncIterator[asyncpg.Connection]:
        """Open a connection of the owner, for changes of the schemas. Raises StoreUnavailable."""
        role = self.roles.owner if self.roles else None
        conn = await connect(self.dsn, schema=self.service, role=role)
        try:
            with translate_store_errors(conn):
                yield conn
        finally:
            await conn.close()

    async def refresh(self) -> bool:
        """Read which generation is live, and point the pools there.

        Return whether it is another one than before. Raises StoreUnavailable.
        """
        async with self._refreshing:
            async with acquire(self.pool) as conn:
                live = await live_generation(conn, self.service)
            if live == self.generation:
                return False
            self.generation = live
            for pool, role in self._pools():
                more = self._api_settings if pool is self._api_pool else _POOL
                args = _connect_args(self.schema, more, role=role, command_timeout=COMMAND_TIMEOUT)
                pool.set_connect_args(self.dsn, **args)
                await pool.expire_connections()
            return True

    def _pools(self) -> list[tuple[asyncpg.Pool, str | None]]:
        """Return the open pools, each with its role."""
        pools = [(self._pool, self.fold_role)]
        pools += [(self._api_pool, self.roles.api if self.roles else None)]
        return [(pool, role) for pool, role in pools if pool is not None]

    async def __aenter__(self) -> Self:
        with translate_store_errors():
            conn = await connect(self.dsn, schema=self.service, role=self.fold_role)
            try:
                self.generation = await live_generation(conn, self.service)
            finally:
                await conn.close()
        if self.roles is None:
            self._pool = await connect_api_pool(
                self.dsn, schema=self.schema, max_size=self._fold_size
            )
            return self
        self._pool = await connect_pool(
            self.dsn,
            schema=self.schema,
            max_size=self._fold_size,
            role=self.fold_role,
            command_timeout=COMMAND_TIMEOUT,
        )
        try:
            self._api_pool = await connect_api_pool(
                self.dsn,
                schema=self.schema,
                max_size=self._api_size,
                role=self.roles.api,
                settings=self._api_settings,
            )
        except BaseException:
            await self._close()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._close()

    async def _close(self) -> None:
        pools = self._pools()
        self._pool = self._api_pool = None
        await asyncio.gather(*(_close_pool(pool) for pool, _ in pools))


async def _close_pool(pool: asyncpg.Pool) -> None:
    try:
        with translate_store_errors():
            async with asyncio.timeout(CLOSE_TIMEOUT):
                await pool.close()
    except StoreUnavailable as error:
        log.info("pool_terminated", reason=repr(error.__cause__))
        pool.terminate()


def generation_schema(service: str, generation: int) -> str:
    """Return the schema of a generation, such as `profile_g1`."""
    return f"{service}_g{generation}"


async def live_generation(conn: asyncpg.Connection, service: str) -> int:
    """Load the number of the live generation; 0 for a service without state."""
    live: int = await conn.fetchval(f"SELECT live FROM {service}.generation")
    return live
