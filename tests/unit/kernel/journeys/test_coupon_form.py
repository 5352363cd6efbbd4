"""Tests the form of a pool of coupons, and what journeys take over from it."""

from __future__ import annotations

from typing import Any

import pytest

from services.kernel.errors import RuleError
from services.kernel.journeys.coupon_form import dump_coupon_pool, parse_coupon_pool
from services.kernel.journeys.coupons import CouponPool, CouponUse
from services.kernel.journeys.inputs import awaited_events
from services.kernel.journeys.journey_form import dump_journey, parse_journey
from services.kernel.journeys.tree import all_steps, with_coupon_uses
from services.kernel.rules.filters import EventFilter

POOL: dict[str, Any] = {
    "id": "TRIAL-50",
    "title": "50 off",
    "prefix": "TRIAL-",
    "used": {"event": "order_paid", "code": "coupon_code"},
}
USE = CouponUse(EventFilter.of("order_paid"), "coupon_code")
OFFER = {"send": {"id": "offer", "to": "sms", "template": "t", "issue": {
    "trial": {"pool": "TRIAL-50", "valid": "3d"}
}}}  # fmt: skip
JOURNEY: dict[str, Any] = {
    "id": "j",
    "enter": {"event": "registered"},
    "steps": [
        {"repeat": {"times": 2, "steps": [
            {"listen": {"to": {"event": "clicked"}, "at_most": "1d", "then": [
                {"choose": [{"steps": [{"split": {"arms": [
                    {"name": "a", "share": "100%", "steps": [OFFER]}
                ]}, "id": "s"}]}], "id": "c"}
            ]}, "id": "l"}
        ]}, "id": "r"},
    ],
}  # fmt: skip


def test_pool_is_the_same_after_its_form() -> None:
    assert parse_coupon_pool(POOL) == CouponPool("TRIAL-50", "50 off", "TRIAL-", USE)
    assert dump_coupon_pool(parse_coupon_pool(POOL)) == POOL
    assert dump_coupon_pool(parse_coupon_pool({"id": "list"})) == {"id": "list"}


@pytest.mark.parametrize(
    "used", [{"event": "order_paid"}, {"code": "c"}, {"event": "e", "code": "c", "x": 1}]
)
def test_use_without_event_or_code_is_refused(used: dict[str, Any]) -> None:
    with pytest.raises(RuleError):
        parse_coupon_pool({"id": "p", "used": used})


def test_journey_waits_for_the_event_that_uses_its_coupons_at_any_depth() -> None:
    journey = with_coupon_uses(parse_journey(JOURNEY), {"TRIAL-50": USE})
    assert awaited_events(journey)[USE.events] == {"coupon_code"}
    assert [step.id for step in all_steps(journey)] == [
        step.id for step in all_steps(parse_journey(JOURNEY))
    ]
    assert parse_journey(dump_journey(journey)) == parse_journey(JOURNEY)
    assert USE.events not in awaited_events(with_coupon_uses(journey, {"TRIAL-50": None}))
