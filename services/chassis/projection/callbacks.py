"""Defines what the worker of a shard reports while it works."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from services.chassis.messaging.stream import OutboxMessage
from services.chassis.projection.checkpoint import Checkpoint
from services.chassis.projection.failed_facts import LeftOutCounts


@dataclass(frozen=True, slots=True)
class WorkerCallbacks:
    """What a worker reports while it works."""

    #: A commit moved the checkpoint; its outputs are to be relayed.
    committed: Callable[[Checkpoint, Sequence[OutboxMessage]], Awaitable[None]]
    #: The reason why the worker is blocked; "" while it is not.
    stalled: Callable[[int, str], None]
    #: A fold scheduled backfills, perhaps for other shards.
    scheduled: Callable[[], None]
    #: How many facts the state of the shard lacks.
    left_out: Callable[[int, LeftOutCounts], None] = lambda _shard, _counts: None
