"""The gate lets a message pass, postpones it, or suppresses it, each time with one reason."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from oracle.mutants import mutated
from properties import examples

from services.activation.domain.policy import gate
from services.activation.domain.policy.gate import (
    PASSED,
    PROFILING,
    AddressState,
    Flow,
    GateAnswer,
    GateMessage,
    GatePerson,
    GateReason,
    SentMessage,
    Verdict,
    consent_of,
    is_held_out,
    pass_gate,
)
from services.kernel.fold.consents import Consent
from services.kernel.ids import LeafId
from services.kernel.journeys.contact_policy import parse_contact_policy
from services.kernel.journeys.model import JourneyCap
from services.kernel.local_time import ZoneHistory
from services.kernel.time import DAY_US, HOUR_US, parse_rfc3339

POLICY = parse_contact_policy(
    {
        "purposes": {
            "marketing": {
                "consent": "granted",
                "quiet": {"from": "21:00", "to": "09:00"},
                "caps": [{"at_most": 1, "in": "24h"}, {"at_most": 3, "in": "7d"}],
            },
            "service": {"consent": "implied", "quiet": {"from": "22:00", "to": "08:00"}},
            "duty": {"consent": "none"},
        },
        "channels": {
            "sms": {
                "marketing": {"only": {"from": "08:00", "to": "20:00", "zone": "Asia/Shanghai"}}
            }
        },
    }
)
#: Noon in Shanghai.
NOON = parse_rfc3339("2026-03-06T04:00:00Z")
LEAF = LeafId(bytes(16))


def answer(at: int, granted: bool, fact: bytes = b"f") -> Consent:
    return (at, int(granted), fact, "web")


YES = {("marketing", ""): answer(1, True)}
MESSAGE = GateMessage(b"e", "j", "marketing", "mail", NOON, LEAF)
PERSON = GatePerson(ZoneHistory("Asia/Shanghai"), YES)


def ask(
    *messages: GateMessage, person: GatePerson = PERSON, now: int = NOON, policy: Any = POLICY
) -> GateAnswer:
    """Return the answer to the first message."""
    return pass_gate(messages, person, policy, now)[messages[0].effect_id]


def suppressed(reason: GateReason, evidence: bytes = b"") -> GateAnswer:
    return GateAnswer(Verdict.SUPPRESS, reason, evidence=evidence)


def sent(
    *hours_ago: float, purpose: str = "marketing", journey: str = "other"
) -> list[SentMessage]:
    return [
        SentMessage(b"s%d" % n, NOON - int(hours * HOUR_US), purpose, journey)
        for n, hours in enumerate(hours_ago)
    ]


def test_message_with_consent_in_open_hours_passes() -> None:
    assert ask(MESSAGE) == PASSED


FAILING: list[tuple[GateReason, dict[str, Any], GateAnswer]] = [
    (GateReason.STOPPED, {"journey": Flow.STOPPED}, suppressed(GateReason.STOPPED)),
    (GateReason.STOPPED, {"destination": Flow.STOPPED}, suppressed(GateReason.STOPPED)),
    (GateReason.PAUSED, {"journey": Flow.PAUSED}, GateAnswer(Verdict.POSTPONE, GateReason.PAUSED)),
    (
        GateReason.PAUSED,
        {"destination": Flow.PAUSED},
        GateAnswer(Verdict.POSTPONE, GateReason.PAUSED),
    ),
    (
        GateReason.EXPIRED,
        {"at_us": NOON - HOUR_US - 1, "valid_us": HOUR_US},
        suppressed(GateReason.EXPIRED),
    ),
    (GateReason.NO_ADDRESS, {"address": AddressState.MISSING}, suppressed(GateReason.NO_ADDRESS)),
    (
        GateReason.ADDRESS_BOUNCED,
        {"address": AddressState.BOUNCED},
        suppressed(GateReason.ADDRESS_BOUNCED),
    ),
    (
        GateReason.ADDRESS_COMPLAINED,
        {"address": AddressState.COMPLAINED},
        suppressed(GateReason.ADDRESS_COMPLAINED),
    ),
    (
        GateReason.ADDRESS_BLOCKED,
        {"address": AddressState.BLOCKED},
        suppressed(GateReason.ADDRESS_BLOCKED),
    ),
    (
        GateReason.IN_ORDER,
        {"has_predecessor": True},
        GateAnswer(Verdict.POSTPONE, GateReason.IN_ORDER),
    ),
]


@pytest.mark.parametrize(
    ("changes", "expected"), [case[1:] for case in FAILING], ids=[str(case[1]) for case in FAILING]
)
def test_message_that_fails_one_check_has_its_reason(
    changes: dict[str, Any], expected: GateAnswer
) -> None:
    assert ask(replace(MESSAGE, **changes)) == expected


def test_first_check_that_fails_gives_the_reason() -> None:
    order = list(GateReason)
    for earlier, first, expected in FAILING:
        for later, second, _ in FAILING:
            if order.index(earlier) < order.index(later) and not first.keys() & second.keys():
                assert ask(replace(MESSAGE, **second, **first)) == expected, (earlier, later)


def test_message_at_the_end_of_its_validity_passes() -> None:
    assert ask(replace(MESSAGE, at_us=NOON - HOUR_US, valid_us=HOUR_US)) == PASSED


@pytest.mark.parametrize(
    ("purpose", "consents", "expected"),
    [
        ("marketing", {}, suppressed(GateReason.NO_CONSENT)),
        ("marketing", {("marketing", ""): answer(1, False)}, "withdrawn"),
        ("marketing", {("marketing", "sms"): answer(1, True)}, suppressed(GateReason.NO_CONSENT)),
        ("marketing", {("marketing", "mail"): answer(1, True)}, PASSED),
        # The last answer counts, whether it is for one channel or for all.
        ("marketing", {**YES, ("marketing", "mail"): answer(2, False)}, "withdrawn"),
        (
            "marketing",
            {("marketing", "mail"): answer(2, True), ("marketing", ""): answer(1, False)},
            PASSED,
        ),
        ("marketing", {("service", ""): answer(1, True)}, suppressed(GateReason.NO_CONSENT)),
        ("service", {}, PASSED),
        ("service", {("service", ""): answer(1, False)}, "withdrawn"),
        ("duty", {}, PASSED),
        ("duty", {("duty", ""): answer(1, False)}, PASSED),
        ("unknown", {}, suppressed(GateReason.NO_CONSENT)),
    ],
)
def test_consent_is_that_of_the_purpose_and_the_channel(
    purpose: str, consents: Any, expected: Any
) -> None:
    if expected == "withdrawn":
        expected = suppressed(GateReason.CONSENT_WITHDRAWN, b"f")
    person = replace(PERSON, consents=consents)
    assert ask(replace(MESSAGE, purpose=purpose), person=person) == expected


def test_consent_of_two_answers_at_one_instant_is_the_grant() -> None:
    both = {("p", ""): answer(1, False, b"z"), ("p", "mail"): answer(1, True, b"a")}
    found = consent_of(both, "p", "mail")
    assert found is not None
    assert found[1] == 1


@pytest.mark.parametrize(
    ("is_personalised", "has_plain_variant", "expected"),
    [
        (False, False, PASSED),
        (True, True, GateAnswer(Verdict.PASS, is_plain=True)),
        (True, False, suppressed(GateReason.PROFILING_REFUSED, b"no")),
    ],
)
def test_refused_profiling_needs_the_plain_variant(
    is_personalised: bool, has_plain_variant: bool, expected: GateAnswer
) -> None:
    person = replace(PERSON, consents={**YES, (PROFILING, ""): answer(1, False, b"no")})
    message = replace(MESSAGE, is_personalised=is_personalised, has_plain_variant=has_plain_variant)
    assert ask(message, person=person) == expected
    assert ask(message) == PASSED


def test_hold_out_keeps_its_share_of_persons_from_marketing_alone() -> None:
    policy = replace(POLICY, hold_out=parse_contact_policy({"hold_out": {"share": "2%"}}).hold_out)
    leaves = [LeafId(number.to_bytes(16, "big")) for number in range(20_000)]
    held_out = [leaf for leaf in leaves if is_held_out(policy, "marketing", leaf)]
    assert abs(len(held_out) - 400) < 100  # five standard deviations
    message = replace(MESSAGE, leaf_id=held_out[0])
    assert ask(message, policy=policy) == suppressed(GateReason.HELD_OUT)
    assert ask(message) == PASSED
    assert not any(is_held_out(policy, "service", leaf) for leaf in leaves)


def test_closed_hours_postpone_a_message_until_they_end() -> None:
    night = parse_rfc3339("2026-03-06T13:00:00Z")  # 21:00 in Shanghai
    postponed = ask(MESSAGE, now=night)
    morning = parse_rfc3339("2026-03-07T01:00:00Z")
    assert postponed == GateAnswer(Verdict.POSTPONE, GateReason.CLOSED_HOURS, morning)
    assert ask(MESSAGE, now=morning) == PASSED


def test_closed_hours_of_a_channel_are_those_of_its_own_zone() -> None:
    person = replace(PERSON, zones=ZoneHistory("America/New_York"))
    message = replace(MESSAGE, channel="sms")
    # 08:30 in New York is 21:30 in Shanghai: there is no common hour until 09:00 and 08:00.
    now = parse_rfc3339("2026-07-06T12:30:00Z")
    postponed = ask(message, person=person, now=now)
    assert postponed.until_us == parse_rfc3339("2026-07-07T00:00:00Z")


def test_message_that_expires_within_closed_hours_is_suppressed_at_once() -> None:
    night = parse_rfc3339("2026-03-06T13:00:00Z")
    message = replace(MESSAGE, at_us=night, valid_us=HOUR_US)
    assert ask(message, now=night) == suppressed(GateReason.EXPIRED)


@pytest.mark.parametrize(
    ("hours_ago", "expected"),
    [
        ([24], PASSED),
        ([23.999], suppressed(GateReason.CAPPED, b"s0")),
        ([25, 50, 167.9], suppressed(GateReason.CAPPED, b"s0")),
        ([25, 50, 168], PASSED),
    ],
)
def test_caps_count_the_messages_of_a_rolling_span(
    hours_ago: list[float], expected: GateAnswer
) -> None:
    assert ask(MESSAGE, person=replace(PERSON, sent=sent(*hours_ago))) == expected


def test_caps_do_not_count_messages_of_other_purposes() -> None:
    assert ask(MESSAGE, person=replace(PERSON, sent=sent(1, purpose="service"))) == PASSED


def test_cap_of_a_journey_counts_its_messages_alone() -> None:
    message = replace(MESSAGE, purpose="duty", journey_caps=(JourneyCap(1, DAY_US),))
    own = replace(PERSON, sent=sent(1, purpose="duty", journey="j"))
    other = replace(PERSON, sent=sent(1, purpose="duty"))
    assert ask(message, person=own) == suppressed(GateReason.CAPPED, b"s0")
    assert ask(message, person=other) == PASSED


def test_message_of_a_replica_whose_clock_is_ahead_counts() -> None:
    assert ask(MESSAGE, person=replace(PERSON, sent=sent(-0.01))).reason is GateReason.CAPPED


def test_cap_leaves_the_most_important_of_many_messages() -> None:
    messages = [
        replace(MESSAGE, effect_id=b"e%d" % n, journey_id=f"j{n}", priority=n % 100)
        for n in range(200)
    ]
    answers = pass_gate(messages, PERSON, POLICY, NOON)
    passed = [id_ for id_, answer_ in answers.items() if answer_.verdict is Verdict.PASS]
    assert passed == [b"e199"]
    others = {a for id_, a in answers.items() if id_ != b"e199"}
    assert others == {suppressed(GateReason.CAPPED, b"e199")}


def test_message_that_is_postponed_leaves_room_below_a_cap() -> None:
    postponed = replace(MESSAGE, priority=90, has_predecessor=True)
    other = replace(MESSAGE, effect_id=b"x")
    assert pass_gate([postponed, other], PERSON, POLICY, NOON)[b"x"] == PASSED


@given(st.lists(st.integers(0, 40), min_size=1, max_size=30), st.integers(1, 3), st.integers(1, 10))
@examples(200)
def test_caps_hold_in_every_span(gaps: list[int], at_most: int, span: int) -> None:
    cap = JourneyCap(at_most, span * HOUR_US)
    now, begun = NOON, list[SentMessage]()
    for number, gap in enumerate(gaps):
        now += gap * HOUR_US // 4
        message = replace(
            MESSAGE, effect_id=b"%d" % number, purpose="duty", at_us=now, journey_caps=(cap,)
        )
        # The messages that the gate has let pass, in any order.
        if ask(message, person=replace(PERSON, sent=begun[::-1]), now=now) == PASSED:
            begun.append(SentMessage(message.effect_id, now, "duty", "j"))
    instants = [message.begun_at_us for message in begun]
    for start in instants:
        inside = [at for at in instants if start <= at < start + cap.in_us]
        assert len(inside) <= at_most
    # No message was refused without need: with it, some span would have had too many.
    assert len(begun) >= 1


@given(st.integers(0, 14 * 24 * 60), st.sampled_from(["mail", "sms"]))
@examples(100)
def test_message_that_is_postponed_passes_at_that_instant_and_not_before(
    minutes: int, channel: str
) -> None:
    now = NOON + minutes * HOUR_US // 60
    message = replace(MESSAGE, channel=channel, at_us=now)
    postponed = ask(message, now=now)
    if postponed == PASSED:
        assert not any(
            window.contains(now, "Asia/Shanghai")
            for window in POLICY.closed_hours("marketing", channel)
        )
        return
    assert postponed.reason is GateReason.CLOSED_HOURS
    assert postponed.until_us is not None
    assert ask(message, now=postponed.until_us) == PASSED
    assert ask(message, now=postponed.until_us - 1) == postponed


def test_order_of_the_messages_does_not_matter() -> None:
    messages = [
        replace(MESSAGE, effect_id=b"%d" % n, at_us=NOON - n % 3, priority=n % 4) for n in range(9)
    ]
    forward = pass_gate(messages, PERSON, POLICY, NOON)
    assert pass_gate(messages[::-1], PERSON, POLICY, NOON) == forward


def test_every_reason_of_the_gate_occurs_in_these_tests() -> None:
    named = {case[0] for case in FAILING} | {
        *(GateReason.NO_CONSENT, GateReason.CONSENT_WITHDRAWN, GateReason.PROFILING_REFUSED),
        *(GateReason.HELD_OUT, GateReason.CLOSED_HOURS, GateReason.CAPPED),
    }
    assert named == set(GateReason)


MUTANTS: dict[str, tuple[Any, str, str]] = {
    "cap_of_a_closed_span": (gate.cap_exceeded, "< cap.in_us", "<= cap.in_us"),
    "cap_of_one_more": (gate.cap_exceeded, ">= cap.at_most", "> cap.at_most"),
    "least_important_first": (gate.pass_gate, "-m.priority", "m.priority"),
    "passed_messages_do_not_count": (gate.pass_gate, "is Verdict.PASS", "is None"),
    "expired_at_the_end": (gate._answer, "now_us > end_us", "now_us >= end_us"),
    "closed_at_the_end": (gate._answer, "open_us > now_us", "open_us >= now_us"),
    "consent_of_all_channels_alone": (gate.consent_of, "(purpose, channel), ", ""),
    "implied_is_granted": (gate._consent_refusal, "need is ConsentNeed.GRANTED", "True"),
    "everybody_is_held_out": (gate.is_held_out, "share_of(", "-share_of("),
    "journey_counts_all": (gate._capped_by, "if m.journey_id == message.journey_id", ""),
    "purpose_counts_all": (gate._capped_by, "if m.purpose == message.purpose", ""),
}


@pytest.mark.parametrize("name", sorted(MUTANTS))
def test_mutant_of_the_gate_is_found_by_the_table(name: str) -> None:
    function, before, after = MUTANTS[name]
    with mutated(function, before, after), pytest.raises(AssertionError):
        _table()


def _table() -> None:
    """Run the tests above that have no random input."""
    test_message_with_consent_in_open_hours_passes()
    test_message_at_the_end_of_its_validity_passes()
    for hours_ago, expected in (([24], PASSED), ([23.9], suppressed(GateReason.CAPPED, b"s0"))):
        test_caps_count_the_messages_of_a_rolling_span(hours_ago, expected)
    for consents in ({("marketing", "mail"): answer(1, True)}, {}):
        passes = PASSED if consents else suppressed(GateReason.NO_CONSENT)
        test_consent_is_that_of_the_purpose_and_the_channel("marketing", consents, passes)
    test_consent_is_that_of_the_purpose_and_the_channel("service", {}, PASSED)
    test_hold_out_keeps_its_share_of_persons_from_marketing_alone()
    test_closed_hours_postpone_a_message_until_they_end()
    test_caps_do_not_count_messages_of_other_purposes()
    test_cap_of_a_journey_counts_its_messages_alone()
    test_cap_leaves_the_most_important_of_many_messages()
