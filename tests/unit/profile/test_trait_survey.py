"""Traits are described by the types of their values and by what another cleaner would change."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from services.kernel.cleaning.cleaners import CLEANERS
from services.kernel.fold.events import IDENTIFY, EventView
from services.kernel.fold.leaf import LeafState, fold_event, view_of
from services.kernel.fold.predicate_index import PredicateIndex
from services.kernel.ids import ProfileId
from services.kernel.rules.features import Trait
from services.kernel.rules.model import Any_, Not, Predicate, Reference, ReferenceKind
from services.kernel.rules.references import Classification, Name
from services.kernel.rules.values import Operator
from services.kernel.tokens import Token
from services.profile.codec.trait_survey import survey_to_proto
from services.profile.domain import trait_survey
from services.profile.domain.trait_survey import SurveyedTraits, TraitSurvey, users_of

HOMES = ["北京", " 北京市 ", "南京", "nowhere", 7]


def survey_of(values: list[Any], cleaner: str, other: str | None) -> TraitSurvey:
    """Return the survey of persons; each states one value of `home`."""
    others = None if other is None else {"home": other}
    survey = TraitSurvey({"home": cleaner} if cleaner else {}, others)
    for number, value in enumerate(values):
        state = LeafState()
        fact_id, traits = number.to_bytes(16, "big"), msgspec.json.encode({"home": value})
        fold_event(state, EventView(IDENTIFY, "", 1, fact_id, b"", traits), PredicateIndex())
        survey.add(ProfileId(fact_id), view_of([state]))
    return survey


def test_trait_of_several_types_is_counted_by_type() -> None:
    survey = survey_of(["a", "b", 7, 1.5, True, [1], {"x": 1}, None], "", None)
    [(name, counts)] = survey.traits
    assert (name, counts.persons) == ("home", 7)
    assert dict(counts.types) == {1: 2, 2: 2, 3: 1, 4: 1, 5: 1}


def test_values_without_a_standard_form_are_counted() -> None:
    [(_, counts)] = survey_of(HOMES, "city@1", None).traits
    assert (counts.without_standard, counts.changed) == (2, 0)


def test_other_cleaner_is_compared_by_the_persons_whose_standard_form_changes() -> None:
    [(_, counts)] = survey_of([*HOMES, "江苏南京"], "city@1", "province@1").traits
    assert counts.changed == 2, "北京市 is its own province"
    [change] = counts.changes
    assert (change.before, change.after, change.persons) == ('"南京市"', '"江苏省"', 2)
    assert (change.value, change.profile_id) == ("南京", (2).to_bytes(16, "big"))


def test_changed_table_is_compared_as_another_version(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(CLEANERS, "city@2", lambda value: "南都" if value == "南京" else None)  # type: ignore[arg-type]
    [(_, counts)] = survey_of(HOMES, "city@1", "city@2").traits
    changes = {(change.before, change.after): change.persons for change in counts.changes}
    assert changes == {('"北京市"', ""): 2, ('"南京市"', '"南都"'): 1}


def test_cleaner_that_is_new_or_removed_changes_every_value_with_a_form() -> None:
    [(_, new)] = survey_of(HOMES, "", "city@1").traits
    [(_, removed)] = survey_of(HOMES, "city@1", "").traits
    assert new.changed == removed.changed == 3


def test_number_of_different_changes_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trait_survey, "MAX_CHANGES", 2)
    [(_, counts)] = survey_of(["北京", "南京", "上海", "上海"], "", "city@1").traits
    assert counts.changed == 4
    assert len(counts.changes) == 2


def test_definitions_that_compare_by_the_cleaner_in_force_are_named() -> None:
    kind = ReferenceKind
    cleaned = Predicate(Trait("home", cleaner="city@1"), Operator.EQ, "南京")
    raw = Predicate(Trait("home"), Operator.EXISTS)
    definitions = {
        Name(kind.SEGMENT, "south"): Classification.of(Any_((raw, Not(cleaned)))),
        Name(kind.TAG, "city"): Classification.of(cleaned),
        Name(kind.STAGE, "life"): Classification.of(raw),
        Name(kind.TAG, "user"): Classification.of(Reference(kind.TAG, "city")),
    }
    assert users_of(definitions, "home", "city@1") == ["south", "tag:city"]
    assert users_of(definitions, "home", "") == ["south", "stage:life"]
    surveyed = SurveyedTraits(
        survey_of(HOMES, "city@1", "province@1"), definitions, 5, 1, Token((1,))
    )
    [trait] = survey_to_proto(surveyed).traits
    assert list(trait.change.definitions) == ["south", "tag:city"]
    assert (trait.change.cleaner, trait.change.values[0].before) == (
        "province@1",
        '"南京市"'.encode(),
    )
