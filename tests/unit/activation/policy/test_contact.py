"""Tests what the gate reads of persons: consents by channel, addresses, validity after pauses."""

from __future__ import annotations

import pytest

from services.activation.domain.journeys.catalogue import FlowChange, Overdue
from services.activation.domain.policy.contact import (
    StatedConsent,
    address_key,
    address_of,
    consents_of,
    flow_of,
    valid_until,
)
from services.activation.domain.policy.gate import Flow, consent_of


def test_consent_in_a_channel_says_nothing_about_others() -> None:
    stated = [
        StatedConsent("marketing", True, 1, b"a", "web"),
        StatedConsent("marketing.sms", False, 2, b"b", "web"),
        StatedConsent("third.party", False, 3, b"c", "web"),
    ]
    consents = consents_of(stated)
    assert consent_of(consents, "marketing", "email") == (1, 1, b"a", "web")
    assert consent_of(consents, "marketing", "sms") == (2, 0, b"b", "web")
    # A purpose may have a dot of its own.
    assert consent_of(consents, "third.party", "sms") == (3, 0, b"c", "web")


def test_address_is_an_identifier_or_a_trait() -> None:
    identifiers = [("phone", "+86138"), ("email", "li@x.example"), ("email", "2@x.example")]
    traits = {"mail": " li@y.example ", "age": 3}
    assert address_of(identifiers, traits, "identifier email") == "li@x.example"
    assert address_of(identifiers, traits, "trait mail") == "li@y.example"
    assert address_of(identifiers, traits, "trait age") == ""
    assert address_of(identifiers, traits, "identifier openid") == ""


def test_address_key_is_of_one_workspace_and_channel_and_of_all_spellings() -> None:
    key = address_key("school", "email", "Li@X.example")
    assert key == address_key("school", "email", " li@x.example")
    others = {address_key("shop", "email", "li@x.example")}
    others.add(address_key("school", "sms", "li@x.example"))
    assert key not in others
    assert len(others) == 2


def _changes(*changes: tuple[int, Flow, Overdue]) -> list[FlowChange]:
    return [FlowChange(*change, version) for version, change in enumerate(changes, 1)]


@pytest.mark.parametrize(
    ("at_us", "until_us", "overdue", "expected"),
    [
        (20, 30, Overdue.SKIP, 30),
        (20, 30, Overdue.SEND, 0),
        (20, 30, Overdue.RESCHEDULE, 60),
        # Valid without limit, due after the pause, over before it.
        (20, 0, Overdue.RESCHEDULE, 0),
        (55, 65, Overdue.RESCHEDULE, 65),
        (1, 5, Overdue.SEND, 5),
    ],
)
def test_resumption_says_until_when_what_was_due_in_the_pause_is_valid(
    at_us: int, until_us: int, overdue: Overdue, expected: int
) -> None:
    changes = _changes((10, Flow.PAUSED, Overdue.SKIP), (50, Flow.OPEN, overdue))
    assert valid_until(at_us, until_us, changes) == expected
    assert flow_of(changes) is Flow.OPEN
    assert flow_of(changes[:1]) is Flow.PAUSED
    assert flow_of([]) is Flow.OPEN


def test_second_pause_counts_from_the_end_of_the_first() -> None:
    pauses = [(10, Flow.PAUSED, Overdue.SKIP), (50, Flow.OPEN, Overdue.RESCHEDULE)]
    again = [(55, Flow.PAUSED, Overdue.SKIP), (90, Flow.OPEN, Overdue.RESCHEDULE)]
    assert valid_until(20, 30, _changes(*pauses, *again)) == 100
