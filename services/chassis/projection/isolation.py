"""Finds the units of a message whose fold raises, and judges whether the facts are at fault."""

from __future__ import annotations

import traceback
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

from services.chassis.messaging.stream import FoldUnit, UnitId

#: Folds a message without some units, and rolls that back; returns what it raised.
Probe = Callable[[frozenset[UnitId]], Awaitable[Exception | None]]

#: Failed units from which on the service itself may be at fault.
MIN_JUDGED = 16
#: Folded and failed units after which both counts are halved: only the recent past counts.
JUDGED_WINDOW = 512


@dataclass(frozen=True, slots=True)
class FailedUnit:
    """A unit that is left out, and why."""

    unit: FoldUnit
    #: See `describe_error`.
    error: str


async def find_failing(units: Sequence[FoldUnit], probe: Probe) -> list[FailedUnit] | None:
    """Return the units without which a message can be folded, in some log2(n) probes for each.

    None where no unit is at fault: the fold raises without all of them, or not reproducibly. Empty
    where it does not raise any more.
    """
    ids = [unit.id for unit in units]
    if await probe(frozenset(ids)) is not None:
        return None
    failing: dict[UnitId, FailedUnit] = {}
    begin = 0
    while (error := await probe(frozenset(failing))) is not None:
        # The units before `low` can be folded, those before `high` cannot.
        low, high = begin, len(units)
        if low == high:
            return None
        while high - low > 1:
            middle = (low + high) // 2
            raised = await probe(frozenset([*failing, *ids[middle:]]))
            if raised is None:
                low = middle
            else:
                high, error = middle, raised
        begin = high
        failing[ids[low]] = FailedUnit(units[low], describe_error(error))
    return list(failing.values())


def describe_error(error: BaseException) -> str:
    """Return the type of an error and the line that raised it, without its text.

    The text may contain personal data.
    """
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if "/services/" in frame.filename]
    for frame in (own or frames)[-1:]:
        path = frame.filename.rpartition("/services/")[2]
        return f"{type(error).__name__} at {path}:{frame.lineno}"
    return type(error).__name__


@dataclass(slots=True)
class FailureJudge:
    """Tells one bad fact from a service that fails at most facts, from the recent ones."""

    folded: int = 0
    failed: Counter[str] = field(default_factory=Counter)

    def add_folded(self, count: int) -> None:
        self.folded += count
        if self.folded + self.failed.total() > JUDGED_WINDOW:
            self.folded //= 2
            self.failed = Counter({w: n // 2 for w, n in self.failed.items() if n > 1})

    def blames_service(self, failing: Sequence[FailedUnit]) -> bool:
        """Count failed units; return whether the service rather than the facts is at fault.

        It is where facts of several workspaces fail, and more than are folded.
        """
        self.failed.update(one.unit.workspace_id for one in failing)
        failed = self.failed.total()
        return failed >= MIN_JUDGED and failed > self.folded and len(self.failed) > 1
