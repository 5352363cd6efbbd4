"""Passes the deadline of the current call on to everything that the call waits for."""

from __future__ import annotations

from contextvars import ContextVar
from time import monotonic

_ENDS_AT: ContextVar[float | None] = ContextVar("ends_at", default=None)


def deadline() -> float | None:
    """Return the seconds left for the current call, never below 0; None = no deadline."""
    ends_at = _ENDS_AT.get()
    return None if ends_at is None else max(0.0, ends_at - monotonic())


def clip_to_deadline(seconds: float) -> float:
    """Return `seconds`, or the seconds left for the current call if that is less."""
    left = deadline()
    return seconds if left is None else min(seconds, left)


def start_deadline(seconds: float | None) -> None:
    """Give the current task `seconds` from now on; None = no deadline."""
    _ENDS_AT.set(None if seconds is None else monotonic() + seconds)
