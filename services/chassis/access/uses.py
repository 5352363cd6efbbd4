"""Counts on which days keys are used and refused, and hands that over in batches.

A process hands over each key, and each method that refuses it, at most once a day, so what is
written does not grow with the calls. The day of a use that was not handed over when a process was
killed is lost.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import NamedTuple, NoReturn

import structlog

from services.chassis.access.principal import Principal

log = structlog.get_logger(__name__)

_DAY_S = 86_400
#: How often uses are handed over, seconds.
INTERVAL_S = 10.0
#: The most uses of one call.
_MAX_USES = 5_000


class KeyUse(NamedTuple):
    """A key was used on a day, or refused by a method."""

    workspace_id: str
    key_id: str
    #: The number of days since 1970-01-01, in UTC.
    day: int
    #: The path of the method that its role may not call; empty = the key was accepted.
    refused_method: str = ""


#: Records uses; it raises OnefoldError where that is not possible now.
RecordUses = Callable[[Sequence[KeyUse]], Awaitable[None]]


class KeyUses:
    """The keys that were used or refused today, and what of that is not handed over yet."""

    def __init__(self) -> None:
        self._day = 0
        self._today: set[tuple[str, str, str]] = set()
        self._pending: list[KeyUse] = []

    def note(self, caller: Principal, now_s: float, refused_method: str = "") -> None:
        """Note that a key was accepted at an instant, seconds since 1970, or that a method
        refused its role."""
        day = int(now_s // _DAY_S)
        if day != self._day:
            self._day = day
            self._today.clear()
        key = (caller.workspace_id, caller.key_id, refused_method)
        if key not in self._today:
            self._today.add(key)
            self._pending.append(KeyUse(caller.workspace_id, caller.key_id, day, refused_method))

    async def hand_over(self, record: RecordUses) -> None:
        """Hand over the uses that are new; they stay where that fails. Raises OnefoldError."""
        while page := self._pending[:_MAX_USES]:
            await record(page)
            del self._pending[: len(page)]

    async def run(self, record: RecordUses) -> NoReturn:
        """Hand over new uses every `INTERVAL_S`."""
        while True:
            await asyncio.sleep(INTERVAL_S)
            try:
                await self.hand_over(record)
            except Exception as error:
                log.debug("key_uses_postponed", error=type(error).__name__)
