"""The five blocks of the view of a person, and the computed traits of orders."""

from __future__ import annotations

from dataclasses import replace

import pytest
from onefold.profile.v1 import profile_facts_pb2 as facts_pb

from services.kernel.errors import InvalidField
from services.kernel.fold.events import TRACK, EventView
from services.kernel.fold.leaf import LeafState, fold_event, view_of
from services.kernel.fold.predicate_index import PredicateIndex
from services.kernel.ids import ProfileId, WorkspaceId
from services.kernel.rules.features import OrderDefinition, OrderMeasure, Orders, TopValues
from services.kernel.rules.filters import EventFilter
from services.kernel.rules.model import Predicate, Rule
from services.kernel.rules.values import Operator
from services.kernel.time import DAY_US
from services.profile.codec.blocks import blocks_to_proto
from services.profile.codec.definitions import settings_from_proto, settings_to_proto
from services.profile.domain.blocks import BlockNames, ProfileBlock, ProfileBlocks
from services.profile.domain.profile import Profile
from services.profile.domain.settings import (
    ComputedTrait,
    WorkspaceSettings,
    check_settings,
    computed_values,
)
from services.profile.domain.tags import TagKind, TagOfProfile
from tests.rule_builders import count_of, events_named, trait_is

W = WorkspaceId("school")
VIEWED = EventFilter.of("viewed")
TOP = ComputedTrait("top_courses", Predicate(TopValues(VIEWED, "course", 3), Operator.EXISTS))
ORDERS = OrderDefinition(
    EventFilter.of("paid"), "order", "amount", EventFilter.of("refunded"), "order", "amount"
)
SETTINGS = WorkspaceSettings(W, 1, orders=ORDERS, computed_traits=(TOP,))


def tag(tag_id: str, kind: TagKind = TagKind.TAG) -> TagOfProfile:
    return TagOfProfile(tag_id, "", kind)


RULES: dict[TagOfProfile, Rule] = {
    tag("rich"): Predicate(Orders(ORDERS, OrderMeasure.NET_SPEND), Operator.GE, 1_000),
    tag("active"): count_of(events_named("viewed"), 0, Operator.GE, 1),
    tag("in_east"): trait_is("city", Operator.EQ, "上海市"),
}


def test_blocks_without_settings_go_by_what_is_read() -> None:
    computed = [t.name for t in SETTINGS.all_computed_traits]
    tags = [*RULES, tag("predicted_churn"), tag("lifecycle", TagKind.STAGE)]
    traits = ["city", "predicted_ltv", "preferred_channel", "name"]
    assert ProfileBlocks(SETTINGS, RULES).split(traits, computed, tags) == {
        ProfileBlock.DEMOGRAPHICS: BlockNames(["city", "name"], [], ["in_east"]),
        ProfileBlock.PREFERENCES: BlockNames(["preferred_channel"], ["top_courses"], []),
        ProfileBlock.TRANSACTIONS: BlockNames(
            [], ["lifetime_value", "order_count", "repurchase_interval_days"], ["rich"]
        ),
        ProfileBlock.INTERACTIONS: BlockNames([], [], ["active", "lifecycle"]),
        ProfileBlock.PREDICTIONS: BlockNames(
            ["predicted_ltv"], ["days_until_next_order"], ["predicted_churn"]
        ),
    }


def test_blocks_of_the_settings_take_precedence() -> None:
    settings = replace(SETTINGS, blocks=((2, ("city", "lifetime_value"), ("active",)),))
    blocks = ProfileBlocks(settings, RULES).split(["city"], ["lifetime_value"], [tag("active")])
    assert blocks[ProfileBlock.PREFERENCES] == BlockNames(["city"], ["lifetime_value"], ["active"])


def test_profile_without_anything_has_five_empty_blocks() -> None:
    profile = Profile(ProfileId(bytes(16)), [], view_of([LeafState()]), [], [])
    for own in (profile, profile.in_blocks(ProfileBlocks(SETTINGS, RULES))):
        messages = blocks_to_proto(own.blocks)
        assert [m.block for m in messages] == [1, 2, 3, 4, 5]
        assert not any(m.traits or m.computed_traits or m.tags for m in messages)


def bought(number: int, day: int, name: str, order: str, amount: str) -> EventView:
    properties = f'{{"order":"{order}","amount":{amount}}}'.encode()
    return EventView(TRACK, name, day * DAY_US, number.to_bytes(16, "big"), properties)


def test_workspace_with_orders_has_the_lifetime_value_to_the_cent_and_the_next_purchase() -> None:
    index = PredicateIndex(t.feature for t in SETTINGS.all_computed_traits)
    state = LeafState()
    for event in (
        bought(1, 10, "paid", "a", "0.10"),
        bought(2, 20, "paid", "b", "0.20"),
        bought(3, 21, "refunded", "b", "0.05"),
        bought(4, 40, "paid", "c", "1999.99"),
    ):
        fold_event(state, event, index)
    values = dict(computed_values(SETTINGS, view_of([state]), 45 * DAY_US))
    assert values["lifetime_value"] == 2000.24
    assert values["order_count"] == 3
    assert values["repurchase_interval_days"] == 15
    assert values["days_until_next_order"] == 10


def test_workspace_without_orders_has_the_computed_traits_that_it_defines() -> None:
    assert replace(SETTINGS, orders=None).all_computed_traits == (TOP,)


def test_computed_trait_of_the_workspace_replaces_that_of_orders() -> None:
    own = TOP._replace(name="lifetime_value")
    settings = replace(SETTINGS, computed_traits=(own,))
    assert [t for t in settings.all_computed_traits if t.name == "lifetime_value"] == [own]


def test_settings_with_kinds_and_blocks_are_the_same_after_translation() -> None:
    settings = replace(
        SETTINGS,
        timeline=((4, ("settled",)), (1, ("came", "clicked"))),
        blocks=((2, ("city",), ("active",)),),
    )
    check_settings(settings)
    assert settings_from_proto(W, settings_to_proto(settings)) == settings


@pytest.mark.parametrize(
    ("parts", "field"),
    [
        ({"timeline": [{"kind": 0, "events": ["x"]}]}, "settings.timeline[0].kind"),
        (
            {"timeline": [{"kind": 1, "events": ["x"]}, {"kind": 2, "events": ["x"]}]},
            "settings.timeline",
        ),
        ({"timeline": [{"kind": 1, "events": [""]}]}, "settings.timeline"),
        ({"blocks": [{"block": 6, "tags": ["x"]}]}, "settings.blocks[0].block"),
        ({"blocks": [{"block": 1, "tags": ["x", "x"]}]}, "settings.blocks"),
        ({"blocks": [{"block": 1, "traits": [f"t{i}" for i in range(1_001)]}]}, "settings.blocks"),
    ],
    ids=["kind", "event-twice", "no-name", "block", "tag-twice", "too-many"],
)
def test_settings_with_a_wrong_mapping_are_rejected(parts: dict[str, object], field: str) -> None:
    message = facts_pb.ProfileSettingsDefined(zone="UTC", **parts)  # type: ignore[arg-type]
    with pytest.raises(InvalidField) as error:
        check_settings(settings_from_proto(W, message))
    assert error.value.field == field
