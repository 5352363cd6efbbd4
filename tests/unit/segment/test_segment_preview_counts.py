"""Tests the counts and estimates of previews."""

from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st

from services.kernel.ids import ProfileId
from services.segment.domain.preview import MembersTally, SegmentPreview, estimate


def profile(n: int) -> ProfileId:
    return ProfileId(bytes([n]) * 16)


@given(st.data())
def test_estimate_lies_within_bounds_that_what_was_seen_does_not_exclude(
    data: st.DataObject,
) -> None:
    profiles = data.draw(st.integers(1, 10**7))
    evaluated = data.draw(st.integers(1, profiles))
    found = data.draw(st.integers(0, evaluated))
    value, low, high = estimate(found, evaluated, profiles)
    assert found <= low <= value <= high <= profiles - (evaluated - found)
    if evaluated == profiles:
        assert value == low == high == found


def test_bounds_contain_the_true_number_in_about_19_of_20_samples() -> None:
    chance, profiles, members, evaluated = random.Random(7), 20_000, 1_500, 1_000
    everyone = [n < members for n in range(profiles)]
    rounds = 400
    hits = 0
    for _ in range(rounds):
        _, low, high = estimate(sum(chance.sample(everyone, evaluated)), evaluated, profiles)
        hits += low <= members <= high
        assert high - low < 800, "the error is stated, and not everything is within it"
    assert 0.92 * rounds <= hits


def test_nothing_evaluated_of_many_profiles_excludes_nothing() -> None:
    assert estimate(0, 0, 10) == (0, 0, 10)
    assert SegmentPreview([], is_exact=True).estimate(0) == (0, 0, 0)


def test_tally_counts_who_would_enter_and_leave_and_samples_them() -> None:
    tally = MembersTally("vip", sample_size=1)
    tally.add(profile(1), would_be=True, is_member=False, results=["a"])
    tally.add(profile(2), would_be=True, is_member=False, results=["b"])
    tally.add(profile(3), would_be=True, is_member=True)
    tally.add(profile(4), would_be=False, is_member=True)
    tally.add(profile(5), would_be=False, is_member=False)
    assert (tally.size, tally.entering, tally.leaving) == (3, 2, 1)
    assert tally.sample == [(profile(1), ["a"])]
    assert (tally.entering_profiles, tally.leaving_profiles) == ([profile(1)], [profile(4)])
