"""Tests checkpoints: the saved results of folds and backfill steps, and the refused ones."""

from __future__ import annotations

from dataclasses import replace

import pytest

from services.chassis.messaging.stream import FoldResult, OutboxMessage, StreamMessage
from services.chassis.projection.checkpoint import (
    Backlog,
    Checkpoint,
    InvalidFoldResult,
    check_outputs,
    make_batch,
    token_of,
)
from services.kernel.tokens import Token

AT = Checkpoint(1, next=10, next_output=5, log_offset=100, log_time_us=7)
WITHHELD = Checkpoint(1, next=12, next_output=6, log_offset=100, log_time_us=8, withheld_offset=120)


def test_fold_moves_every_number_of_the_checkpoint() -> None:
    outputs = (OutboxMessage(5, 6, b""), OutboxMessage(6, 8, b""))
    assert AT.after(FoldResult(12, 130, 9, outputs)) == Checkpoint(1, 12, 8, 130, 9)
    assert AT.after(FoldResult(12, 130, 9)) == Checkpoint(1, 12, 5, 130, 9)


def test_step_moves_the_outputs_alone() -> None:
    assert AT.after_step(()) == AT
    assert AT.after_step((OutboxMessage(5, 6, b""),)) == Checkpoint(1, 10, 6, 100, 7)


def test_step_of_a_blocked_shard_saves_the_withheld_offset() -> None:
    assert WITHHELD.folded_offset == 120
    assert WITHHELD.after_step(()) == Checkpoint(1, 12, 6, 120, 8)
    assert AT.folded_offset == 100


def test_token_of_a_blocked_shard_does_not_include_the_withheld_offset() -> None:
    assert token_of([Checkpoint(0, log_offset=4), WITHHELD]) == Token((4, 100))


def test_batch_begins_at_the_checkpoint() -> None:
    messages = (StreamMessage(8, 11, b"a"), StreamMessage(11, 20, b"b"))
    batch = make_batch(AT, messages)
    assert (batch.first, batch.next, batch.messages) == (10, 20, messages)
    assert (batch.next_output, batch.log_offset, batch.log_time_us) == (5, 100, 7)


def test_backlog_without_a_request_is_empty() -> None:
    assert not Backlog()
    assert Backlog(newest_run=3)
    assert Backlog(newest_run=3, is_blocked=True).is_blocked


@pytest.mark.parametrize(
    "outputs",
    [
        [OutboxMessage(6, 7, b"")],
        [OutboxMessage(5, 5, b"")],
        [OutboxMessage(5, 6, b""), OutboxMessage(7, 8, b"")],
    ],
)
def test_outputs_with_a_gap_are_refused(outputs: list[OutboxMessage]) -> None:
    with pytest.raises(InvalidFoldResult, match="an output covers"):
        check_outputs(outputs, 5)


def test_contiguous_outputs_are_accepted() -> None:
    check_outputs([OutboxMessage(5, 7, b""), OutboxMessage(7, 8, b"")], 5)


def test_checkpoint_has_the_life_of_the_last_message_that_was_folded() -> None:
    messages = [StreamMessage(10, 12, b"", 7), StreamMessage(12, 14, b"", 8)]
    assert AT.after(FoldResult(14, 130, 9), messages).upstream_life == 8
    assert AT.after(FoldResult(12, 130, 9), messages).upstream_life == 7
    unstated = [StreamMessage(10, 12, b"")]
    assert replace(AT, upstream_life=6).after(FoldResult(12, 130, 9), unstated).upstream_life == 6
