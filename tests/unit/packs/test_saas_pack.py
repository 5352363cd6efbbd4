"""Tests each rule of the pack for software as a service with cases on both sides."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest
from pack_rules import NOW, SHANGHAI, Call, PackRules, before

PACK = PackRules.of("saas")
RENEWAL = datetime(2026, 7, 1, tzinfo=SHANGHAI)


def logins(*days: float) -> list[Call]:
    return [before(day, "logged_in") for day in days]


def renews(date: str) -> Call:
    return before(300, "identify", renewal_date=date)


FALLING = {
    "1 after 3": (logins(1, 15, 16, 17), True),
    "1 after 2": (logins(1, 15, 16), False),
    "2 after 5": (logins(1, 2, 15, 16, 17, 18, 19), True),
    "none after 1": (logins(15), True),
    "none before": (logins(1), False),
    "none at all": ([], False),
    "one exactly 14 days ago is in the window before": (logins(13.99, 14, 15, 16), True),
    "one exactly 28 days ago is in neither": (logins(1, 15, 16, 28), False),
}


@pytest.mark.parametrize("case", FALLING)
def test_logins_fall_below_half_of_the_14_days_before(case: str) -> None:
    calls, expected = FALLING[case]
    assert ("tag:falling_logins" in PACK.memberships(calls)) is expected


def test_logins_fall_by_time_alone() -> None:
    calls = logins(0, 1, 2)
    days = [day for day in range(40) if _falling(calls, day)]
    # On day 13 one of the three is left. On day 28 the last one leaves the window before, too.
    assert days == list(range(14, 28))


def _falling(calls: list[Call], day: int) -> bool:
    return "tag:falling_logins" in PACK.memberships(calls, NOW + timedelta(days=day))


def test_guidance_is_for_those_whose_logins_fall() -> None:
    assert "needs-guidance" in PACK.memberships(logins(1, 15, 16, 17))
    assert "needs-guidance" in PACK.memberships(logins(20))
    assert "needs-guidance" not in PACK.memberships(logins(1, 2, 15, 16))
    assert "needs-guidance" not in PACK.memberships(logins(40))


@pytest.mark.parametrize(
    ("days_before", "is_due"), [(31, False), (30, True), (1, True), (0, True), (-1, False)]
)
def test_renewal_is_due_30_days_before_its_date(days_before: int, is_due: bool) -> None:
    at = RENEWAL - timedelta(days=days_before)
    assert ("tag:renewal_due" in PACK.memberships([renews("2026-07-01")], at)) is is_due


STEADY = logins(1, 8, 15, 22)
RISKS = {
    "steady": ([renews("2027-01-01"), *STEADY], "健康"),
    "falling": ([renews("2027-01-01"), *logins(1, 15, 16, 17)], "使用下降"),
    "not active": ([renews("2027-01-01")], "使用下降"),
    "renewal is due": ([renews("2026-07-01"), *STEADY], "待续约"),
    "due and falling": ([renews("2026-07-01"), *logins(1, 15, 16, 17)], "高风险"),
    "due and not active": ([renews("2026-07-01")], "高风险"),
    "renewal has passed": ([renews("2026-06-14"), *STEADY], "已流失"),
    "no date": (STEADY, "健康"),
}


@pytest.mark.parametrize("case", RISKS)
def test_each_edge_of_the_risk_has_its_stage(case: str) -> None:
    calls, expected = RISKS[case]
    assert PACK.value("stage", "risk", calls) == expected
    assert ("renewal-at-risk" in PACK.memberships(calls)) is (expected == "高风险")


def test_renewed_contract_ends_the_risk() -> None:
    calls = [renews("2026-07-01"), *logins(1, 15, 16, 17)]
    renewed = before(0, "identify", renewal_date="2027-07-01")
    assert PACK.value("stage", "risk", [*calls, renewed]) == "使用下降"


def features(*names: str, days: float = 1) -> list[Call]:
    return [before(days, "used_feature", feature=name) for name in names]


EXPANSION = {
    "all conditions": ([renews("2026-07-16"), *STEADY, *features("a", "b", "c")], True),
    "two features": ([renews("2026-07-16"), *STEADY, *features("a", "b", "b")], False),
    "too long ago": ([renews("2026-07-16"), *STEADY, *features("a", "b", "c", days=14)], False),
    "falling": ([renews("2026-07-16"), *logins(1, 15, 16, 17), *features("a", "b", "c")], False),
    "no renewal": ([*STEADY, *features("a", "b", "c")], False),
    "renewal in 30 days": ([renews("2026-07-15"), *STEADY, *features("a", "b", "c")], False),
}


@pytest.mark.parametrize("case", EXPANSION)
def test_users_ready_to_expand_fulfil_all_conditions(case: str) -> None:
    calls, expected = EXPANSION[case]
    assert ("ready-to-expand" in PACK.memberships(calls)) is expected


AT_RISK = [renews("2026-07-01"), *logins(1, 15, 16, 17)]
ENTERPRISE = before(300, "group", plan="enterprise")
ENTERPRISE_AT_RISK = {
    "all conditions": ([*AT_RISK, ENTERPRISE], True),
    "one of two accounts": ([*AT_RISK, before(9, "group", plan="free"), ENTERPRISE], True),
    "another plan": ([*AT_RISK, before(300, "group", plan="free")], False),
    "the plan of the user and not of an account": (
        [*AT_RISK, before(9, "identify", plan="enterprise")],
        False,
    ),
    "no risk": ([renews("2027-01-01"), *STEADY, ENTERPRISE], False),
}


@pytest.mark.parametrize("case", ENTERPRISE_AT_RISK)
def test_enterprise_users_at_risk_belong_to_an_account_with_the_plan(case: str) -> None:
    calls, expected = ENTERPRISE_AT_RISK[case]
    assert ("enterprise-at-risk" in PACK.memberships(calls)) is expected


def test_starter_tags_are_right() -> None:
    paid = before(3, "subscription_paid", invoice_id="i-1", amount=10)
    again = before(2, "subscription_paid", invoice_id="i-2", amount=10)
    assert {"tag:first_purchase", "tag:active"} <= PACK.memberships([paid])
    assert "tag:first_purchase" not in PACK.memberships([paid, again])
    assert "tag:registered" not in PACK.memberships([paid])
    assert "tag:registered" in PACK.memberships([before(99, "registered")])
    assert "tag:active" not in PACK.memberships(logins(30))
