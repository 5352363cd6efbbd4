"""Tests how many attempts begin before there is a call for each of them."""

from __future__ import annotations

from services.activation.domain.read_ahead import LONG_S, MAX_AHEAD, ReadAhead


def test_read_ahead_grows_by_one_with_each_message_up_to_a_limit() -> None:
    ahead = ReadAhead()
    sizes = []
    for _ in range(MAX_AHEAD + 10):
        ahead = ahead.after_attempt(0.0, delivered=True)
        sizes.append(ahead.size)
    assert sizes == [*range(1, MAX_AHEAD + 1), *[MAX_AHEAD] * 10]


def test_read_ahead_shrinks_where_attempts_wait_long_for_their_calls() -> None:
    ahead = ReadAhead(100).after_attempt(LONG_S, delivered=True)
    assert ahead.size == 101
    for size in (50, 25, 12, 6, 3, 1, 0, 0):
        ahead = ahead.after_attempt(LONG_S + 0.01, delivered=True)
        assert ahead.size == size


def test_read_ahead_ends_with_a_message_that_is_not_accepted() -> None:
    assert ReadAhead(100).after_attempt(0.0, delivered=False) == ReadAhead(0)
