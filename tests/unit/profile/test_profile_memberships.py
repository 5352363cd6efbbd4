"""Tests what a person can be a member of, and the segments of a past profile."""

from __future__ import annotations

from services.kernel.fold.events import TRACK, EventView
from services.kernel.fold.leaf import LeafState, ProfileView, fold_event
from services.kernel.fold.predicate_index import PredicateIndex
from services.kernel.ids import WorkspaceId
from services.kernel.rules.model import Reference, ReferenceKind
from services.kernel.rules.references import Classification, Name, ValueRule
from services.kernel.rules.values import Operator
from services.profile.domain.settings import WorkspaceSettings
from services.profile.domain.tags import (
    RuleSet,
    WorkspaceDefinitions,
    membership_references,
    segment_rules,
)
from tests.rule_builders import count_of, events_named

VIEWED = count_of(events_named("viewed"), 0, Operator.GE, 1)
BOUGHT = count_of(events_named("bought"), 0, Operator.GE, 1)
SEGMENT, TAG, STAGE = ReferenceKind.SEGMENT, ReferenceKind.TAG, ReferenceKind.STAGE
DEFINITIONS = WorkspaceDefinitions(
    {},
    {
        Name(SEGMENT, "viewers"): Classification.of(Reference(TAG, "keen")),
        Name(SEGMENT, "buyers"): Classification.of(BOUGHT),
        Name(TAG, "keen"): Classification.of(VIEWED),
        Name(TAG, "layer"): Classification((ValueRule("high", BOUGHT),), "low"),
        Name(STAGE, "life"): Classification((ValueRule("active", VIEWED),), "silent"),
    },
    WorkspaceSettings(WorkspaceId("w")),
    {},
)


def test_memberships_are_named_as_segment_stores_them() -> None:
    assert membership_references(DEFINITIONS) == {
        "viewers": Reference(SEGMENT, "viewers"),
        "buyers": Reference(SEGMENT, "buyers"),
        "tag:keen": Reference(TAG, "keen"),
        "tag:layer": Reference(TAG, "layer"),
        "tag:layer=high": Reference(TAG, "layer", "high"),
        "tag:layer=low": Reference(TAG, "layer", "low"),
        "stage:life=active": Reference(STAGE, "life", "active"),
        "stage:life=silent": Reference(STAGE, "life", "silent"),
    }


def test_segments_of_a_past_profile_follow_from_rules_with_their_references() -> None:
    rules, state = segment_rules(DEFINITIONS), LeafState()
    view_event = EventView(TRACK, "viewed", 5, bytes(16))
    fold_event(state, view_event, PredicateIndex.from_rules(rules.values()))
    assert RuleSet(rules).true_of(ProfileView((state,)), 9) == ["viewers"]
