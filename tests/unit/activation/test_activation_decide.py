"""What is to be sent to whom, and what follows from an attempt."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.activation.domain.model import (
    Change,
    Destination,
    NatsSubject,
    State,
    Trigger,
    Webhook,
    effect_id,
)
from services.activation.domain.transitions import (
    Next,
    Outcome,
    Retries,
    Verdict,
    after_attempt,
    effects,
    put_back,
)
from services.kernel.ids import ProfileId, WorkspaceId

W = WorkspaceId("school")
PERSON = ProfileId(bytes(range(16)))
BOTH = frozenset(Trigger)
COUPON = Destination(
    W, "coupon", 1, "", NatsSubject("out.coupons"), ("trial",), BOTH, b"{}", ("city",)
)
SECONDS = st.floats(0, 100_000)
RETRIES = st.builds(
    Retries,
    attempts=st.integers(1, 3_000),
    first_pause=st.floats(0.001, 100),
    longest_pause=st.floats(0.001, 100_000),
)
FAILED = st.builds(Outcome, st.just(Verdict.FAILED), st.just("HTTP 500"), SECONDS)


def change(ordinal: int = 1, **fields: object) -> Change:
    trigger = Trigger.ENTERED if ordinal % 2 else Trigger.LEFT
    told = Change(W, "trial", PERSON, trigger, ordinal, 1_000, by_merge=False)
    return replace(told, **fields)  # type: ignore[arg-type]


def test_entering_and_leaving_are_told_to_those_who_want_to_hear_of_it() -> None:
    only_left = replace(COUPON, destination_id="bye", triggers=frozenset({Trigger.LEFT}))
    told = effects([change(1), change(2)], [COUPON, only_left])
    assert [(e.destination_id, e.trigger, e.ordinal, e.state) for e in told] == [
        ("coupon", Trigger.ENTERED, 1, State.PENDING),
        ("coupon", Trigger.LEFT, 2, State.PENDING),
        ("bye", Trigger.LEFT, 2, State.PENDING),
    ]


def test_a_merge_is_kept_and_not_told_again() -> None:
    (told,) = effects([change(by_merge=True)], [COUPON])
    assert told.state is State.SUPPRESSED
    assert "merge" in told.reason


@pytest.mark.parametrize(
    "deaf",
    [
        replace(COUPON, retired=True),
        replace(COUPON, segment_ids=("other",)),
        replace(COUPON, triggers=frozenset({Trigger.LEFT})),
        replace(COUPON, workspace_id=WorkspaceId("other")),
    ],
)
def test_others_hear_nothing(deaf: Destination) -> None:
    assert not effects([change(1)], [deaf])


def test_an_effect_knows_what_goes_before_it() -> None:
    only_entered = replace(COUPON, triggers=frozenset({Trigger.ENTERED}))
    assert [COUPON.before(n) for n in (1, 2, 3)] == [0, 1, 2]
    assert [only_entered.before(n) for n in (1, 3, 5)] == [0, 1, 3]
    only_left = replace(COUPON, triggers=frozenset({Trigger.LEFT}))
    assert [only_left.before(n) for n in (2, 4)] == [0, 2]


def test_ids_of_effects_never_change() -> None:
    """They are the keys by which receivers know a repeat."""
    one = effect_id(W, "coupon", "high-intent", PERSON, 1)
    assert one.hex() == "4989565c15f79c7803dbb958127753cd"
    assert effect_id(W, "coupon", "高意向", PERSON, 2).hex() == "8c4a781716cf78645e710ae794b42a84"


@given(st.lists(st.tuples(*[st.sampled_from(["a", "b", "ab", ""])] * 3, st.integers(1, 3))))
def test_no_two_effects_share_an_id(told: list[tuple[str, str, str, int]]) -> None:
    ids = {effect_id(WorkspaceId(w), d, s, PERSON, n) for w, d, s, n in told}
    assert len(ids) == len(set(told))


def test_a_secret_is_in_no_text_of_a_destination() -> None:
    with_secret = replace(COUPON, channel=Webhook("https://x.example/in", "whsec_c2VjcmV0"))
    assert "whsec_" not in repr(with_secret)
    assert "whsec_" not in str(with_secret)


def test_what_is_delivered_or_refused_is_over() -> None:
    retries = Retries()
    delivered = after_attempt(Outcome(Verdict.DELIVERED, "HTTP 200"), 1, retries, 0.5)
    assert delivered == Next(State.DELIVERED, "HTTP 200")
    refused = after_attempt(Outcome(Verdict.REFUSED, "HTTP 400"), 1, retries, 0.5)
    assert refused == Next(State.DEAD, "HTTP 400")


def test_what_was_not_sent_does_not_count() -> None:
    assert put_back("profile is away", 1.0) == Next(State.PENDING, "profile is away", 1.0, False)


@given(FAILED, RETRIES, st.floats(0, 1))
def test_attempts_are_bounded(outcome: Outcome, retries: Retries, jitter: float) -> None:
    last = after_attempt(outcome, retries.attempts, retries, jitter)
    assert (last.state, last.reason) == (State.DEAD, "HTTP 500")
    for attempt in range(1, min(retries.attempts, 50)):
        assert after_attempt(outcome, attempt, retries, jitter).state is State.PENDING


@given(FAILED, RETRIES, st.data())
def test_a_pause_is_bounded_and_never_shorter_than_asked(
    outcome: Outcome, retries: Retries, data: st.DataObject
) -> None:
    attempt = data.draw(st.integers(1, max(1, retries.attempts - 1)))
    end = after_attempt(outcome, attempt, retries, data.draw(st.floats(0, 1)))
    if end.state is State.PENDING:
        assert end.pause >= outcome.retry_after
        assert end.pause <= max(1.25 * retries.longest_pause, outcome.retry_after)


@given(RETRIES, st.integers(1, 2_998), st.floats(0, 1), st.floats(0, 1))
def test_a_pause_grows_until_it_is_the_longest(
    retries: Retries, attempt: int, one: float, other: float
) -> None:
    retries = replace(retries, attempts=3_000)
    failed = Outcome(Verdict.FAILED, "")
    first = after_attempt(failed, attempt, retries, one).pause
    second = after_attempt(failed, attempt + 1, retries, other).pause
    assert second > first or second >= 0.75 * retries.longest_pause


def test_a_day_of_outage_does_not_use_up_the_attempts() -> None:
    retries = Retries()
    failed = Outcome(Verdict.FAILED, "")
    pauses = [after_attempt(failed, n, retries, 0.5).pause for n in range(1, retries.attempts)]
    assert sum(pauses) > 12 * 3_600
