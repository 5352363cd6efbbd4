from __future__ import annotations

from services.kernel.ids import IdentifierId, ProfileId, WorkspaceId
from services.profile.domain.assignments import Move, at_stake, moves, newest
from services.profile.domain.decisions import questions
from services.profile.domain.evaluation import EVERYTHING, Question
from services.profile.domain.facts import Assignment


def told(identifier: str, profile: str, version: int) -> Assignment:
    id_ = IdentifierId(identifier.encode())
    return Assignment(WorkspaceId("w"), id_, ProfileId(profile.encode()), version, None)


def by_id(*assignments: Assignment) -> dict[IdentifierId, Assignment]:
    return {a.identifier_id: a for a in assignments}


def test_the_highest_version_counts_whatever_came_last() -> None:
    assert newest([told("a", "p", 2), told("a", "q", 1)]) == by_id(told("a", "p", 2))


def test_only_what_is_new_moves() -> None:
    known = by_id(told("a", "p", 2), told("b", "p", 2))
    news = by_id(told("a", "q", 1), told("b", "q", 3), told("c", "q", 1))
    assert moves(news, known) == [
        Move(ProfileId(b"p"), told("b", "q", 3)),
        Move(None, told("c", "q", 1)),
    ]


def test_both_profiles_of_a_move_are_at_stake_and_what_nobody_knows() -> None:
    known = by_id(told("a", "p", 2), told("b", "r", 9))
    news = by_id(told("a", "q", 3), told("b", "q", 3), told("c", "q", 1))
    assert at_stake(news, known) == {b"p", b"q", b"r", b"c"}


def test_a_profile_is_asked_for_its_leaves_and_all_for_what_moved() -> None:
    known = by_id(told("a", "p", 2), told("b", "r", 1))
    moved = moves(by_id(told("b", "q", 3)), known)
    asked = questions({b"a": Question(frozenset({7}))}, {}, {}, known, moved)  # type: ignore[dict-item]
    assert asked == {b"p": Question(frozenset({7})), b"r": EVERYTHING, b"q": EVERYTHING}
