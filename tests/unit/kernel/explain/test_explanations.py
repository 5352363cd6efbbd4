"""Explanations: the cited facts flip the answer and no other does, over random people and rules."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, field
from itertools import combinations
from random import Random
from typing import Any

import pytest
from oracle import random_logs, random_rules
from oracle import rules_oracle as oracle
from oracle.rules_oracle import OracleEvent
from oracle.rules_strategies import oracle_event, view_of

from services.kernel.explain.citation import MAX_MINIMISED
from services.kernel.explain.model import Definition, ExplainedRule, MissingKind, Person
from services.kernel.explain.tree import explain
from services.kernel.rules.features import (
    Aggregate,
    Function,
    OrderDefinition,
    OrderMeasure,
    Orders,
    Step,
    Trait,
)
from services.kernel.rules.features import Sequence as SequenceFeature
from services.kernel.rules.filters import EventFilter
from services.kernel.rules.ids import predicates
from services.kernel.rules.model import All, Any_, Not, Predicate, Reference, ReferenceKind, Rule
from services.kernel.rules.references import Classification, Name, ValueRule, expand
from services.kernel.rules.values import Operator
from services.kernel.rules.windows import EVER, Rolling, Window
from services.kernel.time import DAY_US

CASES = 200
#: Of so many events all subsets are removed.
FEW = 6
NOW_US = 1_800_000_000_000_000
ORDERS = OrderDefinition(
    EventFilter.of("paid"), "id", "amount", EventFilter.of("refunded"), "id", "amount"
)


@dataclass(frozen=True)
class Case:
    """A rule, what its references name, and the facts of a person."""

    rule: Rule
    log: list[OracleEvent]
    at_us: int
    objects: Mapping[bytes, tuple[str, dict[str, Any]]] = field(default_factory=dict)
    definitions: Mapping[Name, Definition] = field(default_factory=dict)

    def explained(self) -> ExplainedRule:
        """Explain the rule for a person with two leaves."""
        views = [view_of(event) for event in self.log]
        person = Person([views[0::2], views[1::2]], self.objects_of)
        return explain(self.rule, person, self.at_us, self.definitions)

    def objects_of(self, leaves: Iterable[bytes]) -> dict[str, list[dict[str, Any]]]:
        """Return the traits of the objects of some leaves, by type."""
        found: dict[str, list[dict[str, Any]]] = defaultdict(list)
        for leaf in sorted(set(leaves) & self.objects.keys()):
            type_, traits = self.objects[leaf]
            found[type_].append(traits)
        return found

    def holds(self, events: Iterable[OracleEvent], at_us: int) -> bool:
        """Return the answer of the oracle for some facts."""
        known = list(events)
        related = self.objects_of(e.account for e in known if e.account)
        names = {name: own.classification for name, own in self.definitions.items()}
        return oracle.rule_holds(expand(self.rule, names), known, at_us, related)

    def holds_without(self, removed: Set[bytes], at_us: int) -> bool:
        """Return the answer of the oracle without some facts."""
        return self.holds((e for e in self.log if e.fact_id not in removed), at_us)


def explained(rule: Rule, log: Sequence[OracleEvent]) -> ExplainedRule:
    return Case(rule, list(log), NOW_US).explained()


def check(case: Case) -> str:
    """Check an explanation with the oracle; return what the answer rests on."""
    found, log = case.explained(), case.log
    now_us, cited = found.at_us, set(found.citation.fact_ids)
    assert found.holds is case.holds(log, case.at_us)
    for fact_id in {event.fact_id for event in log} - cited:
        assert case.holds_without({fact_id}, now_us) is found.holds
    removed = set(found.citation.removed)
    assert removed <= cited
    if removed:
        assert case.holds_without(removed, now_us) is not found.holds
    elif len(log) <= FEW:
        ids = [event.fact_id for event in log]
        for size in range(len(ids) + 1):
            for some in combinations(ids, size):
                assert case.holds_without(set(some), now_us) is found.holds
    if found.change is not None:
        added = [*log, *map(oracle_event, found.change.samples)]
        assert case.holds(added, now_us) is not found.holds
    if found.next_due_us is not None:
        due_us = found.next_due_us
        assert case.holds(log, due_us - 1) is found.holds
        assert case.holds(log, due_us) is not found.holds
    if removed:
        return "facts" if removed == cited else "some facts"
    return "absence" if found.change is not None else "neither"


def make_case(kind: str, seed: int) -> Case:
    """Return a random case: of one class of features, of a whole rule, or of references."""
    random = Random(f"explain {kind} {seed}")
    definitions: dict[Name, Definition] = {}
    rule: Rule
    if kind == "references":
        rule, definitions = make_references(random)
    elif kind == "rule":
        rule = random_rules.make_rule(random)
    elif kind in random_rules.NARROW:
        rule = random_rules.make_narrow_predicate(random, kind)
    else:
        rule = random_rules.make_predicate(random, kind)
    names = {name: own.classification for name, own in definitions.items()}
    own = predicates(expand(rule, names))
    features = {type(predicate.feature).__name__ for predicate in own}
    parts = [kind] if kind in random_logs.THEME_OF else sorted(features)
    themes = [random_logs.THEME_OF.get(part, "events") for part in parts]
    log = random_logs.make_log(random, random.choice(themes or ["events"]), random.choice((4, 12)))
    later = random_logs.later_instants(log, random, 2)
    at_us = random.choice([random_logs.newest(log), *later])
    return Case(rule, log, at_us, random_logs.make_objects(random), definitions)


def make_references(random: Random) -> tuple[Rule, dict[Name, Definition]]:
    """Return a rule over a segment, a tag with values and a set of stages."""
    segment, tag, stages = (
        Name(kind, id_) for kind, id_ in zip(ReferenceKind, ("s", "level", "life"), strict=True)
    )
    own = [random_rules.make_rule(random, depth=1) for _ in range(5)]
    level = Classification((ValueRule("high", own[1]), ValueRule("mid", own[2])))
    life = Classification((ValueRule("new", own[3]), ValueRule("old", own[4])), default="other")
    values = {segment: Classification.of(own[0]), tag: level, stages: life}
    parts = (
        Reference(ReferenceKind.SEGMENT, "s"),
        Reference(ReferenceKind.TAG, "level", random.choice(("", "high", "mid"))),
        Reference(ReferenceKind.STAGE, "life", random.choice(("new", "old", "other"))),
    )
    chosen = tuple(Not(part) if random.random() < 0.3 else part for part in parts)
    join = random.choice((All, Any_))
    rule = join(chosen[: random.randrange(1, 4)])
    return rule, {name: Definition(each, 1) for name, each in values.items()}


@pytest.mark.parametrize(
    "kind", [*random_rules.FEATURES, *random_rules.NARROW, "rule", "references"]
)
def test_explanation_of_random_people_cites_facts_that_change_the_answer_and_no_others(
    kind: str,
) -> None:
    rests_on = Counter(check(make_case(kind, seed)) for seed in range(CASES))
    assert rests_on["facts"] > 0
    if kind != "Related":  # no relation is proposed
        assert rests_on["absence"] > 0


def event(number: int, name: str, days_ago: float, **own: Any) -> OracleEvent:
    at_us = NOW_US - int(days_ago * DAY_US)
    return OracleEvent("track", name, at_us, number.to_bytes(16, "big"), own)


def statement(number: int, days_ago: float, **traits: Any) -> OracleEvent:
    at_us = NOW_US - int(days_ago * DAY_US)
    return OracleEvent("identify", "", at_us, number.to_bytes(16, "big"), {}, traits)


def id_of(number: int) -> bytes:
    return number.to_bytes(16, "big")


def count(name: str, least: int, window: Window = EVER) -> Predicate:
    feature = Aggregate(Function.COUNT, EventFilter.of(name), "", window)
    return Predicate(feature, Operator.GE, least)


def test_explanation_of_count_in_window_names_facts_window_due_and_missing_events() -> None:
    log = [event(1, "viewed", 40), event(2, "viewed", 20), event(3, "viewed", 1)]
    found = explained(count("viewed", 5, Rolling(30 * DAY_US)), log)
    facts = found.root.facts
    assert facts is not None
    assert not found.holds
    assert (facts.actual, facts.fact_ids) == (2, (id_of(3), id_of(2)))
    assert facts.window is not None
    assert facts.window.start_us == NOW_US - 30 * DAY_US + 1
    assert found.change is not None
    (missing,) = found.change.missing
    assert (missing.kind, missing.number) == (MissingKind.EVENT, 3)
    assert missing.until_us == NOW_US + 10 * DAY_US
    assert found.citation.fact_ids == ()
    true = explained(count("viewed", 2, Rolling(30 * DAY_US)), log)
    assert true.next_due_us == NOW_US + 10 * DAY_US
    assert set(true.citation.removed) == {id_of(2), id_of(3)}


def test_explanation_of_trait_cites_its_statements_and_names_the_value_that_is_missing() -> None:
    is_beijing = Predicate(Trait("city"), Operator.EQ, "北京市")
    log = [statement(1, 9, city="上海市"), statement(2, 5, city="北京市")]
    found = explained(is_beijing, log)
    assert found.citation.fact_ids == found.citation.removed == (id_of(2),)
    found = explained(is_beijing, log[:1])
    assert found.change is not None
    (missing,) = found.change.missing
    assert (missing.kind, missing.name, missing.value) == (MissingKind.TRAIT, "city", "北京市")


def test_trait_that_would_end_an_answer_is_a_text_as_people_state_it() -> None:
    in_the_east = Predicate(Trait("province", cleaner="region"), Operator.EQ, "华东")
    found = explained(in_the_east, [statement(1, 5, province="江苏")])
    assert found.change is not None
    (missing,) = found.change.missing
    assert (missing.name, missing.value) == ("province", "another")


def test_explanation_of_orders_cites_payments_and_refunds() -> None:
    rule = Predicate(Orders(ORDERS, OrderMeasure.NET_SPEND), Operator.LT, 100)
    log = [
        event(1, "paid", 9, id="a", amount=120),
        event(2, "refunded", 8, id="a", amount=50),
        event(3, "refunded", 8, id="other", amount=50),
    ]
    found = explained(rule, log)
    assert found.root.facts is not None
    assert found.root.facts.fact_ids == (id_of(2), id_of(1))
    assert found.citation.removed == (id_of(2),)


@pytest.mark.parametrize(
    ("measure", "operator", "literal"),
    [
        (OrderMeasure.DAYS_SINCE_LAST, Operator.LE, 90),
        (OrderMeasure.LAST_AT, Operator.GT, 10_000),
        (OrderMeasure.MEAN_INTERVAL, Operator.LE, 30),
    ],
)
def test_missing_order_of_a_measure_of_time_has_any_amount(
    measure: OrderMeasure, operator: Operator, literal: int
) -> None:
    rule = Predicate(Orders(ORDERS, measure), operator, literal)
    found = explained(rule, [])
    assert found.change is not None
    assert [one.value for one in found.change.missing] == [1], "and not the days"


def test_explanation_of_sequence_names_the_events_that_complete_it() -> None:
    steps = (Step(EventFilter.of("viewed")), Step(EventFilter.of("bought"), within_us=DAY_US))
    rule = Predicate(SequenceFeature(steps), Operator.GE, 1)
    log = [event(1, "viewed", 5), event(2, "bought", 4.5), event(3, "bought", 2)]
    found = explained(rule, log)
    assert found.root.facts is not None
    assert found.root.facts.fact_ids == (id_of(2),)
    assert set(found.citation.removed) <= {id_of(1), id_of(2)}


def test_explanation_keeps_the_shape_of_the_rule_and_the_versions_of_references() -> None:
    buyers, stages = Name(ReferenceKind.SEGMENT, "buyers"), Name(ReferenceKind.STAGE, "life")
    definitions = {
        buyers: Definition(Classification.of(count("bought", 1)), 7),
        stages: Definition(
            Classification((ValueRule("active", count("viewed", 1)),), default="silent"), 3
        ),
    }
    is_buyer = Reference(ReferenceKind.SEGMENT, "buyers")
    is_silent = Reference(ReferenceKind.STAGE, "life", "silent")
    rule = All((is_buyer, Any_((Not(is_silent), Reference(ReferenceKind.TAG, "unknown")))))
    log = [event(1, "bought", 1), event(2, "viewed", 1)]
    found = explain(rule, Person([list(map(view_of, log))]), NOW_US, definitions)
    first, second = found.root.children
    assert (first.rule, first.version, first.holds) == (is_buyer, 7, True)
    assert first.children[0].rule == count("bought", 1)
    silent = second.children[0].children[0]
    assert (silent.rule, silent.version, silent.holds) == (is_silent, 3, False)
    unknown = second.children[1]
    assert (unknown.version, unknown.holds, unknown.children) == (0, False, ())
    assert set(found.citation.removed) == {id_of(1), id_of(2)}


def test_explanation_of_a_rule_that_fewer_facts_do_not_weaken_names_a_part_to_remove() -> None:
    feature = Aggregate(Function.COUNT, EventFilter.of("viewed"))
    log = [event(n, "viewed", n) for n in (1, 2)]
    found = explained(Predicate(feature, Operator.NE, 1), log)
    assert set(found.citation.fact_ids) == {id_of(1), id_of(2)}
    assert len(found.citation.removed) == 1


def test_explanation_of_many_facts_cites_all_of_them_and_says_so() -> None:
    log = [event(n, "viewed", n / 100) for n in range(MAX_MINIMISED + 1)]
    found = explained(count("viewed", 3), log)
    assert len(found.citation.fact_ids) == MAX_MINIMISED + 1
    assert found.citation.removed == found.citation.fact_ids
    assert not found.citation.is_minimal


def test_explanation_of_empty_rules_rests_on_nothing() -> None:
    for rule, holds in ((All(()), True), (Any_(()), False)):
        found = explained(rule, [event(1, "viewed", 1)])
        assert found.holds is holds
        assert found.citation.fact_ids == ()
        assert (found.change, found.next_due_us) == (None, None)
