"""Tests that whatever a profile has can be a condition of a segment, also of a negated one."""

from __future__ import annotations

from copy import deepcopy
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml
from pack_rules import Call, PackRules, before

from services.cli.definitions import read_pack
from services.kernel.trust import Party

DEFINED = """
settings:
  zone: Asia/Shanghai
  orders: {payments: {event: paid, order_id: order, amount: amount}}
tags:
  - {id: keen, title: Keen, rule: {count: {event: page, at_least: 2}}}
  - {id: size, title: Size, values: [{value: tall, rule: {trait: {name: cm, at_least: 180}}}]}
stages:
  - id: life
    title: Life
    stages: [{stage: buyer, rule: {orders: {count: {at_least: 1}}}}]
    default: visitor
  - id: tier
    title: Tier
    stages: [{stage: gold, rule: {orders: {net_spend: {at_least: 100}}}}]
    default: other
segments:
  - {id: other, title: Other, rule: {count: {event: searched, at_least: 1}}}
"""


class Dimension(NamedTuple):
    """A condition, a person who fulfils it, and one who does not."""

    rule: dict[str, Any]
    inside: list[Call]
    outside: list[Call]


def known(**traits: object) -> list[Call]:
    return [before(9, "identify", **traits)]


def paid(amount: float, days: float = 3) -> list[Call]:
    return [before(days, "paid", order=f"o{days}", amount=amount)]


def answered(granted: bool) -> list[Call]:
    return [before(1, "consent_changed", purpose="ads", granted=granted)]


def member(type_: str, **traits: object) -> list[Call]:
    return [before(1, "group", type=type_, **traits)]


def scored(score: float) -> list[Call]:
    return [before(1, "")._replace(scores={"churn": score})]


def stated(source: str, party: Party) -> list[Call]:
    return [before(1, "identify", income="high")._replace(source=source, party=party)]


def touched(source: str) -> list[Call]:
    return [before(1, "page")._replace(touch={"source": source})]


PAGE, HOME = before(1, "page", path="/a"), before(1, "page", path="/b")
INCOME = {"name": "income", "eq": "high"}
DIMENSIONS = {
    "attribute": Dimension({"trait": {"name": "sex", "eq": "f"}}, known(sex="f"), known(sex="m")),
    "member of an attribute": Dimension(
        {"trait": {"name": "address.city", "eq": "Bonn"}},
        known(address={"city": "Bonn"}),
        known(address={"city": "Rome"}),
    ),
    "region": Dimension(
        {"trait": {"name": "city", "clean": "region", "eq": "华东"}},
        known(city="南京"),
        known(city="北京"),
    ),
    "date": Dimension(
        {"date": {"trait": "birthday", "years_since": {"at_least": 18}}},
        known(birthday="1990-05-01"),
        known(birthday="2020-05-01"),
    ),
    "party class": Dimension(
        {"trait": {**INCOME, "party": ["first"]}},
        stated("crm", Party.FIRST),
        stated("crm", Party.THIRD),
    ),
    "source": Dimension(
        {"trait": {**INCOME, "from": ["crm"]}},
        stated("crm", Party.FIRST),
        stated("shop", Party.FIRST),
    ),
    "event": Dimension({"count": {"event": "page", "at_least": 1}}, [PAGE], known(sex="f")),
    "event property": Dimension(
        {"count": {"event": "page", "where": {"path": "/a"}, "at_least": 1}}, [PAGE], [HOME]
    ),
    "number in an event": Dimension(
        {"sum": {"event": "paid", "property": "amount", "gt": 5}}, paid(6), paid(5)
    ),
    "time since an event": Dimension(
        {"last_seen": {"event": "paid", "within": "7d"}}, paid(1, days=6), paid(1, days=8)
    ),
    "sequence": Dimension(
        {"sequence": {"steps": [{"event": "searched"}, {"event": "paid"}]}},
        [before(5, "searched"), *paid(1)],
        [*paid(1), before(2, "searched")],
    ),
    "trend": Dimension(
        {"trend": {"count": {"event": "page", "within": "7d"}, "ratio": {"lt": 0.6}}},
        [before(8, "page"), before(9, "page"), PAGE],
        [before(8, "page"), PAGE],
    ),
    "orders": Dimension({"orders": {"mean_value": {"gt": 5}}}, paid(6), paid(5)),
    "tag": Dimension({"tag": "keen"}, [PAGE, HOME], [PAGE]),
    "value of a tag": Dimension({"tag": {"id": "size", "is": "tall"}}, known(cm=180), known(cm=9)),
    "stage": Dimension({"stage": {"of": "life", "is": "buyer"}}, paid(1), [PAGE]),
    "tier": Dimension({"stage": {"of": "tier", "is": "gold"}}, paid(100), paid(99)),
    "segment": Dimension({"segment": "other"}, [before(1, "searched")], [PAGE]),
    "account attribute": Dimension(
        {"related": {"type": "account", "where": {"plan": "gold"}, "at_least": 1}},
        member("account", plan="gold"),
        member("account", plan="free"),
    ),
    "object of the company": Dimension(
        {"related": {"type": "course", "where": {"level": 3}, "at_least": 1}},
        member("course", level=3),
        member("account", level=3),
    ),
    "consent": Dimension(
        {"consent": {"purpose": "ads", "is": "granted"}}, answered(True), answered(False)
    ),
    "score of a model": Dimension(
        {"trait": {"name": "score.churn", "at_least": 0.8}}, scored(0.8), scored(0.7)
    ),
    "campaign": Dimension(
        {"trait": {"name": "first_touch.source", "eq": "ads"}}, touched("ads"), touched("mail")
    ),
}


@pytest.mark.parametrize("name", DIMENSIONS)
def test_whatever_a_profile_has_is_a_condition_of_a_segment(name: str, tmp_path: Path) -> None:
    dimension = DIMENSIONS[name]
    segments = [
        {"id": "own", "title": name, "rule": dimension.rule},
        {"id": "negated", "title": name, "rule": {"not": deepcopy(dimension.rule)}},
    ]
    document = yaml.safe_load(DEFINED)
    document["segments"] += segments
    file = tmp_path / "pack.yaml"
    file.write_text(yaml.safe_dump(document, allow_unicode=True), encoding="utf-8")
    pack = PackRules(read_pack(file, {}))
    for calls, expected in ((dimension.inside, "own"), (dimension.outside, "negated")):
        assert pack.memberships(calls) & {"own", "negated"} == {expected}
