"""Journeys are the same after a way through their messages, and wrong messages are refused."""

from __future__ import annotations

from pathlib import Path
from random import Random
from typing import Any

import pytest
from onefold.activation.v1 import contact_policy_pb2 as policy_pb
from onefold.activation.v1 import journeys_pb2 as pb
from oracle.random_journeys import make_case

from services.chassis.codec.journeys import (
    contact_policy_from_proto,
    contact_policy_to_proto,
    journey_from_proto,
    journey_to_proto,
)
from services.kernel.errors import InvalidField
from services.kernel.journeys import coupons, model, puts
from services.kernel.journeys.contact_policy import ContactPolicy, parse_contact_policy
from services.kernel.journeys.journey_form import parse_journey
from services.kernel.yaml_documents import parse_yaml

ROOT = Path(__file__).parents[3]
EXAMPLES: Any = parse_yaml((ROOT / "tests/unit/kernel/journeys/examples.yaml").read_bytes())
EVERYTHING = parse_journey(
    {
        "id": "j",
        "priority": 0,
        "enter": {
            "schedule": {"cron": "0 10 * * 1", "zone": "UTC"},
            "audience": "vip",
            "pace": "20000/h",
            "if": {"any": [{"coupon": {"name": "c", "is": "issued"}}, {"tag": "t"}]},
            "hold_out": "0.5%",
        },
        "leave": [{"segment": {"id": "s", "on": "left"}}],
        "people_inside": "move",
        "moved_to": {"a": "b"},
        "retired": True,
        "steps": [
            {"until": {"clock": "00:00", "days": ["sun"]}},
            {"repeat": {"times": 2, "steps": [{"start": "other"}, {"join": "x"}, {"drop": "x"}]}},
            {"exit": True},
        ],
    }
)
ENTRIES: list[dict[str, Any]] = [
    {"event": {"name": ["a", "b"], "where": {"n": {"at_least": 3}}}, "again": "never"},
    {"segment": {"id": "s", "on": "left"}, "again": {"after": "1d"}},
    {"stage": {"of": "lifecycle", "is": "silent"}},
    {"date": {"trait": "birthday", "clock": "00:00", "feb29": "mar1"}},
    {"call": True, "per": "k", "while_inside": "restart", "restart_until": "1h"},
    {"first_seen": True, "not_after": "1d"},
]


def through(journey: model.Journey) -> model.Journey:
    data = journey_to_proto(journey).SerializeToString()
    return journey_from_proto(pb.Journey.FromString(data))


@pytest.mark.parametrize("form", EXAMPLES["journeys"], ids=lambda form: form["id"])
def test_example_is_the_same_after_its_message(form: Any) -> None:
    assert through(parse_journey(form)) == parse_journey(form)


def test_journey_with_all_parts_is_the_same_after_its_message() -> None:
    assert through(EVERYTHING) == EVERYTHING


@pytest.mark.parametrize("enter", ENTRIES, ids=lambda enter: next(iter(enter)))
def test_entry_is_the_same_after_its_message(enter: Any) -> None:
    journey = parse_journey({"id": "j", "enter": enter, "steps": [{"wait": "1h"}]})
    assert through(journey) == journey


def test_random_journeys_are_the_same_after_their_messages() -> None:
    for seed in range(200):
        journey = make_case(Random(seed)).journey
        assert through(journey) == journey, seed


def test_every_attribute_has_a_field_and_every_field_an_attribute() -> None:
    for name, message in pb.DESCRIPTOR.message_types_by_name.items():
        own = next(getattr(each, name) for each in (model, coupons, puts) if hasattr(each, name))
        if not isinstance(own, type):  # a union
            kinds = {field.message_type.name for field in message.fields}
            assert kinds == {made.__name__ for made in own.__args__}, name
        else:
            attributes = set(getattr(own, "__dataclass_fields__", {}))
            assert {field.name for field in message.fields} == attributes, name


POLICY = parse_contact_policy(EXAMPLES["contact_policy"])


@pytest.mark.parametrize("policy", [POLICY, ContactPolicy()], ids=["example", "empty"])
def test_contact_policy_is_the_same_after_its_message(policy: ContactPolicy) -> None:
    data = contact_policy_to_proto(policy).SerializeToString()
    assert contact_policy_from_proto(policy_pb.ContactPolicy.FromString(data)) == policy


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (
            lambda m: setattr(m.purposes["duty"], "consent", 0),
            "contact_policy.purposes.duty.consent: this is missing",
        ),
        (
            lambda m: setattr(m.purposes["marketing"].quiet, "to_minute", 21 * 60),
            "contact_policy.purposes.marketing.quiet: the hours begin when they end",
        ),
        (
            lambda m: setattr(m.channels["sms"].purposes["marketing"].only, "zone", "Mars"),
            "contact_policy.channels.sms.purposes.marketing.only.zone: the time zone is not known",
        ),
        (lambda m: setattr(m.zone, "default", "Mars"), "contact_policy.zone.else: the time zone"),
    ],
)
def test_wrong_contact_policy_is_refused_at_its_place(change: Any, expected: str) -> None:
    message = contact_policy_to_proto(POLICY)
    change(message)
    with pytest.raises(InvalidField, match=expected):
        contact_policy_from_proto(message)


def test_priority_that_is_not_set_is_the_default() -> None:
    message = journey_to_proto(EVERYTHING)
    message.ClearField("priority")
    assert journey_from_proto(message).priority == model.DEFAULT_PRIORITY


def _nested(depth: int) -> pb.Journey:
    message = journey_to_proto(EVERYTHING)
    del message.steps[:]
    steps = message.steps
    for _ in range(depth):
        step = steps.add()
        step.repeat.id, step.repeat.times = "r", 1
        steps = step.repeat.steps
    return message


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda m: m.ClearField("journey_id"), "journey.journey_id: this is missing"),
        (lambda m: m.ClearField("entry"), "journey.entry: this is missing"),
        (lambda m: m.entry.ClearField("by"), "journey.entry.by: this is missing"),
        (lambda m: m.entry.by.Clear(), "journey.entry.by"),
        (lambda m: m.steps.add(), r"journey.steps\[3\]: there is nothing; set exactly one"),
        (lambda m: m.steps[0].until.ClearField("id"), r"journey.steps\[0\].until.id: this is"),
        (lambda m: setattr(m, "people_inside", 9), "journey.people_inside: .*STAY, MOVE, LEAVE"),
        (lambda m: setattr(m, "title", "x" * 513), "journey.title: the text is too long"),
    ],
)
def test_wrong_message_is_refused_at_its_place(change: Any, expected: str) -> None:
    message = journey_to_proto(EVERYTHING)
    change(message)
    with pytest.raises(InvalidField, match=expected):
        journey_from_proto(message)


def test_message_that_is_nested_too_deep_is_refused() -> None:
    with pytest.raises(InvalidField, match="nested too deep"):
        journey_from_proto(_nested(60))
