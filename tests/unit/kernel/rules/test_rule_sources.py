"""A predicate of a trait names the sources of which the winning statement must come from one."""

from __future__ import annotations

from typing import Any

import pytest

from services.kernel.errors import RuleError
from services.kernel.rules.features import MAX_SOURCES, Trait
from services.kernel.rules.forms.json_form import dump_rule, parse_rule
from services.kernel.rules.forms.text import to_text
from services.kernel.rules.forms.text_parse import parse_text
from services.kernel.rules.forms.text_words import Language
from services.kernel.rules.model import Predicate
from services.kernel.rules.values import Operator
from services.kernel.trust import Party

FROM_TWO = Predicate(Trait("city", (Party.FIRST,), "", ("crm", "来源于")), Operator.EQ, "a")


def test_sources_are_a_set() -> None:
    assert Trait("city", sources=("b", "a", "b")) == Trait("city", sources=("a", "b"))


@pytest.mark.parametrize(
    ("language", "text"),
    [
        (Language.ENGLISH, 'city from first party stated by crm, "来源于" = "a"'),
        (Language.CHINESE, 'city 来自 第一方 来源于 crm, "来源于" = "a"'),
    ],
)
def test_sources_are_written_and_read_as_text(language: Language, text: str) -> None:
    assert to_text(FROM_TWO, language) == text
    assert parse_text(text) == FROM_TWO


def test_sources_are_written_and_read_as_json() -> None:
    form = {"trait": {"name": "city", "party": ["first"], "from": ["crm", "来源于"], "eq": "a"}}
    assert dump_rule(FROM_TWO) == form
    assert parse_rule(form) == FROM_TWO


@pytest.mark.parametrize(
    ("sources", "field"),
    [
        *((5, "trait.from"), ([], "trait.from"), ({"crm": 1}, "trait.from")),
        *(("", "trait.from[0]"), (["crm", 5], "trait.from[1]"), (["x" * 513], "trait.from[0]")),
        ([f"s{n}" for n in range(MAX_SOURCES + 1)], "trait.from"),
    ],
)
def test_invalid_sources_are_refused_with_their_path(sources: Any, field: str) -> None:
    with pytest.raises(RuleError) as error:
        parse_rule({"trait": {"name": "city", "from": sources, "exists": True}})
    assert error.value.field == field


def test_touch_from_a_source_is_refused_at_its_name() -> None:
    with pytest.raises(RuleError) as error:
        parse_rule({"trait": {"name": "last_touch.source", "from": "crm", "eq": "a"}})
    assert error.value.field == "trait.name"


@pytest.mark.parametrize("word", ["source", "sources"])
def test_likely_other_word_is_corrected(word: str) -> None:
    with pytest.raises(RuleError, match="write `from`"):
        parse_rule({"trait": {"name": "city", word: "crm", "eq": "a"}})
