"""Tests the bounds of one rule, by both ways in, and of the rules of one workspace."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from onefold.rule.v1 import rule_pb2 as pb

from services.chassis.codec.comparisons import MAX_VALUE_BYTES
from services.chassis.codec.rules import rule_from_proto, rule_to_proto
from services.kernel.errors import InvalidField, RuleError, RuleTooLarge
from services.kernel.rules.features import Aggregate, Function, Sequence, Step, Trait
from services.kernel.rules.filters import ANY_EVENT, EventFilter, PropertyFilter
from services.kernel.rules.forms.json_form import dump_rule, parse_rule
from services.kernel.rules.limits import (
    MAX_DEPTH,
    MAX_FILTERS,
    MAX_PREDICATES,
    MAX_RETAINED,
    MAX_RULES_TOGETHER,
    RETAINED,
    PredicateLimits,
    RuleCost,
    check_additional,
    check_cost,
    check_size,
    check_together,
    cost_of,
    count_rules,
)
from services.kernel.rules.model import All, Any_, Not, Predicate, Reference, ReferenceKind, Rule
from services.kernel.rules.values import Operator
from services.kernel.rules.windows import EVER, Anchor, Relative, Rolling, Window

LIMITS = PredicateLimits(per_event=5, filters_per_event=6, per_workspace=8)


def count(number: int, event: str = "viewed", filters: int = 0, window: Window = EVER) -> Predicate:
    where = tuple(PropertyFilter(f"p{n}", Operator.EQ, number) for n in range(filters))
    events = EventFilter.of(event, *where)
    return Predicate(Aggregate(Function.COUNT, events, "", window), Operator.GE, number)


def trait(number: int) -> Predicate:
    return Predicate(Trait("city"), Operator.EQ, number)


def text(operator: Operator, value: Any) -> Predicate:
    return Predicate(Trait("t"), operator, value)


def counts(number: int) -> tuple[Rule, ...]:
    return tuple(count(n) for n in range(number))


def nested(depth: int) -> Rule:
    rule: Rule = trait(1)
    for _ in range(depth - 1):
        rule = Not(rule)
    return rule


def through_proto(rule: Rule) -> Rule:
    return rule_from_proto(pb.Rule.FromString(rule_to_proto(rule).SerializeToString()))


def through_json(rule: Rule) -> Rule:
    return parse_rule(dump_rule(rule))


WAYS = pytest.mark.parametrize("parse", [through_proto, through_json], ids=["proto", "json"])

TOO_LARGE: list[tuple[str, Rule, str]] = [
    ("flat", All(counts(MAX_PREDICATES + 1)), "200 predicates"),
    ("repeated", Any_((count(1),) * (MAX_PREDICATES + 1)), "200 predicates"),
    ("split", All((Any_(counts(150)), Not(All(counts(51))))), "200 predicates"),
    ("traits", Any_(tuple(map(trait, range(MAX_PREDICATES + 1)))), "200 predicates"),
    ("nodes", All((All(()),) * 1_000), "too large"),
    ("deep", nested(MAX_DEPTH + 1), "too large"),
    ("filters", All(tuple(count(n, filters=50) for n in range(MAX_FILTERS // 50 + 1))), "filters"),
    ("text", All(tuple(text(Operator.EQ, f"{n}" + "x" * 990) for n in range(70))), "texts"),
    ("list", text(Operator.IN, [f"{n}" + "x" * 90 for n in range(800)]), "texts"),
]


@WAYS
@pytest.mark.parametrize(
    ("rule", "problem"), [r[1:] for r in TOO_LARGE], ids=[r[0] for r in TOO_LARGE]
)
def test_rule_beyond_a_bound_is_rejected(
    rule: Rule, problem: str, parse: Callable[[Rule], Rule]
) -> None:
    with pytest.raises(RuleError) as raised:
        parse(rule)
    assert problem in raised.value.problem
    assert "write at most" in raised.value.remedy


@WAYS
@pytest.mark.parametrize(
    "rule",
    [
        All(counts(MAX_PREDICATES)),
        nested(MAX_DEPTH),
        text(Operator.IN, [str(n) for n in range(1_000)]),
        All(tuple(count(n, filters=50) for n in range(MAX_FILTERS // 50))),
    ],
    ids=["predicates", "deep", "list", "filters"],
)
def test_rule_at_a_bound_is_accepted(rule: Rule, parse: Callable[[Rule], Rule]) -> None:
    assert parse(rule) == rule


@pytest.mark.parametrize(
    "value",
    [
        b"[" * 100_000,
        b'[["a"]]',
        b"1" * 100_000,
        b'"\xff"',
        b"1e999",
        b'"' + b"x" * MAX_VALUE_BYTES + b'"',
        b"",
    ],
)
def test_hostile_value_of_a_rule_is_rejected(value: bytes) -> None:
    predicate = pb.Predicate(trait=pb.Trait(name="t"), operator=pb.OPERATOR_IN, value=value)
    with pytest.raises(RuleError):
        rule_from_proto(pb.Rule(predicate=predicate))


def test_filters_beyond_the_bound_are_not_parsed() -> None:
    broken = pb.PropertyFilter(property="p", operator=pb.OPERATOR_EQ, value=b"{")
    events = pb.EventFilter(names=["e"], where=[broken] * 51)
    aggregate = pb.Aggregate(function=pb.FUNCTION_COUNT, events=events)
    predicate = pb.Predicate(aggregate=aggregate, operator=pb.OPERATOR_GE, value=b"1")
    rule = pb.Rule(predicate=predicate)
    with pytest.raises(RuleError, match="too many filters"):
        rule_from_proto(rule)


@pytest.mark.parametrize("where", [{f"p{i}": 1 for i in range(51)}, [{"p": i} for i in range(51)]])
def test_filters_of_a_form_beyond_the_bound_are_not_parsed(where: Any) -> None:
    wrong = {"broken": {"no_comparison": 1}}
    where = [*where, wrong] if isinstance(where, list) else where | wrong
    with pytest.raises(RuleError, match="too many filters"):
        parse_rule({"count": {"event": "e", "where": where, "at_least": 1}})


def test_form_beyond_the_size_of_a_rule_is_not_read_to_its_end() -> None:
    where = {f"p{i}": [f"a value {j}" for j in range(1_000)] for i in range(10)}
    large = {"count": {"event": "e", "where": where, "at_least": 1}}
    with pytest.raises(RuleTooLarge, match=r"all\[0\].any\[1\]: the texts .* too long"):
        parse_rule({"all": [{"any": [{"nope": 1}, large, {"nope": 2}]}, {"nope": 3}]})


@pytest.mark.parametrize("key", ["where"])
def test_deeply_nested_filters_are_rejected(key: str) -> None:
    where: Any = {"a": 1}
    for _ in range(5_000):
        where = [where]
    with pytest.raises(RuleError, match="nested too deep"):
        parse_rule({"count": {"event": "e", key: where, "at_least": 1}})


def check(in_use: list[Predicate], added: list[Predicate]) -> int:
    return check_additional(LIMITS, in_use, added, field="segment.rule")


def test_predicates_of_one_event_are_limited_together() -> None:
    in_use: list[Predicate] = [count(n) for n in range(4)]
    assert check(in_use, [count(9), *in_use]) == 1
    with pytest.raises(InvalidField) as raised:
        check(in_use, [count(9), count(10)])
    message = raised.value.message
    assert "the event `viewed` use 4 predicates, this one adds 2, and at most 5" in message
    assert raised.value.field == "segment.rule"


def test_predicates_of_other_events_and_traits_are_limited_apart() -> None:
    in_use: list[Predicate] = [count(n) for n in range(5)]
    assert check(in_use, [count(1, "bought"), trait(1)]) == 2
    with pytest.raises(InvalidField, match="the rules of traits use 0 predicates"):
        check([], [trait(n) for n in range(6)])


def test_predicates_of_a_workspace_are_limited_in_all() -> None:
    in_use: list[Predicate] = [count(n, f"e{n}") for n in range(8)]
    with pytest.raises(InvalidField, match="the workspace use 8 predicates"):
        check(in_use, [count(1, "new")])


def test_filters_of_one_event_are_limited_together() -> None:
    in_use: list[Predicate] = [count(1, filters=4)]
    assert check(in_use, [count(2, filters=2)]) == 1
    with pytest.raises(InvalidField, match="use 4 filters, this one adds 3"):
        check(in_use, [count(2, filters=3)])


def test_predicates_in_use_are_allowed_beyond_the_limit() -> None:
    """So a definition can be repeated, and a rule can be retired, after the limit was lowered."""
    in_use: list[Predicate] = [count(n) for n in range(50)]
    assert check(in_use, in_use[:7]) == 0


def test_rules_of_one_kind_are_limited_in_all() -> None:
    rule = All((Not(trait(1)), Any_((trait(1), trait(2)))))
    assert count_rules(rule) == 6
    others = [rule] * (MAX_RULES_TOGETHER // 6)
    check_together(others[:-1], rule, field="tag.rule")
    with pytest.raises(InvalidField, match="at most 20000") as raised:
        check_together(others, rule, field="tag.rule")
    assert raised.value.field == "tag.rule"


def test_predicate_of_several_events_counts_for_each_of_them() -> None:
    events = EventFilter(("viewed", "bought"))
    both = Predicate(Aggregate(Function.COUNT, events), Operator.GE, 1)
    in_use = [count(n) for n in range(5)]
    with pytest.raises(InvalidField, match="the event `viewed` use 5 predicates"):
        check(in_use, [both])
    assert check(in_use[:4], [both]) == 1


def test_predicate_of_any_event_counts_for_every_event() -> None:
    in_use = [count(n) for n in range(5)]
    with pytest.raises(InvalidField, match="the event `viewed` use 5 predicates, this one adds 1"):
        check(in_use, [count(1, ANY_EVENT)])
    with pytest.raises(InvalidField, match="the event `viewed` use 5 predicates, this one adds 1"):
        check([count(n, ANY_EVENT) for n in range(5)], [count(1)])
    with pytest.raises(InvalidField, match="the rules of every event use 4 predicates"):
        check([count(n, ANY_EVENT) for n in range(4)], [count(n, ANY_EVENT) for n in (8, 9)])
    assert check([count(n, ANY_EVENT) for n in range(5)], [trait(1)]) == 1


def test_anchor_of_a_window_counts_for_its_event() -> None:
    before = Relative(EventFilter.of("bought"), Anchor.FIRST, after=False)
    with pytest.raises(InvalidField, match="the event `bought` use 5 predicates"):
        check([count(n, "bought") for n in range(5)], [count(1, "viewed", window=before)])


def test_cost_of_a_rule_counts_each_feature_and_accumulator_once() -> None:
    assert cost_of(trait(1)) == RuleCost(1, 0)
    same = All((count(1), Not(count(2)), count(1, window=Rolling(5)), trait(1)))
    assert cost_of(same) == RuleCost(3, RETAINED)
    steps = tuple(Step(EventFilter.of(name)) for name in "abca")
    assert cost_of(Predicate(Sequence(steps), Operator.GE, 1)) == RuleCost(1, 3 * RETAINED)


def test_rule_beyond_the_cost_limit_is_rejected_with_its_numbers() -> None:
    def sequence(number: int) -> Predicate:
        steps = tuple(Step(EventFilter.of(f"{number}-{n}")) for n in range(10))
        return Predicate(Sequence(steps), Operator.GE, 1)

    most = MAX_RETAINED // RETAINED // 10
    check_cost(All(tuple(map(sequence, range(most)))), field="tag.rule")
    with pytest.raises(InvalidField, match=r"21 features.*210000 times.*at most 200000") as raised:
        check_cost(All(tuple(map(sequence, range(most + 1)))), field="tag.rule")
    assert raised.value.field == "tag.rule"


@pytest.mark.parametrize(
    ("rule", "problem"), [r[1:] for r in TOO_LARGE], ids=[r[0] for r in TOO_LARGE]
)
def test_rule_that_was_not_parsed_has_the_same_bounds(rule: Rule, problem: str) -> None:
    with pytest.raises(RuleError, match=problem):
        check_size(rule)


def test_references_count_as_parts_with_their_texts() -> None:
    reference = Reference(ReferenceKind.SEGMENT, "x" * 500)
    assert count_rules(Not(reference)) == 2
    check_size(All((reference,) * 100))
    with pytest.raises(RuleError, match="texts"):
        check_size(All((reference,) * 140))
