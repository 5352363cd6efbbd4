"""Tests that every YAML example of the documentation does what its title says."""

from __future__ import annotations

from functools import cache

import pytest
from docs_examples.cases import CASES, Cases
from docs_examples.pages import PAGES, examples_of, pack_of
from pack_rules import PackRules

from services.cli.commands.rules import check_pack

ALL = [(page, id_) for page, cases in CASES.items() for id_ in cases]


@cache
def rules_of(page: str) -> PackRules:
    return PackRules(pack_of(page))


@pytest.mark.parametrize("page", PAGES)
def test_every_rule_of_a_page_has_cases_of_both_results(page: str) -> None:
    assert rules_of(page).rules.keys() == CASES.get(page, {}).keys()
    assert all(cases.holds and cases.fails for cases in CASES.get(page, {}).values())


@pytest.mark.parametrize(("page", "id_"), ALL)
def test_rule_of_an_example_selects_those_that_its_title_names(page: str, id_: str) -> None:
    rules, cases = rules_of(page), CASES[page][id_]
    assert [id_ in rules.memberships(calls) for calls in cases.holds] == [True] * len(cases.holds)
    assert [id_ in rules.memberships(calls) for calls in cases.fails] == [False] * len(cases.fails)


@pytest.mark.parametrize("page", PAGES)
def test_text_below_an_example_is_that_of_its_rules(page: str) -> None:
    for pack, settings, text in examples_of(page):
        if text:
            checked = check_pack(pack, settings)
            lines = [line for rule in checked for line in (rule.title, rule.english, rule.chinese)]
            assert text.splitlines() == lines


def test_cases_name_no_page_without_examples() -> None:
    assert set(CASES) <= set(PAGES)
    assert isinstance(next(iter(CASES["README.md"].values())), Cases)
