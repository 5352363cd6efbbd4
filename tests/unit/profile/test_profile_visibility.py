"""Tests the measure of how soon facts are visible in profiles, with a controlled clock."""

from __future__ import annotations

import pytest
from prometheus_client import REGISTRY

from services.kernel.ids import NO_ID, LeafId, ProfileId, WorkspaceId
from services.profile.domain.facts import AttributedFact
from services.profile.projection.visibility import Visibility

LIMIT_S = 2.0
LEAF = b"l" * 16


def fact(recorded_s: float, leaf: bytes = LEAF) -> AttributedFact:
    ids = (WorkspaceId("shop"), LeafId(leaf), ProfileId(leaf))
    return AttributedFact(0, int(recorded_s * 1e6), *ids, event=None, broadcast=None)


def metric(name: str) -> float:
    return REGISTRY.get_sample_value(f"onefold_profile_{name}") or 0.0


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def test_facts_that_are_visible_later_than_the_limit_are_counted() -> None:
    clock = Clock()
    visibility = Visibility(LIMIT_S, clock)
    late, observed = metric("late_facts_total"), metric("event_to_profile_seconds_count")
    seconds = metric("event_to_profile_seconds_sum")
    visibility.folded(0, [fact(97.0), fact(97.9), fact(98.0), fact(99.5)])
    visibility.folded(1, [fact(99.0)])
    visibility.committed(0)
    assert visibility.counts() == {"facts_visible": 4, "facts_visible_late": 2}
    clock.now = 100.5
    visibility.committed(1)
    assert visibility.counts() == {"facts_visible": 5, "facts_visible_late": 2}
    assert metric("late_facts_total") - late == 2
    assert metric("event_to_profile_seconds_count") - observed == 2
    assert metric("event_to_profile_seconds_sum") - seconds == pytest.approx(3.0 + 1.5)
    assert metric("visible_within_seconds") == LIMIT_S


def test_only_facts_of_leaves_in_committed_transactions_are_measured() -> None:
    visibility = Visibility(LIMIT_S, Clock())
    visibility.folded(0, [fact(1.0)])
    visibility.folded(0, [fact(1.0, NO_ID), fact(99.0)])  # the transaction before was rolled back
    visibility.committed(0)
    visibility.committed(0)  # a step of a backfill has no facts
    assert visibility.counts() == {"facts_visible": 1, "facts_visible_late": 0}


def test_fact_ahead_of_the_clock_of_the_machine_is_not_late() -> None:
    visibility = Visibility(LIMIT_S, Clock())
    observed = metric("event_to_profile_seconds_count")
    visibility.folded(0, [fact(5_000.0)])
    visibility.committed(0)
    assert visibility.counts() == {"facts_visible": 1, "facts_visible_late": 0}
    assert metric("event_to_profile_seconds_count") == observed
