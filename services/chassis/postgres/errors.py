"""Classifies the errors of PostgreSQL: what is an outage, and what may succeed later."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager

import asyncpg
import structlog

from services.kernel.errors import StoreUnavailable

log = structlog.get_logger(__name__)

#: The server is unavailable, shuts down or accepts no more connections.
_CONNECTION_ERRORS: tuple[type[BaseException], ...] = (
    asyncpg.PostgresConnectionError,
    asyncpg.CannotConnectNowError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    asyncpg.TooManyConnectionsError,
    ConnectionError,
    TimeoutError,
    socket.gaierror,
    ssl.SSLError,
)
#: The text of an InterfaceError about a lost connection: it was closed, its pool is closing, or the
#: pool took it back while it was in use.
_CLOSED = ("closed", "closing", "released back")
#: Its text about a connection that is still inside an operation that broke off.
_BUSY = "another operation"
#: Classes of SQLSTATE after which the same transaction may succeed: connection, rollback (deadlock,
#: serialisation), resources, operator intervention (shutdown, recovery, cancelled).
_TRANSIENT_CLASSES = frozenset({"08", "40", "53", "57"})
#: Further such states: a standby replied during a switch-over, a session that idled in a
#: transaction was ended, a lock was not available.
_TRANSIENT_STATES = frozenset({"25006", "25P03", "55P03"})
#: A time limit of the server ended the statement, or the transaction with its session.
_ENDED = (asyncpg.QueryCanceledError, asyncpg.IdleInTransactionSessionTimeoutError)


def is_connection_error(error: BaseException) -> bool:
    """Return whether an exception of asyncpg means that PostgreSQL cannot be reached now."""
    if isinstance(error, asyncpg.InterfaceError):
        return _is_broken(error) or any(word in str(error) for word in _CLOSED)
    # asyncio raises a plain OSError where no address of a host accepts a connection; its subclasses
    # are about something else, such as a file.
    return isinstance(error, _CONNECTION_ERRORS) or type(error) is OSError or _is_broken(error)


def _is_broken(error: BaseException) -> bool:
    """Return whether the connection is in a protocol state that no further operation can leave.

    The server ended the session between two operations, or an operation broke off.
    """
    if isinstance(error, asyncpg.InterfaceError):
        return _BUSY in str(error)
    return isinstance(error, asyncpg.InternalClientError)


def is_transient(error: BaseException) -> bool:
    """Return whether the same transaction may succeed later: PostgreSQL is down or reports so."""
    if isinstance(error, asyncpg.PostgresError):
        state = error.sqlstate or ""
        return state[:2] in _TRANSIENT_CLASSES or state in _TRANSIENT_STATES
    return is_connection_error(error)


def _is_outage(error: asyncpg.PostgresError) -> bool:
    """Return whether PostgreSQL cannot serve: it has no room or no memory, or is read-only."""
    state = error.sqlstate or ""
    # A rolled back transaction (40) was disturbed by another one, and is no outage.
    return is_transient(error) and state[:2] != "40"


def is_session_lost(error: BaseException) -> bool:
    """Return whether a StoreUnavailable was raised because the session or its statement ended."""
    cause = error.__cause__
    return cause is None or is_connection_error(cause) or isinstance(cause, _ENDED)


@contextmanager
def translate_store_errors(conn: asyncpg.Connection | None = None) -> Iterator[None]:
    """Raise StoreUnavailable in place of an error that means that PostgreSQL is unavailable.

    `conn`: terminated where its protocol state is broken, so that it is never used again.
    """
    try:
        yield
    except BaseException as error:
        if conn is not None and _is_broken(error):
            log.warning("connection_broken", error=type(error).__name__, reason=str(error))
            conn.terminate()
        if is_connection_error(error):
            raise StoreUnavailable("PostgreSQL cannot be reached; try again") from error
        if isinstance(error, asyncpg.QueryCanceledError):
            raise StoreUnavailable(
                "the database ended a query that took too long; try again, or ask for less"
            ) from error
        if isinstance(error, asyncpg.PostgresError) and _is_outage(error):
            raise StoreUnavailable(
                f"PostgreSQL cannot do this now (SQLSTATE {error.sqlstate}); try again"
            ) from error
        raise
