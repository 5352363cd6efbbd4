"""Tests the share of a shard's time that backfills take."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from services.chassis.projection.backfill_share import BackfillShare

seconds = st.floats(0.001, 1.0)


@given(steps=st.lists(seconds, min_size=1, max_size=50), batch=seconds)
def test_steps_while_messages_wait_take_at_most_half_of_the_time(
    steps: list[float], batch: float
) -> None:
    share, stepped, folded = BackfillShare(), 0.0, 0.0
    for took_s in steps:
        while not share.is_step_due:
            share.note_batch(batch)
            folded += batch
        assert stepped <= folded + 1e-6
        share.note_step(took_s)
        stepped += took_s


def test_step_without_messages_is_due_at_once() -> None:
    share = BackfillShare()
    share.note_step(5.0)
    assert not share.is_step_due
    share.make_step_due()
    assert share.is_step_due
