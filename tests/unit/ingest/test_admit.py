"""One admission for all doors."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.ingest.domain.admission import admit
from services.ingest.domain.model import Accepted, EventType, RawEvent, Refusal, Source
from services.ingest.domain.timestamps import EARLIEST_US, TOLERANCE_US
from services.kernel.identifiers import Identifier, leaf_of
from services.kernel.ids import event_fact_id
from services.kernel.time import DAY_US, HOUR_US, SECOND_US, parse_rfc3339, to_rfc3339

NOW = parse_rfc3339("2026-11-21T20:00:00Z")
SITE = Source("default", "site", "web")
EVENT = RawEvent(EventType.TRACK, "Signed Up", "m-1", (("user_id", "u1"),))


def take(raw: RawEvent, source: Source = SITE, now_us: int = NOW) -> Accepted:
    outcome = admit(raw, source, now_us, lambda: "new-id")
    assert isinstance(outcome, Accepted), outcome
    return outcome


def refusal(raw: RawEvent) -> Refusal:
    outcome = admit(raw, SITE, NOW, lambda: "new-id")
    assert isinstance(outcome, Refusal), outcome
    return outcome


def ticking() -> Iterator[str]:
    return (f"id-{n}" for n in count())


class TestIdentifiers:
    def test_the_strongest_names_the_leaf(self) -> None:
        raw = EVENT._replace(identifiers=(("anonymous_id", "a1"), ("user_id", "u1")))
        assert take(raw).leaf_id == leaf_of("default", [Identifier("user_id", "u1")])

    def test_the_leaf_is_of_the_standard_form(self) -> None:
        raw = EVENT._replace(identifiers=(("email", " Li@Example.CN "),))
        assert take(raw).leaf_id == leaf_of("default", [Identifier("email", "li@example.cn")])

    @pytest.mark.parametrize("junk", ["", "  ", "null", "undefined", "00000000", "NaN", "０００"])
    def test_junk_names_nobody(self, junk: str) -> None:
        assert refusal(EVENT._replace(identifiers=(("user_id", junk),))).reason == "NO_IDENTIFIER"

    def test_junk_beside_a_good_one_is_dropped(self) -> None:
        raw = EVENT._replace(identifiers=(("user_id", "null"), ("anonymous_id", "a1")))
        assert take(raw).leaf_id == leaf_of("default", [Identifier("anonymous_id", "a1")])

    def test_none_at_all(self) -> None:
        assert refusal(EVENT._replace(identifiers=())).reason == "NO_IDENTIFIER"

    @pytest.mark.parametrize(
        "value", [12, 1.5, True, ["u1"], {"id": "u1"}, "x" * 513, "u\x01", "u\0"]
    )
    def test_of_a_wrong_kind(self, value: object) -> None:
        raw = EVENT._replace(identifiers=(("anonymous_id", "a1"), ("user_id", value)))
        assert refusal(raw)[:2] == ("IDENTIFIER_INVALID", "identifiers[1]")

    @pytest.mark.parametrize("namespace", ["", "User", "a b", "x" * 65, "名"])
    def test_of_a_wrong_namespace(self, namespace: str) -> None:
        raw = EVENT._replace(identifiers=((namespace, "u1"),))
        assert refusal(raw).reason == "IDENTIFIER_INVALID"

    def test_too_many(self) -> None:
        many = tuple(("device_id", f"d{n}") for n in range(65))
        assert refusal(EVENT._replace(identifiers=many)).reason == "IDENTIFIER_INVALID"

    def test_an_alias_needs_two(self) -> None:
        alias = EVENT._replace(type=EventType.ALIAS, name="")
        assert refusal(alias).reason == "NO_IDENTIFIER"
        same = (("user_id", "u1"), ("user_id", " u1"))
        assert refusal(alias._replace(identifiers=same)).reason == "NO_IDENTIFIER"
        take(alias._replace(identifiers=(("user_id", "u1"), ("anonymous_id", "a1"))))

    @pytest.mark.parametrize("phone", ["+86 138-0000-0000", "138 0000 0000", "13800000000"])
    def test_spellings_of_a_number_are_one_leaf(self, phone: str) -> None:
        raw = EVENT._replace(identifiers=(("phone", phone),))
        assert take(raw).leaf_id == leaf_of("default", [Identifier("phone", "+8613800000000")])

    def test_a_number_is_read_by_the_region_of_the_workspace(self) -> None:
        raw = EVENT._replace(identifiers=(("phone", "(650) 253-0000"),))
        assert refusal(raw).reason == "NO_IDENTIFIER"
        leaf_id = take(raw, SITE._replace(region="US")).leaf_id
        assert leaf_id == leaf_of("default", [Identifier("phone", "+16502530000")])

    def test_an_invalid_number_beside_a_name_is_dropped(self) -> None:
        raw = EVENT._replace(identifiers=(("phone", "138"), ("user_id", "u1")))
        assert take(raw).leaf_id == leaf_of("default", [Identifier("user_id", "u1")])

    def test_a_refusal_tells_what_is_needed(self) -> None:
        told = refusal(EVENT._replace(identifiers=(("phone", "138"), ("idfa", "0")))).message
        assert "phone needs a number that exists" in told
        assert "idfa needs the id as the device tells it" in told

    def test_a_message_names_no_value(self) -> None:
        raw = EVENT._replace(identifiers=(("phone", "13800138000\x01"),))
        assert "138" not in refusal(raw).message


class TestMessageId:
    def test_names_the_fact(self) -> None:
        taken = take(EVENT)
        assert taken.message_id == "m-1"
        assert taken.fact_id == event_fact_id("default", "site", "m-1", taken.leaf_id)

    @pytest.mark.parametrize("blank", ["", "   ", None])
    def test_a_missing_one_is_made(self, blank: object) -> None:
        ids = ticking()
        first = admit(EVENT._replace(message_id=blank), SITE, NOW, lambda: next(ids))
        second = admit(EVENT._replace(message_id=blank), SITE, NOW, lambda: next(ids))
        assert isinstance(first, Accepted)
        assert isinstance(second, Accepted)
        assert first.fact_id != second.fact_id

    @pytest.mark.parametrize("bad", ["x" * 101, "a\nb", "a\0", 7, 0, {}, ["m"]])
    def test_a_bad_one(self, bad: object) -> None:
        assert refusal(EVENT._replace(message_id=bad)).reason == "MESSAGE_ID_INVALID"


class TestShape:
    @pytest.mark.parametrize("type_", [0, 7, "track", None])
    def test_an_unknown_type(self, type_: object) -> None:
        assert refusal(EVENT._replace(type=type_)).reason == "NOT_AN_EVENT"

    @pytest.mark.parametrize("name", ["", "  ", None])
    def test_a_track_needs_a_name(self, name: object) -> None:
        assert refusal(EVENT._replace(name=name)).reason == "NAME_MISSING"

    def test_a_page_needs_none(self) -> None:
        take(EVENT._replace(type=EventType.PAGE, name=None))

    @pytest.mark.parametrize("field", ["name", "channel", "group_id"])
    @pytest.mark.parametrize("bad", [5, {"a": 1}, "a\0b", "x" * 513])
    def test_bad_texts(self, field: str, bad: object) -> None:
        assert refusal(EVENT._replace(**{field: bad}))[:2] == ("VALUE_INVALID", field)

    def test_the_source_names_the_channel_of_those_that_do_not(self) -> None:
        assert take(EVENT).channel == "web"
        assert take(EVENT._replace(channel="app")).channel == "app"


class TestTimes:
    def test_absent_is_when_it_came(self) -> None:
        taken = take(EVENT)
        assert (taken.occurred_at_us, taken.stated_at_us) == (NOW, 0)

    def test_as_stated(self) -> None:
        stated = NOW - HOUR_US
        assert take(EVENT._replace(timestamp=stated)).occurred_at_us == stated
        text = EVENT._replace(timestamp=to_rfc3339(stated))
        assert take(text)[3:5] == (stated, stated)

    @pytest.mark.parametrize(
        ("text", "utc"),
        [
            ("2026-11-21T12:00:00+08:00", "2026-11-21T04:00:00Z"),
            ("2026-11-21T12:00:00", "2026-11-21T12:00:00Z"),
            ("2016-12-31T23:59:60Z", "2016-12-31T23:59:59Z"),
        ],
    )
    def test_zones_and_leap_seconds(self, text: str, utc: str) -> None:
        assert take(EVENT._replace(timestamp=text)).occurred_at_us == parse_rfc3339(utc)

    @pytest.mark.parametrize(
        "bad", ["yesterday", "2026-11-21", "1763755200", {}, 1.5, True, "x" * 99]
    )
    def test_unreadable(self, bad: object) -> None:
        assert refusal(EVENT._replace(timestamp=bad)).reason == "TIME_INVALID"

    def test_an_unreadable_sending_time(self) -> None:
        raw = EVENT._replace(timestamp=NOW, sent_at="now")
        assert refusal(raw)[:2] == ("TIME_INVALID", "sent_at")

    @pytest.mark.parametrize(
        "far", [-1, 1, EARLIEST_US - 1, NOW + DAY_US + 1, 2**62, "1970-01-01T00:00:00Z"]
    )
    def test_out_of_range(self, far: object) -> None:
        assert refusal(EVENT._replace(timestamp=far)).reason == "TIME_OUT_OF_RANGE"

    def test_within_a_day_ahead_is_now(self) -> None:
        taken = take(EVENT._replace(timestamp=NOW + DAY_US))
        assert (taken.occurred_at_us, taken.stated_at_us) == (NOW, NOW + DAY_US)

    def test_a_clock_that_is_wrong_is_put_right(self) -> None:
        fast = 3 * HOUR_US
        raw = EVENT._replace(timestamp=NOW + fast - SECOND_US, sent_at=NOW + fast)
        assert take(raw).occurred_at_us == NOW - SECOND_US

    def test_the_time_of_sending_is_no_skew(self) -> None:
        stated = NOW - HOUR_US
        raw = EVENT._replace(timestamp=stated, sent_at=NOW - TOLERANCE_US)
        assert take(raw).occurred_at_us == stated

    @given(
        stated=st.integers(EARLIEST_US, NOW + DAY_US),
        sent=st.one_of(st.just(0), st.integers(NOW - DAY_US, NOW + DAY_US)),
    )
    def test_never_after_now_and_never_before_2000(self, stated: int, sent: int) -> None:
        outcome = admit(EVENT._replace(timestamp=stated, sent_at=sent), SITE, NOW, str)
        if isinstance(outcome, Accepted):
            assert EARLIEST_US <= outcome.occurred_at_us <= NOW
        else:
            assert outcome.reason == "TIME_OUT_OF_RANGE"


@given(raw=st.builds(RawEvent, *[st.one_of(st.text(max_size=5), st.integers(), st.none())] * 3))
def test_a_repeat_is_the_same_fact(raw: RawEvent) -> None:
    """Admission is a function of the event: nothing in it looks at a clock or at chance."""
    assert admit(raw, SITE, NOW, lambda: "x") == admit(raw, SITE, NOW, lambda: "x")
