"""Journeys and contact policies are read, written, and refused with the place of a mistake."""

from __future__ import annotations

from pathlib import Path
from random import Random
from typing import Any

import pytest
from oracle.random_journeys import make_case

from services.chassis.codec.journeys import journey_from_proto, journey_to_proto
from services.kernel.errors import RuleError
from services.kernel.journeys import model
from services.kernel.journeys.checks import check_journey
from services.kernel.journeys.contact_policy import (
    STRICT,
    ConsentNeed,
    ContactPolicy,
    ZonePolicy,
    dump_contact_policy,
    never_open,
    parse_contact_policy,
    zone_of,
)
from services.kernel.journeys.journey_form import dump_journey, parse_journey
from services.kernel.journeys.naming import named_memberships
from services.kernel.journeys.puts import PutStage, PutStep
from services.kernel.journeys.tree import all_steps
from services.kernel.local_time import DailyWindow
from services.kernel.rules.forms.json_form import parse_rule
from services.kernel.rules.model import Reference, ReferenceKind
from services.kernel.time import DAY_US, HOUR_US
from services.kernel.yaml_documents import parse_yaml

EXAMPLES: Any = parse_yaml((Path(__file__).parent / "examples.yaml").read_bytes())
JOURNEYS = {form["id"]: parse_journey(form) for form in EXAMPLES["journeys"]}
POLICY = parse_contact_policy(EXAMPLES["contact_policy"])


def form(**more: Any) -> dict[str, Any]:
    return {"id": "j", "enter": {"event": "entered"}, "steps": [{"wait": "1h"}], **more}


def test_examples_of_the_design_parse_and_have_no_mistake() -> None:
    assert sorted(JOURNEYS) == [
        *("birthday-task", "cart-recovery", "first-order-coupon", "high-intent", "welcome")
    ]
    warnings = {name: check_journey(journey) for name, journey in JOURNEYS.items()}
    assert [name for name, own in warnings.items() if own] == ["birthday-task"]


@pytest.mark.parametrize("name", sorted(JOURNEYS))
def test_example_is_written_as_it_is_read(name: str) -> None:
    journey = JOURNEYS[name]
    written = dump_journey(journey)
    assert parse_journey(written) == journey
    assert dump_journey(parse_journey(written)) == written


def test_random_journeys_are_written_as_they_are_read() -> None:
    for seed in range(300):
        # Rules that a condition joins are read as one rule.
        journey = parse_journey(dump_journey(make_case(Random(seed)).journey))
        assert parse_journey(dump_journey(journey)) == journey, seed


def test_cart_recovery_has_the_parts_that_it_names() -> None:
    cart = JOURNEYS["cart-recovery"]
    assert (cart.entry.per, cart.entry.again_after_us) == ("cart_id", None)
    assert cart.entry.while_inside is model.WhileInside.RESTART
    assert (cart.entry.restart_until_us, cart.entry.not_after_us) == (24 * HOUR_US, 6 * HOUR_US)
    assert cart.caps == (model.JourneyCap(1, DAY_US),)
    wait, send = cart.steps
    assert wait == model.WaitStep("wait-1", 2 * HOUR_US)
    assert isinstance(send, model.SendStep)
    assert dict(send.values) == {"items": "entry.items", "total": "entry.total"}


def test_steps_without_ids_get_them_from_their_kind_and_number() -> None:
    ids = [step.id for step in all_steps(JOURNEYS["welcome"])]
    assert ids == [
        *("subject", "mail-1a", "mail-1b", "clicked", "put-1", "until-1", "mail-2", "wait-1"),
        *("choose-1", "mail-3-wx", "mail-3"),
    ]


def test_stage_that_is_put_is_read_written_sent_and_has_to_be_defined() -> None:
    put = {"put": {"stage": {"of": "funnel", "is": "met"}}}
    journey = parse_journey(form(steps=[put]))
    assert journey.steps == (PutStep("put-1", stage=PutStage("funnel", "met")),)
    written = dump_journey(journey)
    assert isinstance(written, dict)
    assert written["steps"] == [put]
    assert journey_from_proto(journey_to_proto(journey)) == journey
    met = Reference(ReferenceKind.STAGE, "funnel", "met")
    assert ("put-1", met) in list(named_memberships(journey))


def test_condition_with_a_coupon_joins_it_with_rules() -> None:
    when = {"all": [{"tag": "vip"}, {"not": {"coupon": {"name": "c", "is": "used"}}}]}
    choose = {"choose": [{"when": when, "steps": [{"wait": "1h"}]}]}
    [step] = parse_journey(form(steps=[choose])).steps
    assert isinstance(step, model.ChooseStep)
    used = model.CouponCondition("c", model.CouponState.USED)
    vip = model.RuleCondition(parse_rule({"tag": "vip"}))
    assert step.branches[0].when == model.EveryCondition((vip, model.NotCondition(used)))


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        ({"steps": [{"wiat": "1h"}]}, r"steps\[0\].wiat: .*write `wait`"),
        ({"steps": [{"wait": "soon"}]}, r"steps\[0\].wait: .*no span"),
        ({"steps": [{}]}, r"steps\[0\]: there is no step"),
        ({"steps": [{"wait": "1h", "exit": True}]}, r"steps\[0\]: there are several steps"),
        ({"steps": {"wait": "1h"}}, "steps: this is no list"),
        ({"steps": [{"send": {"to": "mail"}}]}, r"steps\[0\].send: `template` is missing"),
        (
            {"steps": [{"send": {"to": "m", "template": "t", "vaild": "1h"}}]},
            r"steps\[0\].send.vaild: .*write `valid`",
        ),
        ({"steps": [{"until": {"clock": "25:00"}}]}, r"until.clock: .*time of the day"),
        (
            {"steps": [{"until": {"clock": "10:00", "days": ["monday"]}}]},
            r"until.days\[0\]: .*write `mon`",
        ),
        (
            {"steps": [{"choose": [{"when": {"tga": "x"}, "steps": []}]}]},
            r"steps\[0\].choose\[0\].when.tga: .*write `tag`",
        ),
        (
            {"steps": [{"listen": {"to": {"evnt": "x"}, "at_most": "1h"}}]},
            r"listen.to.evnt: .*write `event`",
        ),
        ({"enter": {}}, "enter: nothing is named; write one of event, segment"),
        ({"enter": {"event": "a", "call": True}}, "enter: there are several things"),
        ({"enter": {"event": "a", "again": "sometimes"}}, "enter.again: .*write always, never"),
        ({"enter": {"event": "a", "hold_out": "110%"}}, "enter.hold_out: this is no share"),
        ({"enter": {"event": {"name": "a", "when": 1}}}, "enter.event.when"),
        ({"enter": {"event": 7}}, "enter.event"),
        ({"enter": {"segment": {"id": "s", "on": "inside"}}}, "enter.segment.on"),
        ({"enter": {"call": False}}, "enter.call: there is nothing to configure"),
        ({"priority": 101}, "priority: .*write 0 to 100"),
        ({"caps": [{"at_most": 0, "in": "1d"}]}, r"caps\[0\].at_most"),
        ({"goal": {"event": "x"}}, "goal: this is no list"),
        ({"moved_to": {"a": 1}}, "moved_to.a: this is no text"),
    ],
)
def test_wrong_part_is_refused_at_its_place(more: dict[str, Any], expected: str) -> None:
    with pytest.raises(RuleError, match=expected):
        parse_journey(form(**more))


def test_form_that_is_nested_without_end_is_refused() -> None:
    steps: list[Any] = [{"wait": "1h"}]
    for _ in range(300):
        steps = [{"repeat": {"times": 1, "steps": steps}}]
    with pytest.raises(RuleError, match="nested too deep"):
        parse_journey(form(steps=steps))


def test_contact_policy_of_the_design_is_read_and_written() -> None:
    assert parse_contact_policy(dump_contact_policy(POLICY)) == POLICY
    assert POLICY.purpose("duty").consent is ConsentNeed.NOTHING
    assert POLICY.purpose("marketing").quiet == DailyWindow(21 * 60, 9 * 60)
    assert [cap.at_most for cap in POLICY.purpose("marketing").caps] == [1, 3]
    assert POLICY.hold_out is not None
    assert POLICY.hold_out.share_ppm == 20_000
    assert not never_open(POLICY)


def test_purpose_that_the_policy_does_not_name_needs_consent() -> None:
    assert POLICY.purpose("research") is STRICT
    assert STRICT.consent is ConsentNeed.GRANTED


@pytest.mark.parametrize(
    ("policy", "expected"),
    [
        (
            {"purposes": {"a": {"consent": "maybe"}}},
            "purposes.a.consent: .*granted, implied, none, asked",
        ),
        ({"purposes": {"a": {}}}, "purposes.a: `consent` is missing"),
        (
            {"purposes": {"a": {"consent": "none", "quiet": {"from": "09:00", "to": "09:00"}}}},
            "purposes.a.quiet: the hours begin when they end",
        ),
        ({"zone": {"else": "Asia/Beijing"}}, "zone.else: the time zone is not known"),
        ({"channels": {"sms": {"ads": {}}}}, "channels.sms.ads: the purpose is not defined"),
        (
            {
                "purposes": {"ads": {"consent": "none"}},
                "channels": {
                    "sms": {"ads": {"only": {"from": "08:00", "to": "22:00", "zone": "Mars"}}}
                },
            },
            "channels.sms.ads.only.zone: the time zone",
        ),
    ],
)
def test_wrong_contact_policy_is_refused_at_its_place(policy: Any, expected: str) -> None:
    with pytest.raises(RuleError, match=expected):
        parse_contact_policy(policy)


def test_hours_that_leave_no_time_are_found() -> None:
    policy = parse_contact_policy(
        {
            "purposes": {"ads": {"consent": "none", "quiet": {"from": "08:00", "to": "22:00"}}},
            "channels": {"sms": {"ads": {"only": {"from": "09:00", "to": "21:00"}}}},
        }
    )
    assert never_open(policy) == ["sms.ads"]


@pytest.mark.parametrize(
    ("traits", "phone", "expected"),
    [
        ({"timezone": "Asia/Tokyo"}, ("Europe/Paris",), "Asia/Tokyo"),
        ({"timezone": "Mars"}, ("Europe/Paris",), "Europe/Paris"),
        ({"timezone": 7}, (), "Asia/Shanghai"),
        ({}, ("America/New_York", "America/Chicago"), "Asia/Shanghai"),
        ({}, ("Europe/Paris",), "Europe/Paris"),
    ],
)
def test_zone_of_a_person_is_the_first_that_is_known(
    traits: dict[str, object], phone: tuple[str, ...], expected: str
) -> None:
    assert zone_of(POLICY.zone, traits, phone) == expected


def test_zone_by_phone_is_off_without_from_phone() -> None:
    assert zone_of(ZonePolicy("UTC"), {}, ("Europe/Paris",)) == "UTC"


def test_empty_contact_policy_is_the_default() -> None:
    assert parse_contact_policy({}) == ContactPolicy()
    assert dump_contact_policy(ContactPolicy()) == {}
