"""How fast a destination is tried."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from services.activation.domain.circuit_breaker import FULL, LONGEST_REST, PATIENCE, Pace, paced
from services.activation.domain.transitions import Outcome, Retries, Verdict

RETRIES = Retries()
FAILED, DELIVERED = Outcome(Verdict.FAILED), Outcome(Verdict.DELIVERED)
REFUSED = Outcome(Verdict.REFUSED)


def after(outcomes: list[Outcome], now: float = 100.0) -> Pace:
    pace = Pace()
    for outcome in outcomes:
        pace = paced(pace, outcome, now, RETRIES)
    return pace


def test_some_failures_slow_nothing() -> None:
    pace = after([FAILED] * (PATIENCE - 1))
    assert (pace.width, pace.not_before) == (FULL, 100.0)


def test_a_destination_that_is_down_is_tried_one_by_one_with_growing_rests() -> None:
    pace = after([FAILED] * PATIENCE)
    rests = []
    now = 100.0
    while len(rests) < 10:
        assert pace.width == 1
        rests.append(pace.not_before - now)
        now = pace.not_before
        pace = paced(pace, FAILED, now, RETRIES)
    assert rests == [1, 2, 4, 8, 16, 32, LONGEST_REST, LONGEST_REST, LONGEST_REST, LONGEST_REST]


def test_many_that_fail_together_ask_for_one_rest() -> None:
    pace = after([FAILED] * FULL)
    assert (pace.rests, pace.not_before) == (1, 101.0)


def test_one_answer_brings_it_back() -> None:
    assert after([FAILED] * PATIENCE + [DELIVERED]).width == FULL
    assert after([FAILED] * PATIENCE + [REFUSED]).width == FULL


def test_a_receiver_that_names_a_time_is_not_asked_before() -> None:
    busy = Outcome(Verdict.FAILED, "HTTP 429", 30.0)
    assert after([busy]).not_before == 130.0
    assert after([busy, DELIVERED]).not_before == 130.0, "one that was on its way takes it back"


@given(st.lists(st.tuples(st.sampled_from([FAILED, DELIVERED, REFUSED]), st.floats(0, 1e6))))
def test_no_rest_is_without_end(told: list[tuple[Outcome, float]]) -> None:
    pace, now = Pace(), 0.0
    for outcome, passed in told:
        now += passed
        pace = paced(pace, outcome, now, RETRIES)
        assert pace.not_before <= now + max(LONGEST_REST, RETRIES.longest_pause)
        assert pace.width >= 1
