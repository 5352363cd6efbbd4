"""Tests checks of definitions beside others that are about to be defined."""

from __future__ import annotations

import pytest

from services.kernel.errors import RuleError
from services.kernel.rules.forms.json_form import parse_rule
from services.kernel.rules.model import ReferenceKind
from services.kernel.rules.references import Classification, Name, ValueRule, check_definition

STAGES = Name(ReferenceKind.STAGE, "lifecycle")
USER = Name(ReferenceKind.SEGMENT, "user")
RULE = parse_rule({"count": {"event": "a", "at_least": 1}})


def stages(*names: str) -> Classification:
    return Classification(tuple(ValueRule(name, RULE) for name in names), "other")


def user_of(stage: str) -> Classification:
    return Classification.of(parse_rule({"stage": {"of": "lifecycle", "is": stage}}))


def test_value_that_is_about_to_be_defined_is_not_checked_against_the_definition_in_force() -> None:
    before = {STAGES: stages("old")}
    check_definition(USER, user_of("new"), before, {STAGES})
    with pytest.raises(RuleError, match="has no value `new`"):
        check_definition(USER, user_of("new"), before)


def test_definition_in_force_that_needs_a_removed_value_is_still_an_error() -> None:
    before = {STAGES: stages("old"), USER: user_of("old")}
    with pytest.raises(RuleError, match="in the segment `user`, which refers to it"):
        check_definition(STAGES, stages("new"), before, {STAGES, USER})
    check_definition(STAGES, stages("new", "old"), before, {STAGES, USER})
