"""Tests what follows from the contract of a channel: lost answers, credentials, and the pace."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from services.activation.domain.channels import (
    CHANNELS,
    receiver_of,
    retained_secrets,
    secret_names,
    targets_of,
)
from services.activation.domain.circuit_breaker import (
    CREDENTIALS_MAX_OPEN_S,
    CREDENTIALS_OPEN_S,
    CircuitBreaker,
)
from services.activation.domain.contracts import (
    ChannelContract,
    Deduplication,
    Pace,
    Repeat,
    age_of,
    position_at,
    repeat_of,
)
from services.activation.domain.message_channels import DingtalkRobot, Smtp
from services.activation.domain.model import DeliveryState
from services.activation.domain.system_channels import Webhook
from services.activation.domain.transitions import (
    AttemptResult,
    AttemptStatus,
    RetryPolicy,
    Transition,
    after_attempt,
)

POLICY = RetryPolicy(max_attempts=3, initial_backoff=1.0)
LOST = AttemptResult(AttemptStatus.LOST, "lost")
PENDING, DEAD, UNCONFIRMED = DeliveryState.PENDING, DeliveryState.DEAD, DeliveryState.UNCONFIRMED


def contract(deduplication: Deduplication) -> ChannelContract:
    return ChannelContract(deduplication, window_s=100.0, known_after_s=60.0)


def after(
    status: AttemptStatus, of: Deduplication, attempt: int = 1, *, unanswered: bool = False
) -> Transition:
    result = AttemptResult(status, "r")
    return after_attempt(result, attempt, POLICY, 0.5, contract(of), unanswered=unanswered)


@pytest.mark.parametrize(
    ("deduplication", "first", "last"),
    [
        (Deduplication.KEYED, PENDING, DEAD),
        (Deduplication.KEYED_FOR_A_WHILE, PENDING, UNCONFIRMED),
        (Deduplication.QUERYABLE, PENDING, UNCONFIRMED),
        (Deduplication.NONE, UNCONFIRMED, UNCONFIRMED),
    ],
)
def test_lost_answer_is_treated_by_the_contract(
    deduplication: Deduplication, first: DeliveryState, last: DeliveryState
) -> None:
    assert after(AttemptStatus.LOST, deduplication).state is first
    assert after(AttemptStatus.LOST, deduplication, 3).state is last


@pytest.mark.parametrize("status", [AttemptStatus.REJECTED, AttemptStatus.ADDRESS_DEAD])
def test_refused_message_is_dead_unless_an_earlier_answer_was_lost(status: AttemptStatus) -> None:
    none = Deduplication.QUERYABLE
    assert after(status, none).state is DEAD
    assert after(status, none, unanswered=True).state is UNCONFIRMED
    # A receiver that drops repeats by the key says of the message that it has not got it.
    assert after(status, Deduplication.KEYED, unanswered=True).state is DEAD


@pytest.mark.parametrize("deduplication", Deduplication)
def test_credentials_never_end_an_effect(deduplication: Deduplication) -> None:
    for attempt in (1, 3, 100):
        transition = after(AttemptStatus.CREDENTIALS, deduplication, attempt)
        assert (transition.state, transition.counts) == (PENDING, False)


def test_query_waits_until_the_provider_knows_what_it_has_accepted() -> None:
    assert after(AttemptStatus.LOST, Deduplication.QUERYABLE).delay >= 60.0
    assert after(AttemptStatus.FAILED, Deduplication.QUERYABLE).delay < 60.0


@pytest.mark.parametrize(
    ("deduplication", "age_s", "repeat"),
    [
        (Deduplication.KEYED, 10.0**9, Repeat.SEND),
        (Deduplication.KEYED_FOR_A_WHILE, 79.0, Repeat.SEND),
        (Deduplication.KEYED_FOR_A_WHILE, 81.0, Repeat.LEAVE),
        (Deduplication.QUERYABLE, 10.0**9, Repeat.QUERY),
        (Deduplication.NONE, 0.0, Repeat.LEAVE),
    ],
)
def test_message_that_may_have_been_sent_is_repeated_as_the_contract_allows(
    deduplication: Deduplication, age_s: float, repeat: Repeat
) -> None:
    assert repeat_of(contract(deduplication), age_s) is repeat


def test_age_of_a_message_without_an_instant_is_infinite() -> None:
    assert age_of(position_at(100.0), 130.0) == 30.0
    assert age_of(b"", 130.0) == float("inf")


@given(
    limit=st.integers(1, 100),
    per_s=st.sampled_from([1.0, 60.0, 3_600.0]),
    gaps=st.lists(st.floats(0, 30), min_size=1, max_size=300),
)
def test_pace_is_never_exceeded_in_any_window(limit: int, per_s: float, gaps: list[float]) -> None:
    pace, now, free_at = Pace(limit, per_s), 0.0, 0.0
    started: list[float] = []
    for gap in gaps:
        now += gap
        free_at = max(free_at, now)
        allowed = pace.allowed(free_at - now)
        free_at += allowed * pace.interval_s
        started += [now] * allowed
    for first in started:
        window = [at for at in started if first <= at < first + per_s * (1 - 1e-9)]
        assert len(window) <= max(limit, 1)


@given(st.integers(1, 100), st.floats(0, 1_000))
# Here a quotient and a difference are rounded to different answers.
@example(19, 23.076923076923077)
@example(56, 26.842105263157897)
def test_attempt_may_start_after_the_wait(limit: int, backlog_s: float) -> None:
    pace = Pace(limit, 60.0)
    wait_s = pace.wait_s(backlog_s)
    assert (wait_s == 0.0) == (pace.allowed(backlog_s) > 0)
    assert pace.allowed(max(0.0, backlog_s - wait_s - 1e-6)) > 0


def test_first_attempt_with_wrong_credentials_pauses_the_destination() -> None:
    result, breaker, now = AttemptResult(AttemptStatus.CREDENTIALS), CircuitBreaker(), 100.0
    opened = breaker.after_attempt(result, now, POLICY)
    assert opened.open_until == now + CREDENTIALS_OPEN_S
    assert opened.concurrency(32) == 1
    assert opened.after_attempt(result, now + 1, POLICY) == opened, "others were in flight"
    pauses = []
    for _ in range(10):
        now = opened.open_until
        opened = opened.after_attempt(result, now, POLICY)
        pauses.append(opened.open_until - now)
    assert pauses == sorted(pauses)
    assert pauses[-1] == CREDENTIALS_MAX_OPEN_S
    delivered = opened.after_attempt(AttemptResult(AttemptStatus.DELIVERED), now, POLICY)
    assert delivered.concurrency(32) == 32


def test_dead_address_says_nothing_against_the_provider() -> None:
    dead = AttemptResult(AttemptStatus.ADDRESS_DEAD)
    assert CircuitBreaker(15, 1).after_attempt(dead, 1.0, POLICY) == CircuitBreaker()
    assert CircuitBreaker(15).after_attempt(LOST, 1.0, POLICY).failures == 16


@pytest.mark.parametrize("kind", CHANNELS.values(), ids=CHANNELS)
def test_no_text_of_a_channel_has_a_secret(kind: type) -> None:
    settings = {field.name: "" for field in dataclasses.fields(kind)}
    secret = {name: f"planted-{name}" for name in secret_names(kind)}
    assert "planted" not in repr(kind(**{**settings, **secret}))


def test_secrets_are_retained_where_they_are_of_use() -> None:
    current = Smtp(host="h", username="u", password="p", dkim_domain="d", dkim_private_key="k")
    assert retained_secrets(Smtp(host="h"), current) == {}
    assert retained_secrets(Smtp(host="h", username="u"), current) == {"password": "p"}
    assert retained_secrets(Smtp(username="u", password="q"), current) == {}
    robot = DingtalkRobot(access_token="t", signing_secret="s")
    assert retained_secrets(DingtalkRobot(access_token="u"), robot) == {"signing_secret": "s"}


def test_every_address_that_a_channel_dials_is_a_target_and_decides_the_receiver() -> None:
    assert dict(targets_of(Smtp(host="::1", port=25))) == {"host": "http://[::1]:25"}
    assert dict(targets_of(Smtp(host="h", security="tls"))) == {"host": "http://h:465"}
    assert dict(targets_of(Webhook("https://x.example/", ""))) == {"url": "https://x.example/"}
    for kind in CHANNELS.values():
        names = [f.name for f in dataclasses.fields(kind) if f.name.endswith("endpoint")]
        channel = kind(**{f.name: "" for f in dataclasses.fields(kind)})
        for name in names:
            dialled = dataclasses.replace(channel, **{name: "http://10.0.0.1/"})
            assert (name, "http://10.0.0.1/") in list(targets_of(dialled))
            assert receiver_of(dialled) != receiver_of(channel)
