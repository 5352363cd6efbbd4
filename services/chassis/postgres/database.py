"""PostgreSQL as the services see it: pools with a search path, named statements, one kind of error.

A service owns the schema `<service>` for what lasts (outbox, history, ledgers, keys) and one
schema `<service>_g<N>` a generation for what can be rebuilt from the log. The search path of its
connections is `<service>_g<live>, <service>`, so statements name tables without a schema.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from hashlib import blake2b
from importlib.resources import files
from types import TracebackType
from typing import Any, Self, cast

import asyncpg

from services.kernel.errors import StoreUnavailable

#: What says that the server is away, goes away or takes no more connections.
_CONNECTION_ERRORS: tuple[type[BaseException], ...] = (
    asyncpg.PostgresConnectionError,
    asyncpg.CannotConnectNowError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    asyncpg.TooManyConnectionsError,
    asyncpg.InternalClientError,  # a connection that was lost between two statements
    ConnectionError,
    TimeoutError,
    socket.gaierror,
    ssl.SSLError,
)
#: Classes of SQLSTATE after which the same transaction may succeed: connection, rollback (deadlock,
#: serialisation), resources, intervention of an operator (shutdown, recovery, cancelled).
_TRANSIENT_CLASSES = frozenset({"08", "40", "53", "57"})
#: So may it after these: a standby answered in the midst of a switch-over, a session that idled in
#: a transaction was ended, a lock was not to be had.
_TRANSIENT_STATES = frozenset({"25006", "25P03", "55P03"})
CONNECT_TIMEOUT = 10.0
#: Of a pool that has none to give for so long, nothing more is to be hoped for this time.
ACQUIRE_TIMEOUT = 20.0
CLOSE_TIMEOUT = 5.0


def is_connection_error(error: BaseException) -> bool:
    """Whether an exception of asyncpg means that PostgreSQL cannot be reached now."""
    if isinstance(error, asyncpg.InterfaceError):
        # A pool takes a connection that was lost back from under its user.
        return any(word in str(error) for word in ("closed", "closing", "released back"))
    # asyncio raises a plain OSError where no address of a host can be connected to; one of another
    # kind is about something else, such as a file.
    return isinstance(error, _CONNECTION_ERRORS) or type(error) is OSError


def is_transient(error: BaseException) -> bool:
    """Whether PostgreSQL is away, or has said that the same transaction may succeed later."""
    if isinstance(error, asyncpg.PostgresError):
        state = error.sqlstate or ""
        return state[:2] in _TRANSIENT_CLASSES or state in _TRANSIENT_STATES
    return is_connection_error(error)


@contextmanager
def translate_store_errors() -> Iterator[None]:
    """Raises StoreUnavailable in the place of whatever says that PostgreSQL is away."""
    try:
        yield
    except BaseException as error:
        if is_connection_error(error):
            raise StoreUnavailable("PostgreSQL cannot be reached; try again") from error
        raise


@asynccontextmanager
async def acquire(pool: asyncpg.Pool) -> AsyncIterator[asyncpg.Connection]:
    """A connection of the pool; raises StoreUnavailable where PostgreSQL is or goes away, or where
    the pool has none to give in time."""
    with translate_store_errors():
        async with pool.acquire(timeout=ACQUIRE_TIMEOUT) as conn:
            # The proxy has all of Connection's methods; the stubs have them as two types.
            yield cast(asyncpg.Connection, conn)


@asynccontextmanager
async def transaction(pool: asyncpg.Pool) -> AsyncIterator[asyncpg.Connection]:
    """A connection inside a transaction; raises StoreUnavailable as `acquire` does."""
    async with acquire(pool) as conn, conn.transaction():
        yield conn


async def connect_pool(
    dsn: str, *, schema: str, min_size: int = 1, max_size: int = 8
) -> asyncpg.Pool:
    """Opens a pool whose search path is `schema` (one schema, or several by commas).

    Raises StoreUnavailable where PostgreSQL is away.
    """
    with translate_store_errors():
        return await asyncpg.create_pool(
            dsn, min_size=min_size, max_size=max_size, **_connect_args(schema)
        )


async def connect(dsn: str, *, schema: str, by_key: bool = False) -> asyncpg.Connection:
    """Opens one connection of its own with the search path `schema`.

    `by_key`: it looks rows up by their keys and does nothing else. Raises StoreUnavailable where
    PostgreSQL is away.
    """
    with translate_store_errors():
        return await asyncpg.connect(dsn, **_connect_args(schema, _POINT_LOOKUPS if by_key else {}))


#: A table that grows fast is larger than its statistics tell, and then a plan that reads all of it
#: looks cheap. Whoever looks up by keys has one good plan, whatever the statistics.
_POINT_LOOKUPS = {
    "plan_cache_mode": "force_generic_plan",
    "enable_seqscan": "off",
    "enable_hashjoin": "off",
    "enable_mergejoin": "off",
}


def _connect_args(schema: str, more: Mapping[str, str] = {}) -> dict[str, Any]:
    # Given at start-up and not by SET: the pool's RESET ALL would take a SET back.
    settings = {
        "search_path": schema,
        "application_name": f"onefold:{schema.split(',')[0]}",
        "jit": "off",
        **more,
    }
    return {
        "server_settings": settings,
        "timeout": CONNECT_TIMEOUT,
        "statement_cache_size": 1000,
        "max_cached_statement_lifetime": 0,
    }


class Queries:
    """Named SQL statements as attributes: `Q.load_leaves` is the text below `-- name: load_leaves`.

    The line after the name is a comment with the purpose of the statement.
    """

    def __init__(self, statements: dict[str, str], origin: str) -> None:
        self._statements = statements
        self._origin = origin

    @classmethod
    def load(cls, package: str | None, file: str = "queries.sql") -> Self:
        """The statements of `queries.sql` in a package (`Queries.load(__package__)`).

        Raises ValueError where a name is given twice or a statement is empty.
        """
        name = package or "services"
        return cls.parse(files(name).joinpath(file).read_text("utf-8"), f"{name}:{file}")

    @classmethod
    def parse(cls, text: str, origin: str) -> Self:
        """The statements of a text."""
        statements: dict[str, str] = {}
        for part in ("\n" + text).split("\n-- name:")[1:]:
            name, _, body = part.partition("\n")
            if name.strip() in statements or not _without_comments(body):
                raise ValueError(f"{origin}: the statement {name.strip()} is twice there or empty")
            statements[name.strip()] = body.strip()
        return cls(statements, origin)

    def __getattr__(self, name: str) -> str:
        try:
            return self._statements[name]
        except KeyError:
            raise AttributeError(f"{self._origin} has no statement {name}") from None

    def __dir__(self) -> list[str]:
        return sorted(self._statements)


def _without_comments(sql: str) -> str:
    return "".join(line for line in sql.splitlines() if not line.startswith("--")).strip()


class Database:
    """One service's place in PostgreSQL: its pool, its live generation, connections of its own.

    `async with Database(dsn, "profile") as database:` needs `migrate` to have run. The object
    stays the same when a rebuild makes another generation live; its pool then points there.
    """

    def __init__(self, dsn: str, service: str, *, max_size: int = 8) -> None:
        self.dsn = dsn
        self.service = service
        #: The generation that is live, as last read.
        self.generation = 0
        self._max_size = max_size
        self._pool: asyncpg.Pool | None = None
        self._refreshing = asyncio.Lock()

    @property
    def pool(self) -> asyncpg.Pool:
        """The pool of the live generation."""
        if self._pool is None:
            raise RuntimeError("the database is not open")
        return self._pool

    @property
    def schema(self) -> str:
        """The search path of the live generation."""
        return self.schema_of(self.generation)

    def schema_of(self, generation: int) -> str:
        """The search path of a generation; generation 0 is a service without state."""
        if generation == 0:
            return self.service
        return f"{generation_schema(self.service, generation)},{self.service}"

    async def connect(self, *, by_key: bool = False) -> asyncpg.Connection:
        """Opens a connection of its own to the live generation; the caller closes it.

        `by_key`: it looks rows up by their keys and does nothing else.
        """
        return await connect(self.dsn, schema=self.schema, by_key=by_key)

    async def refresh(self) -> bool:
        """Reads which generation is live; where it is another one, points the pool there.

        Answers whether it was another one. Raises StoreUnavailable.
        """
        async with self._refreshing:
            live = await self._live()
            if live == self.generation:
                return False
            self.generation = live
            self.pool.set_connect_args(self.dsn, **_connect_args(self.schema))
            await self.pool.expire_connections()
            return True

    async def _live(self) -> int:
        async with acquire(self.pool) as conn:
            return await live_generation(conn, self.service)

    async def __aenter__(self) -> Self:
        with translate_store_errors():
            conn = await connect(self.dsn, schema=self.service)
            try:
                self.generation = await live_generation(conn, self.service)
            finally:
                await conn.close()
        self._pool = await connect_pool(self.dsn, schema=self.schema, max_size=self._max_size)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        pool, self._pool = self._pool, None
        if pool is not None:
            await _close(pool)


async def _close(pool: asyncpg.Pool) -> None:
    try:
        async with asyncio.timeout(CLOSE_TIMEOUT):
            await pool.close()
    except TimeoutError:
        pool.terminate()


def generation_schema(service: str, generation: int) -> str:
    """The schema of a generation, such as `profile_g1`."""
    return f"{service}_g{generation}"


def lock_class(name: str) -> int:
    """The first key of the advisory locks of this name (32 bits, signed)."""
    return int.from_bytes(blake2b(name.encode(), digest_size=4).digest(), "big", signed=True)


async def live_generation(conn: asyncpg.Connection, service: str) -> int:
    """The generation whose state is served; 0 for a service without state."""
    live: int = await conn.fetchval(f"SELECT live FROM {service}.generation")
    return live
