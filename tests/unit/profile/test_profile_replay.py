"""Tests tags, and profiles replayed from the events of their leaves."""

from __future__ import annotations

from dataclasses import replace

import pytest

from services.kernel.errors import InvalidField
from services.kernel.fold.events import IDENTIFY, TRACK, EventView
from services.kernel.fold.leaf import LeafState, fold_event, view_of
from services.kernel.fold.predicate_index import PredicateIndex
from services.kernel.identifiers.model import Identifier
from services.kernel.ids import FactId, LeafId, WorkspaceId
from services.kernel.rules.evaluate import (
    CompiledPredicate,
    PredicateResult,
    ProfileFacts,
    compile_predicate,
)
from services.kernel.rules.ids import predicate_id
from services.kernel.rules.model import All, Not, Predicate
from services.kernel.rules.references import Classification, ValueRule
from services.kernel.rules.values import Operator
from services.profile.domain import tags
from services.profile.domain.profile import LeafEvent, TimelineCursor, cursor_after, replay
from services.profile.domain.settings import WorkspaceSettings
from services.profile.domain.tags import (
    PredicateAnswer,
    RuleSet,
    Tag,
    TagKind,
    TagOfProfile,
    WorkspaceDefinitions,
    active_rules,
    answer_rule,
    check_tag,
    newest_tags,
)
from tests.rule_builders import count_of, events_named, trait_is

VIEWED = count_of(events_named("viewed"), 0, Operator.GE, 1)
LOCAL = trait_is("city", Operator.EQ, "北京市")
KEEN = All((VIEWED, Not(LOCAL)))


def tag(tag_id: str, version: int = 1, *, retired: bool = False) -> Tag:
    classification = Classification.of(KEEN)
    return Tag(WorkspaceId("w"), tag_id, version, "t", classification, retired=retired)


def workspace(*tags: Tag) -> WorkspaceDefinitions:
    settings = WorkspaceSettings(WorkspaceId("w"))
    return WorkspaceDefinitions(newest_tags(tags), {}, settings, {})


def plain(tag_id: str) -> TagOfProfile:
    return TagOfProfile(tag_id, "", TagKind.TAG)


def fact(number: int) -> FactId:
    return FactId(number.to_bytes(16, "big"))


def test_newest_tags_have_the_highest_version_of_each_id() -> None:
    tags = newest_tags([tag("b"), tag("a", 2), tag("a", 1)])
    assert [(t.tag_id, t.version) for t in tags.values()] == [("a", 2), ("b", 1)]


def test_active_rules_leave_out_retired_tags_and_tags_that_lack_old_events() -> None:
    defined = workspace(tag("a"), tag("b", retired=True))
    assert active_rules(defined).keys() == {plain("a")}
    both = {predicate_id(VIEWED), predicate_id(LOCAL)}
    assert active_rules(defined, both).keys() == {plain("a")}
    # What reads no accumulator is complete from the start.
    assert active_rules(defined, {predicate_id(VIEWED)}).keys() == {plain("a")}
    assert active_rules(defined, {predicate_id(LOCAL)}).keys() == set()


def test_values_of_a_tag_exclude_each_other_and_the_default_is_for_the_rest() -> None:
    values = (ValueRule("viewer", VIEWED), ValueRule("keen", KEEN))
    stages = Tag(WorkspaceId("w"), "life", 1, "", Classification(values, "visitor"), TagKind.STAGE)
    rules = active_rules(
        WorkspaceDefinitions({"life": stages}, {}, WorkspaceSettings(WorkspaceId("w")), {})
    )
    state = LeafState()
    assert [t.value for t in RuleSet(rules).true_of(view_of([state]), 9)] == ["visitor"]
    fold_event(state, EventView(TRACK, "viewed", 5, fact(1)), PredicateIndex([VIEWED]))
    assert [t.value for t in RuleSet(rules).true_of(view_of([state]), 9)] == ["viewer"]


@pytest.mark.parametrize("tag_id", ["", "x" * 129, "a\nb"])
def test_tag_with_an_unusable_id_is_rejected(tag_id: str) -> None:
    check_tag(tag("x" * 128))
    with pytest.raises(InvalidField) as rejected:
        check_tag(tag(tag_id))
    assert rejected.value.field == "tag.tag_id"


def test_answer_of_a_rule_has_the_result_of_each_predicate() -> None:
    state = LeafState()
    fold_event(state, EventView(TRACK, "viewed", 5, fact(1)), PredicateIndex([VIEWED]))
    view = view_of([state])
    holds, answers = answer_rule(KEEN, view, 9)
    assert holds
    assert answers == [PredicateAnswer(VIEWED, 1, True), PredicateAnswer(LOCAL, None, False)]
    rules = {plain("keen"): KEEN, plain("local"): LOCAL}
    assert RuleSet(rules).true_of(view, 9) == [plain("keen")]


def test_predicate_that_many_rules_share_is_evaluated_once(monkeypatch: pytest.MonkeyPatch) -> None:
    evaluated: list[int] = []

    def compiled(predicate: Predicate) -> CompiledPredicate:
        found = compile_predicate(predicate)

        def evaluate(profile: ProfileFacts, at_us: int) -> PredicateResult:
            evaluated.append(found.id)
            return found.evaluate(profile, at_us)

        return replace(found, evaluate=evaluate)

    monkeypatch.setattr(tags, "compile_predicate", compiled)
    rules = {plain("keen"): KEEN, plain("viewer"): VIEWED, plain("absent"): Not(VIEWED)}
    assert RuleSet(rules).true_of(view_of([LeafState()]), 9) == [plain("absent")]
    assert sorted(evaluated) == sorted(predicate_id(p) for p in (VIEWED, LOCAL))


def test_replayed_profile_combines_the_events_of_several_leaves() -> None:
    ann, user = Identifier("anonymous_id", "a"), Identifier("user_id", "u")
    identify = EventView(IDENTIFY, "", 7, fact(2), b"", b'{"n":1}')
    events = [
        LeafEvent(LeafId(b"a" * 16), EventView(TRACK, "viewed", 5, fact(1)), (ann,)),
        LeafEvent(LeafId(b"u" * 16), identify, (ann, user)),
    ]
    replayed = replay(events, PredicateIndex([VIEWED]))
    assert replayed.identifiers == {ann, user}
    assert replayed.leaf_ids == [b"a" * 16, b"u" * 16]
    assert (replayed.view.event_count, replayed.view.trait("n")) == (2, 1)


def test_timeline_cursor_counts_the_entries_of_its_instant_over_pages() -> None:
    first = cursor_after(None, [(9, fact(3)), (7, fact(2)), (7, fact(1))])
    assert first == TimelineCursor(7, fact(1), 2)
    assert cursor_after(first, [(7, fact(0))]) == TimelineCursor(7, fact(0), 3)
    later = cursor_after(first, [(7, fact(0)), (5, fact(9))])
    assert later == TimelineCursor(5, fact(9), 1)
