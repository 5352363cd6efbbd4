"""Tests the counts of messages that sources send again."""

from __future__ import annotations

import pytest

from services.ingest.domain import duplicates
from services.ingest.domain.duplicates import DuplicateCounts, Repeats, SourceKey
from services.kernel.ids import FactId

SITE, SHOP = SourceKey("default", "site"), SourceKey("default", "shop")
ONE, OTHER = FactId(b"1" * 16), FactId(b"2" * 16)


def test_counts_have_the_repeats_and_the_times_of_each_message_and_source() -> None:
    counts = DuplicateCounts()
    assert not counts
    counts.add(SITE, [ONE, OTHER], 20)
    counts.add(SITE, [ONE], 10)
    counts.add(SHOP, [ONE], 30)
    assert counts.messages == {
        (SITE, ONE): Repeats(2, 10, 20),
        (SITE, OTHER): Repeats(1, 20, 20),
        (SHOP, ONE): Repeats(1, 30, 30),
    }
    assert counts.totals == {SITE: Repeats(3, 10, 20), SHOP: Repeats(1, 30, 30)}


def test_counts_that_could_not_be_stored_are_added_to_later_ones() -> None:
    counts = DuplicateCounts()
    counts.add(SITE, [ONE], 10)
    taken = counts.take()
    assert not counts
    counts.add(SITE, [ONE], 20)
    counts.put_back(taken)
    assert counts.messages == {(SITE, ONE): Repeats(2, 10, 20)}
    assert counts.totals == {SITE: Repeats(2, 10, 20)}


def test_more_messages_than_are_counted_one_by_one_count_in_the_totals(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(duplicates, "MAX_PENDING", 1)
    counts = DuplicateCounts()
    counts.add(SITE, [ONE, OTHER, OTHER, ONE], 10)
    assert counts.messages == {(SITE, ONE): Repeats(2, 10, 10)}
    assert counts.totals == {SITE: Repeats(4, 10, 10)}
