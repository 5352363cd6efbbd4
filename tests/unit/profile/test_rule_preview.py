"""Tests the evaluation of rules that are not defined."""

from __future__ import annotations

from services.kernel.fold.events import TRACK, EventView
from services.kernel.fold.leaf import LeafState, ProfileView, fold_event, view_of
from services.kernel.ids import ProfileId
from services.kernel.rules.forms.json_form import parse_rule
from services.profile.domain.rule_preview import RuleEvaluation, sampling

BOUGHT = parse_rule({"count": {"event": "bought", "at_least": 1}})
TWICE = parse_rule({"count": {"event": "bought", "at_least": 2}})
NEVER = parse_rule({"not": {"count": {"event": "bought", "at_least": 1}}})


def bought(evaluation: RuleEvaluation, times: int) -> ProfileView:
    state = LeafState()
    for n in range(times):
        event = EventView(TRACK, "bought", n, bytes([n]) * 16)
        fold_event(state, event, evaluation.index)
    return view_of([state])


def test_profile_is_evaluated_with_all_rules_and_a_sample_with_their_predicates() -> None:
    evaluation = RuleEvaluation([TWICE, BOUGHT, NEVER], samples=1)
    once, twice = bought(evaluation, 1), bought(evaluation, 2)
    found = [
        evaluation.evaluate(ProfileId(bytes([n]) * 16), view, 10)
        for n, view in enumerate((once, once, twice, bought(evaluation, 0)))
    ]
    assert [one.true_rules for one in found] == [[1], [1], [0, 1], [2]]
    assert [[a.actual for a in one.answers] for one in found] == [[1], [], [2], [0]]
    assert not evaluation.reads_objects


def test_few_profiles_are_all_evaluated_and_of_many_about_half_as_many() -> None:
    assert sampling(0, 20_000) == sampling(20_000, 20_000) == 1
    assert sampling(20_001, 20_000) == 3
    assert sampling(1_000_000, 20_000) == 100
