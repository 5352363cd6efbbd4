"""Bounds the share of a shard's time that backfills take while messages wait: at most half."""

from __future__ import annotations


class BackfillShare:
    """Decides between the next backfill step and the messages that have arrived.

    A step is followed by batches that take at least as long as it took, or by the moment at which
    no message waits or another job begins. So a backfill delays a message by one step, however long
    the whole job is, and without messages it runs as fast as it can.
    """

    def __init__(self) -> None:
        #: Seconds that batches may take before the next step.
        self._owed_s = 0.0

    @property
    def is_step_due(self) -> bool:
        """Whether the next step goes before the messages that have arrived."""
        return self._owed_s <= 0.0

    def note_step(self, took_s: float) -> None:
        """Record a step."""
        self._owed_s = took_s

    def note_batch(self, took_s: float) -> None:
        """Record a batch."""
        self._owed_s -= took_s

    def make_step_due(self) -> None:
        """Let the next step go first: no message waits, or a new job does."""
        self._owed_s = 0.0
