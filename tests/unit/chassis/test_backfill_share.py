"""Tests the share of a shard's time that backfills take."""

from __future__ import annotations

import math
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.chassis.projection.backfill_share import (
    FEWEST_ROWS,
    MOST_ROWS,
    STEP_CPU_S,
    STEP_TOOK_S,
    BackfillShare,
    StepGaveWay,
    StepTurns,
    rows_after,
)

seconds = st.floats(0.001, 1.0)


@given(steps=st.lists(seconds, min_size=1, max_size=50), batch=seconds)
def test_steps_while_messages_wait_take_at_most_half_of_the_time(
    steps: list[float], batch: float
) -> None:
    share, stepped, folded = BackfillShare(StepTurns()), 0.0, 0.0
    for took_s in steps:
        while not share.begin_step():
            share.note_batch(batch)
            folded += batch
        assert stepped <= folded + 1e-6
        share.note_step(took_s)
        share.end_step()
        stepped += took_s


def test_step_without_messages_is_due_at_once() -> None:
    share = BackfillShare(StepTurns())
    share.note_step(5.0)
    assert not share.begin_step()
    share.make_step_due()
    assert share.begin_step()


def test_step_that_failed_is_postponed() -> None:
    share = BackfillShare(StepTurns())
    share.postpone(1_000.0)
    assert not share.begin_step()
    assert 900.0 < share.due_in_s <= 1_000.0


@given(cost_s=st.floats(1e-6, 1e-3), rows=st.integers(FEWEST_ROWS, MOST_ROWS))
def test_rows_of_steps_end_at_those_that_take_the_time_of_a_step(cost_s: float, rows: int) -> None:
    for _ in range(10):
        rows = rows_after(rows, rows * cost_s, 0.0)
    wanted = min(max(STEP_CPU_S / cost_s, FEWEST_ROWS), MOST_ROWS)
    assert abs(rows - wanted) <= 0.25 * wanted + 1


def test_rows_of_steps_follow_from_their_processor_time_and_hardly_from_their_waits() -> None:
    assert rows_after(200, STEP_CPU_S, 0.5 * STEP_TOOK_S) == 200
    assert rows_after(200, STEP_CPU_S, 2 * STEP_TOOK_S) == 100


def test_rows_of_steps_change_by_a_factor_of_two_at_most() -> None:
    assert rows_after(200, 100.0, 0.0) == 100
    assert rows_after(200, 0.0, 0.0) == 400


def test_step_after_one_that_failed_works_on_half_of_the_rows() -> None:
    share = BackfillShare(StepTurns())
    before = share.rows
    share.postpone(1.0)
    assert share.rows == before // 2


def test_step_gives_way_to_a_message_once_and_is_then_done() -> None:
    waiting: list[str] = []
    share = BackfillShare(StepTurns(), has_message=lambda: bool(waiting))
    assert share.begin_step()
    share.pause()
    waiting.append("message")
    with pytest.raises(StepGaveWay):
        share.pause()
    share.end_step()
    assert not share.begin_step()
    share.note_batch(0.001)
    assert share.begin_step()
    share.pause()
    share.note_step(0.01, 0.01)
    share.end_step()
    share.make_step_due()
    assert share.begin_step()
    with pytest.raises(StepGaveWay):
        share.pause()


class Shards:
    """The shares of some shards of a process, and those that were woken."""

    def __init__(self, number: int, most: int) -> None:
        self.woken: list[int] = []
        turns = self.turns = StepTurns(most)
        self.shares = [
            BackfillShare(turns, shard, partial(self.woken.append, shard))
            for shard in range(number)
        ]

    def begin(self, *shards: int) -> list[bool]:
        return [self.shares[shard].begin_step() for shard in shards]


def test_few_shards_do_a_step_at_a_time_and_the_others_are_woken_at_its_end() -> None:
    of = Shards(4, most=2)
    assert of.begin(0, 1, 2, 3) == [True, True, False, False]
    assert [share.due_in_s for share in of.shares] == [0.0, 0.0, math.inf, math.inf]
    of.shares[0].end_step()
    assert of.woken == [2, 3]
    assert of.begin(2, 3) == [True, False]


def test_one_shard_does_a_step_at_a_time_while_the_process_folds_batches() -> None:
    of = Shards(3, most=2)
    of.turns.note_fold()
    assert of.begin(0, 1, 2) == [True, False, False]
    of.shares[0].end_step()
    assert of.woken == [1, 2]


def test_shard_that_had_a_turn_lets_those_that_wait_go_first() -> None:
    of = Shards(2, most=1)
    assert of.begin(0, 1) == [True, False]
    of.shares[0].end_step()
    assert of.begin(0, 1) == [False, True]
    of.shares[1].end_step()
    assert of.begin(0) == [True]


def test_shard_that_had_a_turn_has_the_next_one_where_those_that_wait_do_not_come() -> None:
    of = Shards(2, most=1)
    assert of.begin(0, 1) == [True, False]
    of.shares[0].end_step()
    assert of.begin(0) == [False]
    assert of.woken == [1, 0]
    assert of.begin(0) == [True]


def test_shard_that_ends_while_it_waits_keeps_no_other_waiting() -> None:
    of = Shards(2, most=1)
    assert of.begin(0, 1) == [True, False]
    of.shares[1].end_step()
    of.shares[0].end_step()
    assert of.begin(0) == [True]
    assert of.woken == []
