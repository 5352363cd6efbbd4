"""Bounds the calls that callers have open at once at one endpoint."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from services.chassis.access.principal import Principal, Role
from services.kernel.errors import RateLimited
from services.kernel.slots import Slots

#: The slots that a call holds, each with its holder.
AdmittedCall: TypeAlias = Sequence[tuple[Slots, str]]

_SOURCES = "all sources"


@dataclass(frozen=True, slots=True)
class CallLimits:
    """The most calls that are open at once.

    With the key of a source, an address holds no more calls, and no more streams, than are free: so
    one address leaves half of those of the key to others, and two leave a third.
    """

    #: Of one key, with its streams.
    calls_per_key: int
    #: The streams of one key.
    streams_per_key: int
    #: Of all keys of sources together: anyone may have such a key, from a web page or an app.
    calls_of_sources: int
    #: Of all keys of one workspace together.
    calls_per_workspace: int


class Admission:
    """Admits calls up to their limits; the other services of the installation have none."""

    def __init__(self, limits: CallLimits) -> None:
        self._limits = limits
        self._calls, self._streams, self._workspaces = Slots(), Slots(), Slots()

    def enter(self, caller: Principal, address: str = "", *, is_stream: bool) -> AdmittedCall:
        """Count a call that begins; `leave` ends it. Raises RateLimited, and counts nothing.

        `address`: the group of the caller's address; empty = it is not counted by address.
        """
        taken: list[tuple[Slots, str]] = []
        if caller.internal:
            return taken
        for slots, holder, limit, message in self._bounds(caller, address, is_stream):
            if not slots.take(holder, limit):
                self.leave(taken)
                raise RateLimited(message)
            taken.append((slots, holder))
        return taken

    def leave(self, call: AdmittedCall) -> None:
        """Count the end of a call that was admitted."""
        for slots, holder in call:
            slots.give_back(holder)

    def _bounds(
        self, caller: Principal, address: str, is_stream: bool
    ) -> Iterator[tuple[Slots, str, int, str]]:
        """Yield what a call counts for: holder, limit, and the message beyond it."""
        limits, key = self._limits, caller.key_id
        few = "too many open calls: call again when some have ended"
        part = f"{key} {address}" if address and caller.role is Role.SOURCE else ""
        if part:
            free = limits.calls_per_key - self._calls.held(key)
            yield self._calls, part, free, f"this key has, from this address, {few}"
        yield self._calls, key, limits.calls_per_key, f"this key has {few}"
        if is_stream:
            if part:
                free = limits.streams_per_key - self._streams.held(key)
                message = "this key has too many open streams from this address: close some of them"
                yield self._streams, part, free, message
            message = "this key has too many open streams: close some of them"
            yield self._streams, key, limits.streams_per_key, message
        message = f"the keys of this workspace have {few}"
        yield self._workspaces, caller.workspace_id, limits.calls_per_workspace, message
        if caller.role is Role.SOURCE:
            message = "the sources have too many open calls: call again"
            yield self._calls, _SOURCES, limits.calls_of_sources, message
