"""Writes log lines: one JSON object a line on stderr.

Event names are snake_case and in the past tense, values are keys: `facts_appended shard=3
count=512`. Personal data is never logged. An exception is logged with its type, its frames without
their variables, and the part of its message that cannot quote a value (see `safe_message`).

A line that cannot be written, such as on a full disk, is lost and raises nothing: the handler of an
error logs before it retries.
"""

from __future__ import annotations

import logging
import sys
import traceback
from contextlib import suppress
from functools import partial
from typing import Any, TextIO, cast

import asyncpg
import structlog
from structlog.typing import EventDict

_MAX_MESSAGE = 300
_MAX_FRAMES = 30


def configure(service: str, level: str = "info") -> None:
    """Write the log lines of this process and of its libraries to stderr as JSON.

    Every line has `event`, `level`, `at` (RFC 3339, UTC) and `service`.
    """
    threshold = logging.getLevelNamesMapping()[level.upper()]
    structlog.configure(
        processors=[
            partial(_add_service, service),
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True, key="at"),
            _format_exception,
            structlog.processors.JSONRenderer(default=str, ensure_ascii=True),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(threshold),
        logger_factory=structlog.PrintLoggerFactory(file=cast(TextIO, _LossyStream())),
        cache_logger_on_first_use=True,
    )
    root = logging.getLogger()
    root.handlers[:] = [_ForwardingHandler()]
    root.setLevel(max(threshold, logging.WARNING))


#: Errors of a faulty program; their messages name types and attributes, not values.
_SAFE_MESSAGE_ERRORS = (AttributeError, ImportError, NameError, NotImplementedError, TypeError)


def safe_message(error: BaseException) -> str:
    """Return the part of an error's message that may be logged, at most 300 characters.

    Messages of our own errors hold nothing personal, and those of a faulty program name types and
    attributes. Any other message may quote a value, so only parts with a fixed vocabulary are
    returned of it: SQLSTATE and names of tables, columns and constraints, or the text of an errno.
    """
    if isinstance(error, asyncpg.PostgresError):
        parts = (error.sqlstate, error.table_name, error.column_name, error.constraint_name)
        return " ".join(part for part in parts if part)
    if isinstance(error, OSError):
        return error.strerror or ""
    if isinstance(error, _SAFE_MESSAGE_ERRORS) or type(error).__module__.startswith("services."):
        return (str(error).splitlines() or [""])[0][:_MAX_MESSAGE]
    return ""


class _LossyStream:
    """Standard error, where writing raises nothing."""

    def write(self, text: str) -> int:
        with suppress(OSError, ValueError):  # ValueError: it is closed
            sys.stderr.write(text)
        return len(text)

    def flush(self) -> None:
        with suppress(OSError, ValueError):
            sys.stderr.flush()


class _ForwardingHandler(logging.Handler):
    """Logs the lines of libraries as `library_logged`."""

    def emit(self, record: logging.LogRecord) -> None:
        structlog.get_logger().log(
            record.levelno,
            "library_logged",
            logger=record.name,
            message=(record.getMessage().splitlines() or [""])[0][:_MAX_MESSAGE],
            exc_info=record.exc_info[1] if record.exc_info else None,
        )


def _add_service(service: str, _logger: Any, _method: str, event: EventDict) -> EventDict:
    event["service"] = service
    return event


def _format_exception(_logger: Any, _method: str, event: EventDict) -> EventDict:
    exc_info = event.pop("exc_info", None)
    error = sys.exc_info()[1] if exc_info is True else exc_info
    if isinstance(error, BaseException):
        event["exception"] = _describe(error)
    return event


def _describe(error: BaseException) -> dict[str, Any]:
    frames = traceback.extract_tb(error.__traceback__)[-_MAX_FRAMES:]
    description: dict[str, Any] = {
        "type": type(error).__qualname__,
        "message": safe_message(error),
        "frames": [f"{f.filename}:{f.lineno} {f.name}" for f in frames],
    }
    if isinstance(error, BaseExceptionGroup):
        description["exceptions"] = [_describe(inner) for inner in error.exceptions]
    elif error.__cause__ is not None:
        description["cause"] = _describe(error.__cause__)
    return description
