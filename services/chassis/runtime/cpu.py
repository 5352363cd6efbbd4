"""Measures CPU time: of one task without its waits, and of single items that take too much.

It also counts the processors that a process may use.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Coroutine, Generator, Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Generic, TypeVar

import structlog
from prometheus_client import Counter

T = TypeVar("T")

#: Seconds of CPU that one item of a fold may take: an event, a profile.
ITEM_BUDGET_S = 0.1
#: Items that take longer by the cheap clock are measured by the exact one; few do.
NOTABLE_S = 0.001
#: Seconds between two log lines about the same kind of work.
LOG_INTERVAL_S = 10.0

#: The limit of a container, where it is one: version 2 of control groups.
_QUOTA_FILE = Path("/sys/fs/cgroup/cpu.max")

log = structlog.get_logger(__name__)


def usable_processors(quota_file: Path = _QUOTA_FILE) -> int:
    """Return how many processors this process may use, at least 1; also in a container."""
    count = len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1
    with suppress(OSError, ValueError):
        # Microseconds of processor time in a period, and the period; or `max`.
        quota, period = map(int, quota_file.read_text(encoding="ascii").split())
        count = min(count, quota // period)
    return max(1, count)


class CpuTimed(Generic[T]):
    """Awaits a coroutine once; `cpu_s` then has the seconds of CPU of its own steps.

    What other tasks do while it waits is not counted.
    """

    __slots__ = ("_coroutine", "cpu_s")

    def __init__(self, coroutine: Coroutine[Any, Any, T]) -> None:
        self._coroutine = coroutine
        self.cpu_s = 0.0

    def __await__(self) -> Generator[Any, Any, T]:
        steps = self._coroutine.__await__()
        value: Any = None
        error: BaseException | None = None
        while True:
            began = time.thread_time()
            try:
                waited_for = steps.send(value) if error is None else steps.throw(error)
            except StopIteration as end:
                result: T = end.value
                return result
            finally:
                self.cpu_s += time.thread_time() - began
            value = error = None
            try:
                value = yield waited_for
            except BaseException as raised:
                error = raised


class CostReports:
    """Counts work that took too much CPU time, and logs some of it."""

    def __init__(self, exceeded: Counter | None = None) -> None:
        """`exceeded`: counts by the label `work`."""
        self._exceeded = exceeded
        #: When the next line about a kind of work may be logged (monotonic clock).
        self._next_line: dict[str, float] = {}

    def report(self, work: str, spent_s: float, place: Mapping[str, object]) -> None:
        """Report work that took so many seconds; `place`: where it is, without personal data."""
        if self._exceeded is not None:
            self._exceeded.labels(work).inc()
        now = time.monotonic()
        if now >= self._next_line.get(work, 0.0):
            self._next_line[work] = now + LOG_INTERVAL_S
            log.warning("cpu_budget_exceeded", work=work, cpu_s=round(spent_s, 3), **place)


class ItemWatch:
    """Reports the items of a fold that take more CPU time than their budget.

    An item costs two readings of a clock that needs no system call, some 0.1 us. A report has
    workspace, place and kind of the item, and nothing of its content.
    """

    def __init__(self, exceeded: Counter | None = None, *, budget_s: float = ITEM_BUDGET_S) -> None:
        """`exceeded`: counts by the label `work`."""
        self._reports = CostReports(exceeded)
        self._budget_s = budget_s

    def each(
        self, items: Iterable[T], work: str, describe: Callable[[T], dict[str, object]]
    ) -> Iterator[T]:
        """Yield items, and report each one on which the caller spends more than the budget.

        `describe` returns the fields of the log line, without personal data.
        """
        clock, budget_s = time.perf_counter, self._budget_s
        cpu_s, began = time.thread_time(), clock()
        for item in items:
            yield item
            now = clock()
            # The cheap clock runs on while other processes have the CPU, the other one does not.
            if now - began > NOTABLE_S:
                spent_s = time.thread_time() - cpu_s
                if now - began > budget_s < spent_s:
                    self._reports.report(work, min(spent_s, now - began), describe(item))
                cpu_s, now = time.thread_time(), clock()
            began = now


#: Reports in the log only; for rebuilds and previews.
UNCOUNTED = ItemWatch()
