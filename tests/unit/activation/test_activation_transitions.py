"""Tests the effects of a membership change, and the transitions after an attempt."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.activation.domain.model import (
    DeliveryState,
    Destination,
    Trigger,
    TriggeringChange,
    effect_id,
)
from services.activation.domain.system_channels import NatsSubject, Webhook
from services.activation.domain.transitions import (
    AttemptResult,
    AttemptStatus,
    RetryPolicy,
    Transition,
    after_attempt,
    plan_effects,
    requeue,
)
from services.kernel.ids import ProfileId, WorkspaceId

W = WorkspaceId("school")
PROFILE = ProfileId(bytes(range(16)))
BOTH = frozenset(Trigger)
COUPON = Destination(
    W, "coupon", 1, "", NatsSubject("out.coupons"), ("trial",), BOTH, b"{}", ("city",)
)
SECONDS = st.floats(0, 100_000)
POLICIES = st.builds(
    RetryPolicy,
    max_attempts=st.integers(1, 3_000),
    initial_backoff=st.floats(0.001, 100),
    max_backoff=st.floats(0.001, 100_000),
)
FAILED = st.builds(AttemptResult, st.just(AttemptStatus.FAILED), st.just("HTTP 500"), SECONDS)


def change(ordinal: int = 1, **fields: object) -> TriggeringChange:
    trigger = Trigger.ENTERED if ordinal % 2 else Trigger.LEFT
    plain = TriggeringChange(W, "trial", PROFILE, trigger, ordinal, 1_000, by_merge=False)
    return replace(plain, **fields)  # type: ignore[arg-type]


def test_effects_are_planned_for_subscribed_destinations() -> None:
    only_left = replace(COUPON, destination_id="bye", triggers=frozenset({Trigger.LEFT}))
    effects = plan_effects([change(1), change(2)], [COUPON, only_left])
    assert [(e.destination_id, e.trigger, e.ordinal, e.state) for e in effects] == [
        ("coupon", Trigger.ENTERED, 1, DeliveryState.PENDING),
        ("coupon", Trigger.LEFT, 2, DeliveryState.PENDING),
        ("bye", Trigger.LEFT, 2, DeliveryState.PENDING),
    ]


def test_effect_of_a_merge_is_suppressed() -> None:
    (effect,) = plan_effects([change(by_merge=True)], [COUPON])
    assert effect.state is DeliveryState.SUPPRESSED
    assert "merge" in effect.reason


@pytest.mark.parametrize(
    "unsubscribed",
    [
        replace(COUPON, retired=True),
        replace(COUPON, segment_ids=("other",)),
        replace(COUPON, triggers=frozenset({Trigger.LEFT})),
        replace(COUPON, workspace_id=WorkspaceId("other")),
    ],
)
def test_unsubscribed_destination_gets_no_effect(unsubscribed: Destination) -> None:
    assert not plan_effects([change(1)], [unsubscribed])


def test_predecessor_is_the_previous_ordinal_that_triggers() -> None:
    only_entered = replace(COUPON, triggers=frozenset({Trigger.ENTERED}))
    assert [COUPON.predecessor(n) for n in (1, 2, 3)] == [0, 1, 2]
    assert [only_entered.predecessor(n) for n in (1, 3, 5)] == [0, 1, 3]
    only_left = replace(COUPON, triggers=frozenset({Trigger.LEFT}))
    assert [only_left.predecessor(n) for n in (2, 4)] == [0, 2]


def test_effect_ids_are_stable() -> None:
    """Receivers recognise a repeat by them."""
    one = effect_id(W, "coupon", "high-intent", PROFILE, 1)
    assert one.hex() == "4989565c15f79c7803dbb958127753cd"
    assert effect_id(W, "coupon", "高意向", PROFILE, 2).hex() == "8c4a781716cf78645e710ae794b42a84"


@given(st.lists(st.tuples(*[st.sampled_from(["a", "b", "ab", ""])] * 3, st.integers(1, 3))))
def test_effect_ids_are_unique(keys: list[tuple[str, str, str, int]]) -> None:
    ids = {effect_id(WorkspaceId(w), d, s, PROFILE, n) for w, d, s, n in keys}
    assert len(ids) == len(set(keys))


def test_text_of_a_destination_contains_no_secret() -> None:
    with_secret = replace(COUPON, channel=Webhook("https://x.example/in", "whsec_c2VjcmV0"))
    assert "whsec_" not in repr(with_secret)
    assert "whsec_" not in str(with_secret)


def test_delivered_and_rejected_attempts_end_the_effect() -> None:
    policy = RetryPolicy()
    delivered = after_attempt(AttemptResult(AttemptStatus.DELIVERED, "HTTP 200"), 1, policy, 0.5)
    assert delivered == Transition(DeliveryState.DELIVERED, "HTTP 200")
    rejected = after_attempt(AttemptResult(AttemptStatus.REJECTED, "HTTP 400"), 1, policy, 0.5)
    assert rejected == Transition(DeliveryState.DEAD, "HTTP 400")


def test_requeued_attempt_does_not_count() -> None:
    requeued = requeue("profile is away", 1.0)
    assert requeued == Transition(DeliveryState.PENDING, "profile is away", 1.0, counts=False)


@given(FAILED, POLICIES, st.floats(0, 1))
def test_attempts_are_bounded(result: AttemptResult, policy: RetryPolicy, jitter: float) -> None:
    last = after_attempt(result, policy.max_attempts, policy, jitter)
    assert (last.state, last.reason) == (DeliveryState.DEAD, "HTTP 500")
    for attempt in range(1, min(policy.max_attempts, 50)):
        assert after_attempt(result, attempt, policy, jitter).state is DeliveryState.PENDING


@given(FAILED, POLICIES, st.data())
def test_delay_is_bounded_and_respects_retry_after(
    result: AttemptResult, policy: RetryPolicy, data: st.DataObject
) -> None:
    attempt = data.draw(st.integers(1, max(1, policy.max_attempts - 1)))
    transition = after_attempt(result, attempt, policy, data.draw(st.floats(0, 1)))
    if transition.state is DeliveryState.PENDING:
        assert transition.delay >= result.retry_after
        assert transition.delay <= max(1.25 * policy.max_backoff, result.retry_after)


@given(POLICIES, st.integers(1, 2_998), st.floats(0, 1), st.floats(0, 1))
def test_delay_grows_up_to_the_maximum(
    policy: RetryPolicy, attempt: int, one: float, other: float
) -> None:
    policy = replace(policy, max_attempts=3_000)
    failed = AttemptResult(AttemptStatus.FAILED, "")
    first = after_attempt(failed, attempt, policy, one).delay
    second = after_attempt(failed, attempt + 1, policy, other).delay
    assert second > first or second >= 0.75 * policy.max_backoff


def test_attempts_outlast_an_outage_of_half_a_day() -> None:
    policy = RetryPolicy()
    failed = AttemptResult(AttemptStatus.FAILED, "")
    delays = [after_attempt(failed, n, policy, 0.5).delay for n in range(1, policy.max_attempts)]
    assert sum(delays) > 12 * 3_600


def test_delays_are_spread_by_the_jitter() -> None:
    """Without a spread, all that failed together would be retried together."""
    policy = RetryPolicy(initial_backoff=8.0)
    failed = AttemptResult(AttemptStatus.FAILED, "")
    delays = [after_attempt(failed, 2, policy, jitter).delay for jitter in (0.0, 0.25, 0.5, 1.0)]
    assert delays == [12.0, 14.0, 16.0, 20.0]
