"""Bounds the time that backfills take while messages wait: half of a shard's, and few shards."""

from __future__ import annotations

import math
import time
from collections.abc import Callable

#: Shards of a process that do a step at a time: one computes while the store works for another.
CONCURRENT_STEPS = 2
#: Seconds without a batch after which a process does more than one step at a time: they delay the
#: batches of other shards, as one process computes for all.
QUIET_S = 1.0
#: Seconds of CPU that a step should take: a message of its shard waits for it, and so does one in
#: the service downstream, which folds what the step has published.
STEP_CPU_S = 0.016
#: Seconds that a step should take at most, the waits included.
STEP_TOOK_S = 0.5
#: The rows that the first step of a worker works on, and the fewest and the most of any.
FIRST_ROWS, FEWEST_ROWS, MOST_ROWS = 100, 10, 500


def rows_after(rows: int, cpu_s: float, took_s: float) -> int:
    """Return the rows of the next step, after one of so many took so many seconds."""
    took = max(cpu_s / STEP_CPU_S, took_s / STEP_TOOK_S, 0.01)
    return min(max(int(rows * min(max(1 / took, 0.5), 2.0)), FEWEST_ROWS), MOST_ROWS)


class StepGaveWay(Exception):
    """A message has arrived for the shard of a step: the step is undone, and repeated after it."""


class StepTurns:
    """Gives turns to the shards of a process: few of them do a backfill step at a time.

    A step takes none of the slots of folds, so a batch waits for no step but that of its own shard.
    """

    def __init__(self, most: int = CONCURRENT_STEPS) -> None:
        """`most`: steps at a time."""
        self._most = most
        self._active: set[int] = set()
        #: The shard that had the last turn: those that wait go first, where they can.
        self._last: int | None = None
        #: What wakes each shard that waits.
        self._waiting: dict[int, Callable[[], None]] = {}
        #: When the process folded a batch last (monotonic clock).
        self._folded_at = -math.inf

    def note_fold(self) -> None:
        """Note that the process folds a batch: for a while it does one step at a time."""
        self._folded_at = time.monotonic()

    def is_waiting(self, shard: int) -> bool:
        """Return whether a shard waits until it is woken."""
        return shard in self._waiting

    def begin(self, shard: int, wake: Callable[[], None]) -> bool:
        """Begin a turn and return True; or return False, and call `wake` when to try again."""
        is_next = shard != self._last or not self._waiting.keys() - {shard}
        is_busy = time.monotonic() < self._folded_at + QUIET_S
        if is_next and len(self._active) < (1 if is_busy else self._most):
            self._waiting.pop(shard, None)
            self._active.add(shard)
            return True
        self._waiting[shard] = wake
        if not is_next:
            # Those that wait may be busy with a batch, or fail: they go first once.
            self._last = None
            wake()
        return False

    def end(self, shard: int) -> None:
        """End the turn of a shard, or its wait for one."""
        self._waiting.pop(shard, None)
        if shard in self._active:
            self._active.remove(shard)
            self._last = shard
            for wake in list(self._waiting.values()):
                wake()


class BackfillShare:
    """Decides between the next backfill step and the messages that have arrived.

    A step is followed by batches that take at least as long as it took, or by the moment at which
    no message waits or another job begins. So a backfill delays a message by one step, however long
    the whole job is, and without messages it runs as fast as it can. The rows of a step follow from
    the time that those before it took. A step gives way to a message that arrives meanwhile, once.
    """

    def __init__(
        self,
        turns: StepTurns,
        shard: int = 0,
        wake: Callable[[], None] = lambda: None,
        has_message: Callable[[], bool] = lambda: False,
    ) -> None:
        """`wake` is called when it is the turn of the shard, after it was not; `has_message`
        returns whether a message of the shard waits."""
        self._turns = turns
        self._has_message = has_message
        #: Whether the last attempt of the next step gave way: the next one does not.
        self._gave_way = False
        self._shard = shard
        self._wake = wake
        #: The rows that the next step should work on at most.
        self.rows = FIRST_ROWS
        #: Seconds that batches may take before the next step.
        self._owed_s = 0.0
        #: Until when no step is tried, because one failed (monotonic clock).
        self._postponed_until = 0.0

    @property
    def due_in_s(self) -> float:
        """The seconds after which a step may be tried; infinity while it is the turn of others."""
        if self._turns.is_waiting(self._shard):
            return math.inf
        return max(0.0, self._postponed_until - time.monotonic())

    def begin_step(self) -> bool:
        """Return whether the next step goes before the messages that have arrived.

        Then `end_step` must follow, whatever becomes of the step.
        """
        is_due = self._owed_s <= 0.0 and self._postponed_until <= time.monotonic()
        return is_due and self._turns.begin(self._shard, self._wake)

    def pause(self) -> None:
        """Let a message go first in the middle of a step. Raises StepGaveWay, once a step."""
        if self._has_message() and not self._gave_way:
            # A batch goes first, however short it is.
            self._gave_way, self._owed_s = True, 1e-9
            raise StepGaveWay

    def end_step(self) -> None:
        """End a step, or stop waiting for one."""
        self._turns.end(self._shard)

    def postpone(self, seconds: float) -> None:
        """Try no step for a while, as one has failed; the shard goes on folding."""
        self._postponed_until = time.monotonic() + seconds
        self.rows = max(self.rows // 2, FEWEST_ROWS)

    def note_step(self, took_s: float, cpu_s: float = 0.0) -> None:
        """Record the seconds that a step took, and those of CPU."""
        self._owed_s = took_s
        self._gave_way = False
        self.rows = rows_after(self.rows, cpu_s, took_s)

    def note_batch(self, took_s: float) -> None:
        """Record a batch."""
        self._owed_s -= took_s

    def make_step_due(self) -> None:
        """Let the next step go first: no message waits, or a new job does."""
        self._owed_s = 0.0
