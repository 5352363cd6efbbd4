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
#: Seconds that one transaction should take at most, the waits included.
MAX_TOOK_S = 10.0
#: A fold of a single message that loses its session after so many seconds was ended by a limit of
#: the database, rather than by an outage.
MIN_LOST_S = 10.0
#: Sessions that one message may cost before it is left out.
MAX_LOSSES = 2
#: Seconds for which messages may gather before the next fold.
MAX_GATHERING_S = 0.2
#: Sizes of batches that are costly per message: there is load, and too few messages gather.
SMALL_BATCHES = range(100, 1_000)
#: Bytes per sequence number of messages that have many changes each, such as those of backfills.
LARGE_MESSAGE = 2_048


def gathering_s(folded: int, payload: int, took_s: float) -> float:
    """Return the seconds to let messages gather, after a batch of so many sequence numbers.

    They are as many as the batch took, or twice as many. A transaction has a high fixed cost. So
    batches grow with the load, and a single message is still folded at once. Messages of many
    changes do not gather: that saves nothing, and single changes behind them would wait.

    `payload`: the bytes of the batch.
    """
    if payload >= LARGE_MESSAGE * folded:
        return 0.0
    return min((2 if folded in SMALL_BATCHES else 1) * took_s, MAX_GATHERING_S)


@dataclass(frozen=True, slots=True, order=True)
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

    def after_failure(self, folded: int) -> BatchSize:
        """Return the size after a transaction of so many sequence numbers failed: half of it."""
        return BatchSize(max(1, min(folded, self.limit) // 2))

    def take(self, messages: Sequence[StreamMessage], at: int) -> tuple[StreamMessage, ...]:
        """Return the first messages that fit, at least one; `at`: where the transaction begins."""
        end = at + self.limit
        taken = tuple(message for message in messages if message.next <= end)
        return taken or tuple(messages[:1])


@dataclass(slots=True)
class FoldPace:
    """How a shard is folded: what a worker passes on to the next one of its process.

    A session that the database ends takes its worker along. So what the next one needs to make the
    same batch smaller outlasts both.
    """

    size: BatchSize = BatchSize()
    #: Up to here messages are cut into units, because one of them failed.
    isolate_until: int = 0
    #: Up to here the size does not grow, because a larger transaction lost its session.
    steady_until: int = 0
    #: The sequence number at which a fold of a single one ended with its session, and how often.
    lost_at: int = -1
    losses: int = 0
    #: Whether the failed facts of the shard were tried once by this process.
    has_retried: bool = False

    def adapt(self, first: int, end: int, cpu_s: float, took_s: float) -> None:
        """Choose the next size after a transaction that folded [first, end).

        One that takes long comes near the time limits of the database, although it uses no CPU.
        """
        before = self.size
        after = before.after(end - first, max(cpu_s, took_s * MAX_CPU_S / MAX_TOOK_S))
        self.size = min(before, after) if end < self.steady_until else after

    def narrow(self, first: int, end: int) -> None:
        """Fold less than [first, end) at a time, up to `end`."""
        self.isolate_until = max(self.isolate_until, end)
        self.size = self.size.after_failure(end - first)

    def lose_session(self, first: int, end: int, took_s: float) -> None:
        """Note that the session of a fold ended before its commit."""
        self.narrow(first, end)
        self.steady_until = max(self.steady_until, end)
        if end - first > 1 or took_s < MIN_LOST_S:
            return
        self.losses = self.losses + 1 if self.lost_at == first else 1
        self.lost_at = first

    def is_hopeless(self, first: int) -> bool:
        """Return whether folding the single number `first` ends the session each time."""
        return self.lost_at == first and self.losses >= MAX_LOSSES
