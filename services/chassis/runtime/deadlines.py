"""The deadline of the call that is being answered, to be passed on to whatever it waits for."""

from __future__ import annotations

from contextvars import ContextVar
from time import monotonic

_ENDS_AT: ContextVar[float | None] = ContextVar("ends_at", default=None)


def deadline() -> float | None:
    """Seconds that are left for the present call, never below 0; None where it has no deadline."""
    ends_at = _ENDS_AT.get()
    return None if ends_at is None else max(0.0, ends_at - monotonic())


def clip_to_deadline(seconds: float) -> float:
    """`seconds`, or what is left for the present call where that is less."""
    left = deadline()
    return seconds if left is None else min(seconds, left)


def start_deadline(seconds: float | None) -> None:
    """From here on the present task has `seconds` left; None = as long as it takes."""
    _ENDS_AT.set(None if seconds is None else monotonic() + seconds)
