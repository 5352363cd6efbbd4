"""Log lines: one JSON object a line on stderr.

Event names are snake_case and in the past (`facts_appended shard=3 count=512`); values are keys.
Nothing personal is ever logged. An exception is logged by its type, its frames without their
variables, and of its message only what cannot quote a value (see `safe_message`).
"""

from __future__ import annotations

import logging
import sys
import traceback
from collections.abc import Mapping, MutableMapping
from typing import Any

import asyncpg
import structlog

_MAX_MESSAGE = 300
_MAX_FRAMES = 30


def configure(service: str, level: str = "info") -> None:
    """Send the lines of this process, and those of the libraries, to stderr as JSON.

    Every line has `event`, `level`, `at` (RFC 3339, UTC), `service`, and what was bound to the
    context with structlog.contextvars.
    """
    threshold = logging.getLevelNamesMapping()[level.upper()]
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            _name_service(service),
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True, key="at"),
            _format_exception,
            structlog.processors.JSONRenderer(default=str, ensure_ascii=False),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(threshold),
        logger_factory=structlog.PrintLoggerFactory(file=sys.stderr),
        cache_logger_on_first_use=True,
    )
    root = logging.getLogger()
    root.handlers[:] = [_ForwardingHandler()]
    root.setLevel(max(threshold, logging.WARNING))


#: Errors of a wrong program; their messages name types and attributes, not values.
_SAFE_MESSAGE_ERRORS = (AttributeError, ImportError, NameError, NotImplementedError, TypeError)


def safe_message(error: BaseException) -> str:
    """What may be told of an error's message: its first line, cut to 300 characters.

    The messages of our own errors hold nothing personal, and those of a wrong program name types
    and attributes. Any other message may quote the value that it is about, so of those only what
    has a fixed vocabulary is told: SQLSTATE and the names of the database's own things, errno.
    """
    if isinstance(error, asyncpg.PostgresError):
        named = (error.sqlstate, error.table_name, error.column_name, error.constraint_name)
        return " ".join(part for part in named if part)
    if isinstance(error, OSError):
        return error.strerror or ""
    if isinstance(error, _SAFE_MESSAGE_ERRORS) or type(error).__module__.startswith("services."):
        return (str(error).splitlines() or [""])[0][:_MAX_MESSAGE]
    return ""


class _ForwardingHandler(logging.Handler):
    """Turns the lines of libraries into ours."""

    def emit(self, record: logging.LogRecord) -> None:
        error = record.exc_info[1] if record.exc_info else None
        structlog.get_logger().log(
            record.levelno,
            "library_logged",
            logger=record.name,
            message=(record.getMessage().splitlines() or [""])[0][:_MAX_MESSAGE],
            **({"exc_info": error} if error else {}),
        )


def _name_service(service: str) -> structlog.typing.Processor:
    def name(_logger: Any, _method: str, event: structlog.typing.EventDict) -> Mapping[str, Any]:
        event["service"] = service
        return event

    return name


def _format_exception(
    logger: Any, method: str, event: MutableMapping[str, Any]
) -> Mapping[str, Any]:
    given = event.pop("exc_info", None)
    error = sys.exc_info()[1] if given is True else given
    if isinstance(error, BaseException):
        event["exception"] = _shape(error)
    return event


def _shape(error: BaseException) -> dict[str, Any]:
    frames = traceback.extract_tb(error.__traceback__)[-_MAX_FRAMES:]
    shaped: dict[str, Any] = {
        "type": type(error).__qualname__,
        "message": safe_message(error),
        "frames": [f"{f.filename}:{f.lineno} {f.name}" for f in frames],
    }
    if isinstance(error, BaseExceptionGroup):
        shaped["exceptions"] = [_shape(inner) for inner in error.exceptions]
    elif error.__cause__ is not None:
        shaped["cause"] = _shape(error.__cause__)
    return shaped
