"""The headers of a message are valid for exactly that message and the bus key."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.chassis.messaging.envelope import (
    CLAIM_CHECK,
    LIFE_HEADER,
    MAC_HEADER,
    RANGE_HEADER,
    Envelope,
    MessageAuthenticator,
    range_of,
)

KEY, OTHER_KEY = "a bus key of at least 32 characters", "another bus key of 32 characters"
SUBJECT, PAYLOAD = "onefold.log.1", b"facts"
OURS = MessageAuthenticator(KEY)

ENVELOPES = st.builds(
    lambda first, length, is_claim_check, life: Envelope(
        first, first + length, is_claim_check, life
    ),
    st.integers(0, 10**12),
    st.integers(1, 10**6),
    st.booleans(),
    st.integers(0, 2**62),
)
SUBJECTS = st.from_regex(r"onefold\.[a-z]{1,8}\.[0-9]{1,4}", fullmatch=True)


@given(SUBJECTS, ENVELOPES, st.binary(max_size=200))
def test_headers_are_valid_for_their_message(
    subject: str, envelope: Envelope, payload: bytes
) -> None:
    headers = OURS.headers(subject, envelope, payload)
    assert OURS.verify(subject, headers, payload) == envelope


@given(
    st.tuples(SUBJECTS, ENVELOPES, st.binary(max_size=50)),
    st.tuples(SUBJECTS, ENVELOPES, st.binary(max_size=50)),
)
def test_mac_of_another_message_is_not_valid(
    one: tuple[str, Envelope, bytes], two: tuple[str, Envelope, bytes]
) -> None:
    """A replay on another subject, with another range or payload, is a forgery."""
    moved = OURS.headers(*one) | {MAC_HEADER: OURS.headers(*two)[MAC_HEADER]}
    assert (OURS.verify(one[0], moved, one[2]) is None) == (one != two)


@pytest.mark.parametrize(
    "change",
    [
        {CLAIM_CHECK: "1"},
        {RANGE_HEADER: "0-6"},
        {RANGE_HEADER: "1-5"},
        {RANGE_HEADER: "5-0"},
        {RANGE_HEADER: ""},
        {RANGE_HEADER: "-5"},
        {RANGE_HEADER: "0-5-5"},
        {RANGE_HEADER: "٠-٥"},
        {RANGE_HEADER: "0-" + "9" * 5000},
        {LIFE_HEADER: "1"},
        {LIFE_HEADER: "-1"},
        {LIFE_HEADER: "9" * 5000},
        {MAC_HEADER: ""},
        {MAC_HEADER: "0" * 64},
        {MAC_HEADER: "é" * 64},
        {MAC_HEADER: "\udcff"},
    ],
)
def test_changed_headers_are_not_valid(change: dict[str, str]) -> None:
    headers = OURS.headers(SUBJECT, Envelope(0, 5), PAYLOAD)
    assert OURS.verify(SUBJECT, headers, PAYLOAD)
    assert OURS.verify(SUBJECT, headers | change, PAYLOAD) is None


def test_life_cannot_be_removed() -> None:
    headers = OURS.headers(SUBJECT, Envelope(0, 5, life=7), PAYLOAD)
    del headers[LIFE_HEADER]
    assert OURS.verify(SUBJECT, headers, PAYLOAD) is None


def test_claim_check_cannot_be_removed() -> None:
    headers = OURS.headers(SUBJECT, Envelope(0, 5, is_claim_check=True), b"")
    del headers[CLAIM_CHECK]
    assert OURS.verify(SUBJECT, headers, b"") is None


@pytest.mark.parametrize("headers", [None, {}, {RANGE_HEADER: "0-5"}, {MAC_HEADER: "0" * 64}])
def test_message_without_range_or_mac_is_not_valid(headers: dict[str, str] | None) -> None:
    assert OURS.verify(SUBJECT, headers, PAYLOAD) is None


def test_message_of_another_bus_key_is_valid_only_where_that_was_the_previous_one() -> None:
    theirs = MessageAuthenticator(OTHER_KEY)
    headers = theirs.headers(SUBJECT, Envelope(0, 5), PAYLOAD)
    assert OURS.verify(SUBJECT, headers, PAYLOAD) is None
    both = MessageAuthenticator(KEY, OTHER_KEY)
    assert both.verify(SUBJECT, headers, PAYLOAD) == Envelope(0, 5)
    assert both.headers(SUBJECT, Envelope(0, 5), PAYLOAD) == OURS.headers(
        SUBJECT, Envelope(0, 5), PAYLOAD
    )


def test_range_of_headers_is_half_open_and_never_empty() -> None:
    assert range_of({RANGE_HEADER: "3-7"}) == (3, 7)
    assert range_of({RANGE_HEADER: "7-7"}) is None
    assert range_of(None) is None
