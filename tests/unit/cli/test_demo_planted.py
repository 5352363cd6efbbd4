"""Tests that the customers of the demos are what they are planted as."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from pack_rules import Call, PackRules

from services.cli.demo import retail, saas
from services.cli.demo.dataset import VisitorEvent
from services.cli.demo.planted import CHECKS_DAYS, CustomerKind, Customers

END = datetime(2026, 6, 15, 3, tzinfo=UTC)
END_US = round(END.timestamp() * 1e6)
KINDS = {"retail": retail.KINDS, "saas": saas.kinds(END_US)}
EACH = [(pack, i) for pack, kinds in KINDS.items() for i in range(len(kinds))]


def calls_of(customers: Customers, number: int) -> list[Call]:
    return [_call(event) for event in customers.events if event.visitor == number]


def _call(event: VisitorEvent) -> Call:
    at = datetime.fromtimestamp(event.occurred_at_us / 1e6, UTC)
    return Call(at, event.name or event.type, event.properties or event.traits)


@pytest.mark.parametrize(("pack", "number"), EACH)
def test_customer_of_each_kind_is_what_it_is_planted_as(pack: str, number: int) -> None:
    kinds = KINDS[pack]
    rules, customers = PackRules.of(pack), Customers(kinds, END_US, 3 * len(kinds))
    checked = set(customers.checked)
    for of_kind in range(number, len(customers.kinds), len(kinds)):
        for days in CHECKS_DAYS:
            at = END + timedelta(days=days)
            found = rules.memberships(calls_of(customers, of_kind), at) & checked
            planted = {id_ for id_ in checked if of_kind in customers.members(id_, days)}
            assert found == planted, f"{kinds[number].name} after {days} days"


@pytest.mark.parametrize("pack", KINDS)
def test_every_segment_and_stage_has_members_at_some_check(pack: str) -> None:
    kinds = KINDS[pack]
    customers = Customers(kinds, END_US, len(kinds))
    rules = PackRules.of(pack).rules
    # Tickets and scores are no events of sources.
    others = {"dissatisfied", "churn-predicted"}
    needed = {id_ for id_ in rules if not id_.startswith(("tag:", "stage:tier=钻石"))} - others
    assert needed <= set(customers.checked)
    changing = 0
    for id_ in customers.checked:
        sizes = [len(customers.members(id_, days)) for days in CHECKS_DAYS]
        assert any(sizes), id_
        changing += len(set(sizes)) > 1
    assert changing >= 5


def test_customers_of_the_same_number_are_the_same_and_each_has_one_profile() -> None:
    customers = Customers(retail.KINDS, END_US, 100)
    assert customers.events == Customers(retail.KINDS, END_US, 100).events
    assert len({event.message_id for event in customers.events}) == len(customers.events)
    identifiers = customers.identifiers()
    assert len(set(identifiers)) == 100
    for number, (namespace, value) in enumerate(identifiers):
        own = [event for event in customers.events if event.visitor == number]
        assert any(getattr(event, namespace) == value for event in own)
        linked = any(event.user_id and event.anonymous_id for event in own)
        assert linked or len({(e.user_id, e.anonymous_id) for e in own}) == 1


def test_member_belongs_from_the_begin_to_before_the_end() -> None:
    kind = CustomerKind("a", (), {"x": (1, 2)})
    assert [kind.is_member("x", days) for days in (0.5, 1, 1.5, 2)] == [False, True, True, False]
    assert not kind.is_member("y", 1)
