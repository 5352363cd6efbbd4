"""Publishes how far a shard is, where its folds publish nothing because nothing changed."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import replace

from services.chassis.messaging.stream import (
    Batch,
    FoldResult,
    OutboxMessage,
    Positioned,
    Projection,
)
from services.chassis.projection.checkpoint import Checkpoint

#: Seconds after an output within which the position alone is not published. After a longer pause it
#: is published with the batch that moves it, so that single events wait for nothing.
INTERVAL_S = 0.5


class PositionOutputs:
    """Decides when the position of one shard is published, for a projection that is Positioned."""

    def __init__(self, projection: Projection, now_s: Callable[[], float] = time.monotonic) -> None:
        self._projection = projection if isinstance(projection, Positioned) else None
        self._now_s = now_s
        #: When the last output was saved.
        self._published_s = -math.inf
        #: The offset in the log that the outputs have stated.
        self._published_offset = 0
        self._is_behind = False

    def due_in_s(self) -> float:
        """Return the seconds after which the position is due; infinity where it is published."""
        if self._projection is None or not self._is_behind:
            return math.inf
        return max(0.0, self._published_s + INTERVAL_S - self._now_s())

    def add_to(self, folded: FoldResult, batch: Batch) -> FoldResult:
        """Return the result of a fold, with the position where it is due and nothing else is
        published."""
        is_early = self._now_s() < self._published_s + INTERVAL_S
        if self._projection is None or folded.outputs or batch.is_withheld or is_early:
            return folded
        place = (batch.shard, batch.next_output)
        output = self._projection.position(*place, folded.log_offset, folded.log_time_us)
        return replace(folded, outputs=(output,))

    def of(self, at: Checkpoint) -> tuple[OutboxMessage, ...]:
        """Return the output with the position of a checkpoint."""
        if self._projection is None:
            return ()
        place = (at.shard, at.next_output)
        return (self._projection.position(*place, at.log_offset, at.log_time_us),)

    def note(self, after: Checkpoint, outputs: Sequence[OutboxMessage]) -> None:
        """Note a commit; at the start of a worker the checkpoint that it found, without outputs."""
        if outputs:
            self._published_s, self._published_offset = self._now_s(), after.log_offset
        self._is_behind = after.log_offset > self._published_offset
