"""Tests what slots show: shares, rules, forms and mistakes."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.chassis.codec.journeys import slot_from_proto, slot_to_proto
from services.kernel.errors import RuleError
from services.kernel.journeys.decisions import (
    MAX_CONTENT,
    MAX_VARIANTS,
    Slot,
    SlotVariant,
    canonical,
    dump_slot,
    parse_slot,
    slot_problems,
    variant_for,
)
from services.kernel.journeys.model import MILLION
from services.kernel.rules.defaults import Defaults
from services.kernel.rules.features import Trait
from services.kernel.rules.model import All, Any_, Not, Predicate, Reference, ReferenceKind, Rule
from services.kernel.rules.values import Operator

SEGMENT, TAG, STAGE = ReferenceKind.SEGMENT, ReferenceKind.TAG, ReferenceKind.STAGE
REFERENCES = {
    "a": Reference(SEGMENT, "a"),
    "b": Reference(SEGMENT, "b"),
    "tag:t=x": Reference(TAG, "t", "x"),
    "stage:s=y": Reference(STAGE, "s", "y"),
}
RULES: st.SearchStrategy[Rule] = st.recursive(
    st.sampled_from([*REFERENCES.values()]),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3).map(lambda rules: All(tuple(rules))),
        st.lists(inner, max_size=3).map(lambda rules: Any_(tuple(rules))),
        inner.map(Not),
    ),
    max_leaves=6,
)
MEMBERSHIPS = st.frozensets(st.sampled_from([*REFERENCES]))


def slot(*variants: SlotVariant, **more: Any) -> Slot:
    return Slot("home", variants=variants, **more)


def expected(rule: Rule, ids: frozenset[str]) -> bool:
    """Return whether a rule is true, by Python's own words."""
    match rule:
        case All():
            return min((expected(each, ids) for each in rule.rules), default=True)
        case Any_():
            return max((expected(each, ids) for each in rule.rules), default=False)
        case Not():
            return expected(rule.rule, ids) is False
        case _:
            return any(REFERENCES[id_] == rule for id_ in ids)


@given(RULES, MEMBERSHIPS)
def test_variant_is_shown_exactly_where_its_rule_is_true(rule: Rule, ids: frozenset[str]) -> None:
    shown = variant_for(slot(SlotVariant("v", rule)), ids, 0)
    assert (shown is not None) == expected(rule, ids)


@given(
    st.lists(st.tuples(RULES, st.integers(1, MILLION)), max_size=4),
    MEMBERSHIPS,
    st.integers(0, MILLION - 1),
)
def test_shares_divide_the_numbers_among_the_variants_whose_rule_is_true(
    own: list[tuple[Rule, int]], ids: frozenset[str], number: int
) -> None:
    variants = [SlotVariant(str(i), rule, share_ppm=ppm) for i, (rule, ppm) in enumerate(own)]
    shown = variant_for(slot(*variants), ids, number)
    taken = 0
    for variant in variants:
        if variant.when is not None and expected(variant.when, ids):
            mine = taken <= number < taken + variant.share_ppm
            assert (shown is variant) == mine
            taken += variant.share_ppm
        else:
            assert shown is not variant


@pytest.mark.parametrize(("id_", "is_shown"), [("tag:t=x", True), ("tag:t", True), ("tag:tt=x", 0)])
def test_tag_without_a_value_counts_with_any_value(id_: str, is_shown: bool) -> None:
    shown = variant_for(slot(SlotVariant("v", Reference(TAG, "t"))), {id_}, 0)
    assert (shown is not None) == is_shown


CONTENTS = st.dictionaries(st.text(max_size=5), st.text(max_size=5), max_size=2).map(
    lambda value: json.dumps(value).encode()
)


@given(st.lists(st.tuples(RULES | st.none(), CONTENTS, st.integers(1, 100)), max_size=3), CONTENTS)
def test_slot_survives_its_form_and_its_message(
    own: list[tuple[Rule | None, bytes, int]], fallback: bytes
) -> None:
    variants = [
        SlotVariant(f"v{i}", when, content, percent * 10_000)
        for i, (when, content, percent) in enumerate(own)
    ]
    found = canonical(slot(*variants, title="Home", fallback=fallback, salt="s"))
    assert slot_from_proto(slot_to_proto(found)) == found
    assert parse_slot(dump_slot(found, Defaults()), "slots[0]", Defaults()) == found


def test_slot_with_many_mistakes_names_each_of_them() -> None:
    by_trait = Predicate(Trait("city"), Operator.EQ, "x")
    wrong = slot(
        SlotVariant("v", Not(by_trait)),
        SlotVariant("v", content=b"[1]"),
        SlotVariant("", content=b"{"),
        SlotVariant("w", content=b'"' + b"x" * MAX_CONTENT + b'"', share_ppm=MILLION + 1),
        title="x" * 201,
        salt="x" * 129,
    )
    found = [problem.problem for problem in slot_problems(wrong)]
    assert found == [
        "an id is empty, long or not printable",
        "the title is long",
        "the salt is long",
        "several variants have this id",
        "the content is no JSON object",
        "the content is no JSON object",
        "the content is large",
        "the rule looks at more than segments, tags and stages",
        "the share is no part of a whole",
    ]


@pytest.mark.parametrize("number", [0, MAX_VARIANTS + 1])
def test_slot_without_variants_or_with_too_many_is_a_mistake(number: int) -> None:
    [problem] = slot_problems(slot(*(SlotVariant(f"v{i}") for i in range(number))))
    assert problem.at == "variants"


def test_retired_slot_needs_no_variant() -> None:
    assert not slot_problems(slot(retired=True))


@pytest.mark.parametrize(
    ("more", "field"),
    [
        ({"share": "0%"}, "slots[0].variants[0].share"),
        ({"content": [1]}, "slots[0].variants[0].content"),
        ({"when": {"segment": ""}}, "slots[0].variants[0].when.segment"),
    ],
)
def test_form_with_a_mistake_names_its_place(more: dict[str, Any], field: str) -> None:
    form = {"id": "home", "variants": [{"id": "v", **more}]}
    with pytest.raises(RuleError) as caught:
        parse_slot(form, "slots[0]", Defaults())
    assert caught.value.field == field
