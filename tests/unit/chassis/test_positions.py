"""Tests when a shard publishes how far it is without anything else."""

from __future__ import annotations

from dataclasses import replace
from math import inf

import pytest

from services.chassis.messaging.stream import Batch, FoldResult, OutboxMessage
from services.chassis.projection.checkpoint import Checkpoint
from services.chassis.projection.positions import INTERVAL_S, PositionOutputs

AT = Checkpoint(shard=1, next=10, next_output=5, log_offset=100, log_time_us=7)
BATCH = Batch(1, 10, 12, (), next_output=5, log_offset=100, log_time_us=7)
SILENT = FoldResult(12, 120, 8)
CHANGED = (OutboxMessage(5, 6, b"changes"),)


class Loud:
    """Publishes something with every batch."""

    async def fold(self, conn: object, batch: Batch) -> FoldResult:
        raise NotImplementedError


class Silent(Loud):
    """Publishes nothing where nothing changed."""

    def position(
        self, shard: int, sequence: int, log_offset: int, log_time_us: int
    ) -> OutboxMessage:
        text = f"shard {shard} is at {log_offset}, {log_time_us} us"
        return OutboxMessage(sequence, sequence + 1, text.encode())


class Clock:
    def __init__(self) -> None:
        self.now_s = 1_000.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock() -> Clock:
    return Clock()


def test_position_after_a_pause_is_published_with_the_batch(clock: Clock) -> None:
    positions = PositionOutputs(Silent(), clock)
    folded = positions.add_to(SILENT, BATCH)
    assert folded.outputs == (OutboxMessage(5, 6, b"shard 1 is at 120, 8 us"),)
    positions.note(AT.after(folded), folded.outputs)
    assert positions.due_in_s() == inf


def test_position_soon_after_an_output_waits_for_the_interval(clock: Clock) -> None:
    positions = PositionOutputs(Silent(), clock)
    positions.note(AT, CHANGED)
    clock.now_s += 0.4 * INTERVAL_S
    assert positions.add_to(SILENT, BATCH) is SILENT
    positions.note(AT.after(SILENT), ())
    assert positions.due_in_s() == pytest.approx(0.6 * INTERVAL_S)
    clock.now_s += INTERVAL_S
    assert positions.due_in_s() == 0.0
    assert len(positions.add_to(SILENT, BATCH).outputs) == 1


def test_position_of_any_number_of_silent_batches_is_published_once_an_interval(
    clock: Clock,
) -> None:
    positions = PositionOutputs(Silent(), clock)
    published = 0
    for n in range(1_000):
        clock.now_s += INTERVAL_S / 100
        folded = positions.add_to(replace(SILENT, log_offset=120 + n), BATCH)
        published += len(folded.outputs)
        positions.note(AT.after(folded), folded.outputs)
    assert published <= 11


def test_position_beside_changes_is_not_published(clock: Clock) -> None:
    changed = replace(SILENT, outputs=CHANGED)
    assert PositionOutputs(Silent(), clock).add_to(changed, BATCH) is changed


def test_position_that_does_not_move_is_not_due(clock: Clock) -> None:
    positions = PositionOutputs(Silent(), clock)
    positions.note(AT, CHANGED)
    positions.note(replace(AT, next=11), ())
    assert positions.due_in_s() == inf


def test_position_of_a_shard_whose_offset_is_withheld_is_not_published(clock: Clock) -> None:
    positions = PositionOutputs(Silent(), clock)
    assert positions.add_to(SILENT, replace(BATCH, is_withheld=True)) is SILENT
    positions.note(AT, CHANGED)
    positions.note(replace(AT, withheld_offset=120), ())
    assert positions.due_in_s() == inf


def test_position_that_was_committed_before_a_crash_is_due_at_the_start(clock: Clock) -> None:
    positions = PositionOutputs(Silent(), clock)
    positions.note(AT, ())
    assert positions.due_in_s() == 0.0
    assert positions.of(AT) == (OutboxMessage(5, 6, b"shard 1 is at 100, 7 us"),)


def test_position_of_a_projection_that_publishes_every_batch_is_never_added(clock: Clock) -> None:
    positions = PositionOutputs(Loud(), clock)
    positions.note(AT, ())
    assert (positions.due_in_s(), positions.of(AT)) == (inf, ())
    assert positions.add_to(SILENT, BATCH) is SILENT
