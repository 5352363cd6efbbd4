"""Who enters and leaves, decided without a database."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from services.kernel.ids import ProfileId, WorkspaceId
from services.kernel.rules.ids import predicate_id, predicates
from services.kernel.rules.json_form import parse_rule
from services.segment.domain.membership import Rulebook, came_back, changes, mark_returns, newest
from services.segment.domain.model import Cause, Definition, Standing

W = WorkspaceId("w")
BOUGHT = parse_rule({"count": {"event": "bought", "at_least": 1}})
VISITED = parse_rule({"count": {"event": "visited", "within": "7d", "at_least": 1}})
BUYERS = Definition(W, "buyers", 1, "", BOUGHT)
IDLE = Definition(
    W,
    "idle",
    1,
    "",
    parse_rule({"not": {"count": {"event": "visited", "within": "7d", "at_least": 1}}}),
)
BOUGHT_ID, VISITED_ID = (predicate_id(predicates(rule)[0]) for rule in (BOUGHT, VISITED))


def standing(n: int, *holds: int, version: int = 1, into: int | None = None) -> Standing:
    heir = None if into is None else profile(into)
    return Standing(W, profile(n), version, frozenset(holds), heir, 1_000)


def profile(n: int) -> ProfileId:
    return ProfileId(bytes([n]) * 16)


def test_a_profile_enters_what_holds_and_leaves_what_does_not() -> None:
    book = Rulebook([BUYERS, IDLE])
    told = changes([standing(1, BOUGHT_ID)], {profile(1): frozenset({"gone"})}, book)
    assert [(c.segment_id, c.entered) for c in told] == [
        ("buyers", True),
        ("gone", False),
        ("idle", True),
    ]


def test_what_stays_the_same_is_not_told() -> None:
    book = Rulebook([BUYERS])
    assert not changes([standing(1, BOUGHT_ID)], {profile(1): frozenset({"buyers"})}, book)


def test_a_frozen_segment_keeps_its_members_and_takes_none() -> None:
    book = Rulebook([], [BUYERS])
    assert not changes([standing(1)], {profile(1): frozenset({"buyers"})}, book)
    assert not changes([standing(1, BOUGHT_ID)], {}, book)


def test_a_retired_segment_lets_everybody_go() -> None:
    book = Rulebook([replace(BUYERS, version=2, retired=True)])
    (left,) = changes([standing(1, BOUGHT_ID)], {profile(1): frozenset({"buyers"})}, book)
    assert (left.entered, left.segment_version) == (False, 2)


def test_another_workspace_has_other_segments() -> None:
    foreign = replace(standing(1, BOUGHT_ID), workspace_id=WorkspaceId("other"))
    assert not changes([foreign], {}, Rulebook([BUYERS]))


def test_a_merge_carries_the_membership_over_without_a_welcome_or_a_farewell() -> None:
    told = changes(
        [standing(1, into=2), standing(2, BOUGHT_ID)],
        {profile(1): frozenset({"buyers"})},
        Rulebook([BUYERS]),
    )
    assert [(c.profile_id, c.entered, c.cause, c.other_profile_id) for c in told] == [
        (profile(1), False, Cause.MERGE, profile(2)),
        (profile(2), True, Cause.MERGE, profile(1)),
    ]


def test_a_merge_into_a_member_is_no_farewell_either() -> None:
    present = {profile(1): frozenset({"buyers"}), profile(2): frozenset({"buyers"})}
    (told,) = changes([standing(1, into=2), standing(2, BOUGHT_ID)], present, Rulebook([BUYERS]))
    assert (told.entered, told.cause) == (False, Cause.MERGE)


def test_a_merge_that_ends_the_membership_is_a_farewell() -> None:
    (told,) = changes(
        [standing(1, into=2), standing(2)], {profile(1): frozenset({"buyers"})}, Rulebook([BUYERS])
    )
    assert (told.entered, told.cause) == (False, Cause.RULE)


@given(st.permutations([standing(1, BOUGHT_ID, version=v) for v in range(1, 6)]))
def test_the_newest_standing_wins_in_any_order(told: list[Standing]) -> None:
    (kept,) = newest(told, {})
    assert kept.version == 5
    assert not newest(told, {profile(1): standing(1, version=5)})


@given(st.lists(st.tuples(st.integers(1, 4), st.sets(st.sampled_from([BOUGHT_ID, VISITED_ID])))))
def test_members_are_those_for_whom_the_rule_holds_last(told: list[tuple[int, set[int]]]) -> None:
    book = Rulebook([BUYERS, IDLE])
    present: dict[ProfileId, frozenset[str]] = {}
    last: dict[ProfileId, set[int]] = {}
    for n, holds in told:
        for change in changes([standing(n, *holds)], present, book):
            segments = present.get(change.profile_id, frozenset())
            present[change.profile_id] = segments ^ {change.segment_id}
        last[profile(n)] = holds
    for who, holds in last.items():
        wanted = {"buyers"} if BOUGHT_ID in holds else set()
        wanted |= set() if VISITED_ID in holds else {"idle"}
        assert present.get(who, frozenset()) == wanted


def apart(*last: tuple[int, Cause]) -> list[tuple[ProfileId, bool, Cause, ProfileId | None]]:
    """Profile 1, a buyer, comes out of profile 2; `last`: why they entered or left last."""
    known = {profile(1): standing(1, into=2), profile(2): standing(2, BOUGHT_ID)}
    newer = [standing(1, BOUGHT_ID, version=2), standing(2, version=2)]
    found = changes(newer, {profile(2): frozenset({"buyers"})}, Rulebook([BUYERS]))
    causes = {(profile(n), "buyers"): cause for n, cause in last}
    told = mark_returns(found, came_back(newer, known), causes)
    return [(c.profile_id, c.entered, c.cause, c.other_profile_id) for c in told]


def test_who_was_merged_and_is_taken_apart_is_not_welcomed_again() -> None:
    assert apart((1, Cause.MERGE), (2, Cause.MERGE)) == [
        (profile(1), True, Cause.MERGE, profile(2)),
        (profile(2), False, Cause.MERGE, profile(1)),
    ], "what the merge brought goes back without a farewell"
    assert apart((1, Cause.MERGE), (2, Cause.RULE)) == [
        (profile(1), True, Cause.MERGE, profile(2)),
        (profile(2), False, Cause.RULE, None),
    ], "who was a member before the merge leaves for themselves"


def test_who_left_by_rule_before_the_merge_is_welcomed_when_taken_apart() -> None:
    for last in ([(1, Cause.RULE)], []):
        assert apart(*last) == [
            (profile(1), True, Cause.RULE, None),
            (profile(2), False, Cause.RULE, None),
        ]
