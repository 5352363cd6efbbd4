"""Bounds the calls that callers have open at once at one endpoint."""

from __future__ import annotations

from dataclasses import dataclass

from services.chassis.access.principal import Principal, Role
from services.kernel.errors import RateLimited
from services.kernel.slots import Slots

_SOURCES = "all sources"


@dataclass(frozen=True, slots=True)
class CallLimits:
    """The most calls that are open at once."""

    #: Of one key, with its streams.
    calls_per_key: int
    #: The streams of one key.
    streams_per_key: int
    #: Of all keys of sources together: anyone may have such a key, from a web page or an app.
    calls_of_sources: int


class Admission:
    """Admits calls up to their limits; the other services of the installation have none."""

    def __init__(self, limits: CallLimits) -> None:
        self._limits = limits
        self._calls, self._streams = Slots(), Slots()

    def enter(self, caller: Principal, *, is_stream: bool) -> None:
        """Count a call that begins; `leave` ends it. Raises RateLimited, and counts nothing."""
        if caller.internal:
            return
        limits, key = self._limits, caller.key_id
        if not self._calls.take(key, limits.calls_per_key):
            raise RateLimited("this key has too many open calls: call again when some have ended")
        if is_stream and not self._streams.take(key, limits.streams_per_key):
            self._calls.give_back(key)
            raise RateLimited("this key has too many open streams: close some of them")
        if caller.role is Role.SOURCE and not self._calls.take(_SOURCES, limits.calls_of_sources):
            self._calls.give_back(key)
            if is_stream:
                self._streams.give_back(key)
            raise RateLimited("the sources have too many open calls: call again")

    def leave(self, caller: Principal, *, is_stream: bool) -> None:
        """Count the end of a call that was admitted."""
        if caller.internal:
            return
        self._calls.give_back(caller.key_id)
        if is_stream:
            self._streams.give_back(caller.key_id)
        if caller.role is Role.SOURCE:
            self._calls.give_back(_SOURCES)
