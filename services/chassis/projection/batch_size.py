"""Decides how many messages one transaction folds, from the CPU time of those before it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from services.chassis.messaging.stream import StreamMessage

#: Seconds of CPU that one transaction should take at most: meanwhile its process serves nothing
#: else, and the events of other workspaces in the shard wait.
MAX_CPU_S = 0.5
#: The number of sequence numbers that a transaction folds without any limit.
UNLIMITED = 1_000_000
#: The limit of a worker that has measured nothing yet.
FIRST_LIMIT = 256


@dataclass(frozen=True, slots=True)
class BatchSize:
    """The most sequence numbers that the next transaction should fold."""

    limit: int = FIRST_LIMIT

    def after(self, folded: int, cpu_s: float) -> BatchSize:
        """Return the size after a transaction: less in proportion if it took too long.

        It doubles after a transaction that took less than half of the time that one may take.
        """
        if not folded:
            return self
        if cpu_s > MAX_CPU_S:
            return BatchSize(max(1, int(folded * MAX_CPU_S / cpu_s)))
        if cpu_s < MAX_CPU_S / 2:
            return BatchSize(min(2 * self.limit, UNLIMITED))
        return self

    def take(self, messages: Sequence[StreamMessage], at: int) -> tuple[StreamMessage, ...]:
        """Return the first messages that fit, at least one; `at`: where the transaction begins."""
        end = at + self.limit
        taken = tuple(message for message in messages if message.next <= end)
        return taken or tuple(messages[:1])
