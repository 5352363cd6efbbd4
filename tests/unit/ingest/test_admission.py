"""Tests the admission of events, which all endpoints share."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import count

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.ingest.domain.admission import admit
from services.ingest.domain.events import Accepted, EventType, RawEvent, Refusal, Source
from services.ingest.domain.timestamps import EARLIEST_US, TOLERANCE_US
from services.kernel.identifiers.model import Identifier
from services.kernel.identifiers.normalize import expected_format
from services.kernel.identifiers.priority import leaf_of
from services.kernel.time import DAY_US, HOUR_US, MINUTE_US, SECOND_US, parse_rfc3339, to_rfc3339
from tests.index_key import INDEX_KEY

NOW = parse_rfc3339("2026-11-21T20:00:00Z")
SITE = Source("default", "site", INDEX_KEY, "web")
EVENT = RawEvent(EventType.TRACK, "Signed Up", "m-1", (("user_id", "u1"),))


def accepted(raw: RawEvent, source: Source = SITE, now_us: int = NOW) -> Accepted:
    outcome = admit(raw, source, now_us, lambda: "new-id")
    assert isinstance(outcome, Accepted), outcome
    return outcome


def refusal_of(raw: RawEvent) -> Refusal:
    outcome = admit(raw, SITE, NOW, lambda: "new-id")
    assert isinstance(outcome, Refusal), outcome
    return outcome


def new_ids() -> Iterator[str]:
    return (f"id-{n}" for n in count())


class TestIdentifiers:
    def test_leaf_is_that_of_the_identifier_with_the_highest_priority(self) -> None:
        raw = EVENT._replace(identifiers=(("anonymous_id", "a1"), ("user_id", "u1")))
        assert accepted(raw).leaf_id == leaf_of("default", [Identifier("user_id", "u1")], INDEX_KEY)

    def test_leaf_is_that_of_the_normalised_identifier(self) -> None:
        raw = EVENT._replace(identifiers=(("email", " Li@Example.CN "),))
        assert accepted(raw).leaf_id == leaf_of(
            "default", [Identifier("email", "li@example.cn")], INDEX_KEY
        )

    @pytest.mark.parametrize(
        "placeholder", ["", "  ", "null", "undefined", "00000000", "NaN", "０００"]
    )
    def test_placeholder_alone_is_refused(self, placeholder: str) -> None:
        assert (
            refusal_of(EVENT._replace(identifiers=(("user_id", placeholder),))).reason
            == "NO_IDENTIFIER"
        )

    def test_placeholder_beside_a_valid_identifier_is_ignored(self) -> None:
        raw = EVENT._replace(identifiers=(("user_id", "null"), ("anonymous_id", "a1")))
        assert accepted(raw).leaf_id == leaf_of(
            "default", [Identifier("anonymous_id", "a1")], INDEX_KEY
        )

    def test_event_without_identifiers_is_refused(self) -> None:
        assert refusal_of(EVENT._replace(identifiers=())).reason == "NO_IDENTIFIER"

    @pytest.mark.parametrize("value", [12, 1.5, True, ["u1"], {"id": "u1"}, "x" * 513])
    def test_identifier_of_a_wrong_type_or_form_is_refused(self, value: object) -> None:
        raw = EVENT._replace(identifiers=(("anonymous_id", "a1"), ("user_id", value)))
        assert refusal_of(raw)[:2] == ("IDENTIFIER_INVALID", "identifiers[1]")

    @pytest.mark.parametrize("namespace", ["", "User", "a b", "x" * 65, "名"])
    def test_invalid_namespace_is_refused(self, namespace: str) -> None:
        raw = EVENT._replace(identifiers=((namespace, "u1"),))
        assert refusal_of(raw).reason == "IDENTIFIER_INVALID"

    @pytest.mark.parametrize(
        "value", ["u\x01", "u\0v", "\u202e\u202c", "\u200b", "1.38E+10", "\ud800"]
    )
    def test_unusable_identifier_beside_a_valid_one_is_counted(self, value: str) -> None:
        raw = EVENT._replace(identifiers=(("anonymous_id", "a1"), ("user_id", value)))
        outcome = accepted(raw)
        assert outcome.leaf_id == leaf_of("default", [Identifier("anonymous_id", "a1")], INDEX_KEY)
        assert outcome.unusable_identifiers == 1
        alone = EVENT._replace(identifiers=(("user_id", value),))
        assert refusal_of(alone).reason == "NO_IDENTIFIER"

    @pytest.mark.parametrize(
        "phone", ["139\u00a01234\u00a05678", "\u202a13912345678\u202c", "139\u200b1234\u00ad5678"]
    )
    def test_phone_with_hidden_characters_is_the_phone(self, phone: str) -> None:
        raw = EVENT._replace(identifiers=(("phone", phone), ("user_id", "u1")))
        assert accepted(raw).unusable_identifiers == 0
        alone = accepted(EVENT._replace(identifiers=(("phone", phone),)))
        assert alone.leaf_id == leaf_of(
            "default", [Identifier("phone", "+8613912345678")], INDEX_KEY
        )

    def test_more_than_64_identifiers_are_refused(self) -> None:
        many = tuple(("device_id", f"d{n}") for n in range(65))
        assert refusal_of(EVENT._replace(identifiers=many)).reason == "IDENTIFIER_INVALID"

    def test_alias_without_two_different_identifiers_is_refused(self) -> None:
        alias = EVENT._replace(type=EventType.ALIAS, name="")
        assert refusal_of(alias).reason == "NO_IDENTIFIER"
        same = (("user_id", "u1"), ("user_id", " u1"))
        assert refusal_of(alias._replace(identifiers=same)).reason == "NO_IDENTIFIER"
        accepted(alias._replace(identifiers=(("user_id", "u1"), ("anonymous_id", "a1"))))

    @pytest.mark.parametrize("phone", ["+86 138-0000-0000", "138 0000 0000", "13800000000"])
    def test_spellings_of_a_phone_number_have_one_leaf(self, phone: str) -> None:
        raw = EVENT._replace(identifiers=(("phone", phone),))
        assert accepted(raw).leaf_id == leaf_of(
            "default", [Identifier("phone", "+8613800000000")], INDEX_KEY
        )

    def test_national_phone_number_is_read_in_the_region_of_the_workspace(self) -> None:
        raw = EVENT._replace(identifiers=(("phone", "(650) 253-0000"),))
        assert refusal_of(raw).reason == "NO_IDENTIFIER"
        leaf_id = accepted(raw, SITE._replace(region="US")).leaf_id
        assert leaf_id == leaf_of("default", [Identifier("phone", "+16502530000")], INDEX_KEY)

    def test_invalid_phone_number_beside_a_valid_identifier_is_ignored(self) -> None:
        raw = EVENT._replace(identifiers=(("phone", "138"), ("user_id", "u1")))
        assert accepted(raw).leaf_id == leaf_of("default", [Identifier("user_id", "u1")], INDEX_KEY)

    def test_refusal_describes_the_expected_format(self) -> None:
        message = refusal_of(EVENT._replace(identifiers=(("phone", "138"), ("idfa", "0")))).message
        assert f"phone needs {expected_format('phone', 'CN')}" in message
        assert f"idfa needs {expected_format('idfa', 'CN')}" in message

    def test_refusal_message_holds_no_value(self) -> None:
        raw = EVENT._replace(identifiers=(("phone", "13800138000\x01"),))
        assert "138001" not in refusal_of(raw).message


class TestMessageId:
    def test_fact_id_is_derived_from_the_message_id(self) -> None:
        outcome = accepted(EVENT)
        assert outcome.message_id == "m-1"
        assert outcome.fact_id == INDEX_KEY.event_fact_id("default", "site", "m-1", outcome.leaf_id)

    @pytest.mark.parametrize("blank", ["", "   ", None])
    def test_missing_message_id_is_replaced_by_a_new_one(self, blank: object) -> None:
        ids = new_ids()
        first = admit(EVENT._replace(message_id=blank), SITE, NOW, lambda: next(ids))
        second = admit(EVENT._replace(message_id=blank), SITE, NOW, lambda: next(ids))
        assert isinstance(first, Accepted)
        assert isinstance(second, Accepted)
        assert first.fact_id != second.fact_id

    @pytest.mark.parametrize("bad", ["x" * 101, "a\nb", "a\0", 7, 0, {}, ["m"]])
    def test_invalid_message_id_is_refused(self, bad: object) -> None:
        assert refusal_of(EVENT._replace(message_id=bad)).reason == "MESSAGE_ID_INVALID"


class TestShape:
    @pytest.mark.parametrize("type_", [0, 7, "track", None])
    def test_unknown_type_is_refused(self, type_: object) -> None:
        assert refusal_of(EVENT._replace(type=type_)).reason == "NOT_AN_EVENT"

    @pytest.mark.parametrize("name", ["", "  ", None])
    def test_track_without_a_name_is_refused(self, name: object) -> None:
        assert refusal_of(EVENT._replace(name=name)).reason == "NAME_MISSING"

    def test_page_without_a_name_is_accepted(self) -> None:
        accepted(EVENT._replace(type=EventType.PAGE, name=None))

    @pytest.mark.parametrize("field", ["name", "channel", "group_id"])
    @pytest.mark.parametrize("bad", [5, {"a": 1}, "a\0b", "x" * 513])
    def test_text_of_a_wrong_type_or_form_is_refused(self, field: str, bad: object) -> None:
        assert refusal_of(EVENT._replace(**{field: bad}))[:2] == ("VALUE_INVALID", field)

    def test_event_without_a_channel_gets_that_of_its_source(self) -> None:
        assert accepted(EVENT).channel == "web"
        assert accepted(EVENT._replace(channel="app")).channel == "app"


class TestTimes:
    def test_event_without_a_time_occurs_now(self) -> None:
        outcome = accepted(EVENT)
        assert (outcome.occurred_at_us, outcome.stated_at_us) == (NOW, 0)

    def test_time_stated_as_number_or_text_is_accepted(self) -> None:
        stated = NOW - HOUR_US
        assert accepted(EVENT._replace(timestamp=stated)).occurred_at_us == stated
        text = EVENT._replace(timestamp=to_rfc3339(stated))
        assert accepted(text)[3:5] == (stated, stated)

    @pytest.mark.parametrize(
        ("text", "utc"),
        [
            ("2026-11-21T12:00:00+08:00", "2026-11-21T04:00:00Z"),
            ("2026-11-21T12:00:00", "2026-11-21T12:00:00Z"),
            ("2016-12-31T23:59:60Z", "2016-12-31T23:59:59Z"),
        ],
    )
    def test_zone_and_leap_second_are_understood(self, text: str, utc: str) -> None:
        assert accepted(EVENT._replace(timestamp=text)).occurred_at_us == parse_rfc3339(utc)

    @pytest.mark.parametrize(
        "bad", ["yesterday", "2026-11-21", "1763755200", {}, 1.5, True, "x" * 99]
    )
    def test_unreadable_time_is_refused(self, bad: object) -> None:
        assert refusal_of(EVENT._replace(timestamp=bad)).reason == "TIME_INVALID"

    def test_unreadable_sent_at_is_refused(self) -> None:
        raw = EVENT._replace(timestamp=NOW, sent_at="now")
        assert refusal_of(raw)[:2] == ("TIME_INVALID", "sent_at")

    @pytest.mark.parametrize(
        "far", [-1, 0, 1, EARLIEST_US - 1, NOW + DAY_US + 1, 2**62, "1970-01-01T00:00:00Z"]
    )
    def test_time_before_2000_or_a_day_ahead_is_refused(self, far: object) -> None:
        assert refusal_of(EVENT._replace(timestamp=far)).reason == "TIME_OUT_OF_RANGE"

    def test_time_within_a_day_ahead_becomes_now(self) -> None:
        outcome = accepted(EVENT._replace(timestamp=NOW + DAY_US))
        assert (outcome.occurred_at_us, outcome.stated_at_us) == (NOW, NOW + DAY_US)

    def test_skewed_clock_is_corrected(self) -> None:
        fast = 3 * HOUR_US
        raw = EVENT._replace(timestamp=NOW + fast - SECOND_US, sent_at=NOW + fast)
        assert accepted(raw).occurred_at_us == NOW - SECOND_US

    def test_difference_within_the_tolerance_is_not_corrected(self) -> None:
        stated = NOW - HOUR_US
        raw = EVENT._replace(timestamp=stated, sent_at=NOW - TOLERANCE_US)
        assert accepted(raw).occurred_at_us == stated

    @pytest.mark.parametrize(
        "sent", [NOW - 14 * DAY_US, NOW - MINUTE_US - TOLERANCE_US - 1, 0, "1970-01-01T00:00:00Z"]
    )
    def test_event_does_not_occur_after_it_was_sent(self, sent: object) -> None:
        """A time of sending before the event is wrong, so it corrects nothing."""
        raw = EVENT._replace(timestamp=NOW - MINUTE_US, sent_at=sent)
        assert accepted(raw).occurred_at_us == NOW - MINUTE_US

    def test_slow_clock_that_sends_at_once_is_corrected(self) -> None:
        slow = 3 * HOUR_US
        raw = EVENT._replace(timestamp=NOW - slow + SECOND_US, sent_at=NOW - slow)
        assert accepted(raw).occurred_at_us == NOW

    @pytest.mark.parametrize("sent", ["9999-01-01T00:00:00Z", 2**62, NOW + 40 * 366 * DAY_US])
    def test_time_of_sending_that_leads_out_of_range_is_named(self, sent: object) -> None:
        raw = EVENT._replace(timestamp=NOW - MINUTE_US, sent_at=sent)
        assert refusal_of(raw)[:2] == ("TIME_OUT_OF_RANGE", "sent_at")

    def test_time_of_sending_that_makes_an_event_too_old_is_named(self) -> None:
        source = SITE._replace(oldest_us=NOW - 30 * DAY_US)
        raw = EVENT._replace(timestamp=NOW - MINUTE_US, sent_at=NOW + 40 * DAY_US)
        outcome = admit(raw, source, NOW, str)
        assert isinstance(outcome, Refusal)
        assert outcome[:2] == ("EVENT_TOO_OLD", "sent_at")
        old = admit(EVENT._replace(timestamp=NOW - 40 * DAY_US), source, NOW, str)
        assert isinstance(old, Refusal)
        assert old[:2] == ("EVENT_TOO_OLD", "occurred_at_us")

    @pytest.mark.parametrize("waited", [45 * SECOND_US, 3 * HOUR_US, 20 * DAY_US])
    def test_event_that_waited_takes_place_as_it_would_have_at_its_receipt(
        self, waited: int
    ) -> None:
        received = NOW - waited
        for raw in (
            EVENT,
            EVENT._replace(timestamp=received - SECOND_US),
            EVENT._replace(timestamp=received - SECOND_US, sent_at=received),
            EVENT._replace(timestamp=received + HOUR_US),
        ):
            assert accepted(raw, now_us=received).occurred_at_us <= received

    @given(
        stated=st.integers(EARLIEST_US, NOW + DAY_US),
        sent=st.one_of(st.just(0), st.integers(NOW - DAY_US, NOW + DAY_US)),
    )
    def test_accepted_time_is_between_2000_and_now(self, stated: int, sent: int) -> None:
        outcome = admit(EVENT._replace(timestamp=stated, sent_at=sent), SITE, NOW, str)
        if isinstance(outcome, Accepted):
            assert EARLIEST_US <= outcome.occurred_at_us <= NOW
        else:
            assert outcome.reason == "TIME_OUT_OF_RANGE"


identifiers = st.sampled_from(
    [("user_id", "u1"), ("phone", "138 1234 5678"), ("email", " Li@Example.CN"), ("cookie", "c")]
)
texts = st.text("a北😀 ", max_size=3)
documents = st.dictionaries(texts, st.integers(-(2**63), 2**63 - 1) | texts, max_size=3)
events = st.builds(
    EVENT._replace,
    type=st.sampled_from([EventType.TRACK, EventType.PAGE, EventType.IDENTIFY]),
    message_id=st.text("abc0", max_size=3),
    identifiers=st.lists(identifiers, min_size=1, max_size=3).map(tuple),
    timestamp=st.none() | st.integers(NOW - DAY_US, NOW).map(to_rfc3339),
    sent_at=st.none() | st.integers(NOW - MINUTE_US, NOW),
    properties=documents.map(lambda value: json.dumps(value).encode()),
    channel=st.sampled_from(["", "web", "mobile"]),
)


@given(raw=events)
def test_repeated_admission_gives_the_same_fact(raw: RawEvent) -> None:
    """Admission is a pure function of the event: it reads no clock and draws nothing at random."""
    assert accepted(raw) == accepted(raw)


@given(raw=st.builds(RawEvent, *[st.one_of(st.text(max_size=5), st.integers(), st.none())] * 3))
def test_event_of_any_values_is_accepted_or_refused_with_a_reason(raw: RawEvent) -> None:
    outcome = admit(raw, SITE, NOW, lambda: "x")
    assert outcome == admit(raw, SITE, NOW, lambda: "x")
    assert isinstance(outcome, Accepted) or (outcome.reason and outcome.message)
