"""Tests that references are replaced by what they name, within bounds, whatever refers to what."""

from __future__ import annotations

import re

import pytest

from services.kernel.errors import RuleError
from services.kernel.rules import references
from services.kernel.rules.ids import predicates
from services.kernel.rules.limits import count_rules
from services.kernel.rules.model import All, Any_, Not, Reference, ReferenceKind, Rule
from services.kernel.rules.references import (
    MAX_EXPANDED,
    Classification,
    Name,
    ValueRule,
    check_definition,
    expand,
    expand_known,
)
from services.kernel.rules.values import Operator
from tests.rule_builders import trait_is

TAG, STAGE, SEGMENT = ReferenceKind.TAG, ReferenceKind.STAGE, ReferenceKind.SEGMENT


def leaf(name: str) -> Rule:
    return trait_is(name, Operator.EQ, 1)


def tag(name: str, value: str = "") -> Reference:
    return Reference(TAG, name, value)


def simple(rule: Rule) -> Classification:
    return Classification.of(rule)


def layers(*rules: Rule, default: str = "") -> Classification:
    return Classification(tuple(ValueRule(f"v{i}", rule) for i, rule in enumerate(rules)), default)


def test_reference_is_replaced_by_the_rule_that_it_names() -> None:
    definitions = {Name(TAG, "a"): simple(leaf("x")), Name(SEGMENT, "s"): simple(Not(tag("a")))}
    rule = All((Reference(SEGMENT, "s"), leaf("y")))
    assert expand(rule, definitions) == All((Not(leaf("x")), leaf("y")))


def test_value_excludes_the_values_before_it_and_the_default_all_of_them() -> None:
    definitions = {Name(STAGE, "life"): layers(leaf("x"), leaf("y"), default="rest")}
    a, b = leaf("x"), leaf("y")
    assert expand(Reference(STAGE, "life", "v0"), definitions) == a
    assert expand(Reference(STAGE, "life", "v1"), definitions) == All((b, Not(a)))
    assert expand(Reference(STAGE, "life", "rest"), definitions) == All((Not(a), Not(b)))


@pytest.mark.parametrize(
    ("rule", "problem"),
    [
        (tag("none"), "there is no tag `none`"),
        (tag("layers", "v9"), "the tag `layers` has no value `v9`"),
        (tag("ring"), "refer to each other: ring → ring"),
    ],
)
def test_reference_to_nothing_is_refused_and_never_true_in_a_fold(rule: Rule, problem: str) -> None:
    definitions = {
        Name(TAG, "layers"): layers(leaf("x"), leaf("y")),
        Name(TAG, "ring"): simple(tag("ring")),
    }
    with pytest.raises(RuleError, match=problem):
        expand(rule, definitions)
    assert expand_known(rule, definitions) == Any_(())


def test_definition_that_grows_the_rules_of_its_users_is_refused() -> None:
    """Each definition is small, and together they would be a tree of a million parts."""
    definitions = {Name(TAG, "leaf"): simple(leaf("x"))}
    for name, next_ in (("z3", "leaf"), ("z2", "z3"), ("z1", "z2"), ("z0", "z1")):
        definitions[Name(TAG, name)] = simple(tag(next_))
    for name, next_ in (("z0", "z1"), ("z1", "z2")):
        wide = simple(Any_((tag(next_),) * 90))
        check_definition(Name(TAG, name), wide, definitions)
        definitions[Name(TAG, name)] = wide
    with pytest.raises(RuleError, match="in the tag `z0`, which refers to it"):
        check_definition(Name(TAG, "z2"), simple(Any_((tag("z3"),) * 90)), definitions)
    for name, classification in definitions.items():
        for _, rule in classification.values:
            expanded = expand_known(rule, definitions)
            assert count_rules(expanded) <= MAX_EXPANDED, name


def test_reference_to_too_large_a_rule_is_never_true_in_a_fold() -> None:
    """Definitions that reach the log at once can be too large together; a fold stays bounded."""
    definitions = {Name(TAG, "leaf"): simple(leaf("x"))}
    for name, next_ in (("z3", "leaf"), ("z2", "z3"), ("z1", "z2"), ("z0", "z1")):
        definitions[Name(TAG, name)] = simple(Any_((tag(next_),) * 100))
    expanded = expand_known(tag("z0"), definitions)
    assert count_rules(expanded) <= MAX_EXPANDED
    assert len(predicates(expanded)) <= 1


def test_values_whose_exclusions_are_too_large_are_refused() -> None:
    many = tuple(All(tuple(leaf(f"{i}-{n}") for n in range(190))) for i in range(99))
    with pytest.raises(RuleError, match="more than 10000 parts") as refused:
        check_definition(Name(TAG, "layers"), layers(*many, default="rest"), {})
    assert refused.value.field.startswith("values[")


@pytest.mark.parametrize("length", [60, 400])
def test_long_chain_of_references_is_refused_and_bounded(length: int) -> None:
    definitions = {Name(TAG, "c0"): simple(leaf("x"))}
    for i in range(1, length):
        definitions[Name(TAG, f"c{i}")] = simple(tag(f"c{i - 1}"))
    with pytest.raises(RuleError, match="in a row"):
        expand(tag(f"c{length - 1}"), definitions)
    assert expand_known(tag(f"c{length - 1}"), definitions) == Any_(())


def test_rule_that_is_too_deep_with_its_references_is_refused() -> None:
    deep: Rule = leaf("x")
    for _ in range(30):
        deep = Not(deep)
    definitions = {Name(TAG, "d0"): simple(deep)}
    for i in range(1, 5):
        nested: Rule = tag(f"d{i - 1}")
        for _ in range(30):
            nested = Not(nested)
        definitions[Name(TAG, f"d{i}")] = simple(nested)
    with pytest.raises(RuleError, match="more than 100 deep"):
        expand(tag("d4"), definitions)


def test_rules_of_a_workspace_are_bounded_together() -> None:
    big = simple(Any_(tuple(leaf(f"{n}") for n in range(900))))
    definitions = {Name(TAG, "big"): big}
    definitions |= {Name(TAG, f"u{i}"): simple(Any_((tag("big"),) * 10)) for i in range(22)}
    with pytest.raises(RuleError, match="all rules of the workspace"):
        check_definition(Name(TAG, "last"), simple(Any_((tag("big"),) * 10)), definitions)


def test_definition_in_use_is_not_retired() -> None:
    definitions = {Name(TAG, "a"): simple(leaf("x")), Name(SEGMENT, "s"): simple(tag("a"))}
    with pytest.raises(RuleError, match="in use by segment `s`"):
        check_definition(Name(TAG, "a"), None, definitions)


def test_cycle_by_way_of_others_is_refused() -> None:
    definitions = {
        Name(TAG, "a"): simple(leaf("x")),
        Name(TAG, "b"): simple(tag("a")),
        Name(SEGMENT, "s"): simple(tag("b")),
    }
    with pytest.raises(RuleError, match="refer to each other"):
        check_definition(Name(TAG, "a"), simple(Reference(SEGMENT, "s")), definitions)


def test_all_wrong_references_of_a_rule_and_of_all_values_are_reported_together() -> None:
    rule = All((tag("none"), Any_((Reference(SEGMENT, "gone"), leaf("x"))), tag("none")))
    with pytest.raises(RuleError) as raised:
        expand(rule, {})
    assert raised.value.message == (
        "there is no tag `none`; define the tag first;"
        " there is no segment `gone`; define the segment first"
    )
    life = layers(leaf("x"), tag("none"), All((tag("gone"), tag("lost"))), default="rest")
    with pytest.raises(RuleError) as raised:
        check_definition(Name(STAGE, "life"), life, {})
    assert raised.value.field == "values[1].rule"
    places = re.findall(r"(values\[\d\]\.rule): there is no tag `(\w+)`", raised.value.message)
    assert places == [
        ("values[1].rule", "none"),
        ("values[2].rule", "gone"),
        ("values[2].rule", "lost"),
    ]


def test_work_on_wrong_references_is_bounded_however_they_are_repeated(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Each of 30 definitions refers ten times to the next one, and the last one to nothing."""
    definitions = {Name(TAG, f"t{i}"): simple(All((tag(f"t{i + 1}"),) * 10)) for i in range(30)}
    refused: list[str] = []
    refuse = references._Expansion._refuse

    def counting(self: references._Expansion, problem: str, remedy: str) -> object:
        refused.append(problem)
        return refuse(self, problem, remedy)

    monkeypatch.setattr(references._Expansion, "_refuse", counting)
    with pytest.raises(RuleError, match="there is no tag `t30`"):
        expand(tag("t0"), definitions)
    assert len(refused) <= 2 * references.MAX_ERRORS
