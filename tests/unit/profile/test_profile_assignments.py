"""Tests identifier assignments: the highest version wins, and the affected profiles are locked."""

from __future__ import annotations

from services.kernel.ids import IdentifierId, LeafId, ProfileId, WorkspaceId
from services.profile.domain.evaluation import ALL_PREDICATES, EvaluationScope, scopes_by_profile
from services.profile.domain.facts import (
    ProfileAssignment,
    Reassignment,
    lock_set,
    newest_assignments,
    reassignments,
)


def assigned(identifier: str, profile: str, version: int) -> ProfileAssignment:
    id_ = IdentifierId(identifier.encode())
    return ProfileAssignment(WorkspaceId("w"), id_, ProfileId(profile.encode()), version, None)


def by_id(*assignments: ProfileAssignment) -> dict[IdentifierId, ProfileAssignment]:
    return {a.identifier_id: a for a in assignments}


def test_newest_assignments_in_any_order_have_the_highest_version() -> None:
    found = newest_assignments([assigned("a", "p", 2), assigned("a", "q", 1)])
    assert found == by_id(assigned("a", "p", 2))


def test_assignment_that_is_received_twice_is_the_one_received_first() -> None:
    """As with the stored one, only a higher version replaces an assignment."""
    first, again = assigned("a", "p", 2), assigned("a", "p", 2)
    assert newest_assignments([first, again])[first.identifier_id] is first


def test_reassignments_are_those_with_a_newer_version_or_an_unknown_identifier() -> None:
    stored = by_id(assigned("a", "p", 2), assigned("b", "p", 2))
    received = by_id(assigned("a", "q", 1), assigned("b", "q", 3), assigned("c", "q", 1))
    assert reassignments(received, stored) == [
        Reassignment(ProfileId(b"p"), assigned("b", "q", 3)),
        Reassignment(None, assigned("c", "q", 1)),
    ]


def test_lock_set_has_both_profiles_of_a_reassignment_and_unknown_identifiers() -> None:
    stored = by_id(assigned("a", "p", 2), assigned("b", "r", 9))
    received = by_id(assigned("a", "q", 3), assigned("b", "q", 3), assigned("c", "q", 1))
    assert lock_set(received, stored) == {b"p", b"q", b"r", b"c"}


def test_scopes_are_those_of_the_leaves_and_all_predicates_after_a_reassignment() -> None:
    stored = by_id(assigned("a", "p", 2), assigned("b", "r", 1))
    moved = reassignments(by_id(assigned("b", "q", 3)), stored)
    scope = EvaluationScope(frozenset({7}))
    scopes = scopes_by_profile({LeafId(b"a"): scope}, {}, stored, moved)
    assert scopes == {b"p": scope, b"r": ALL_PREDICATES, b"q": ALL_PREDICATES}


def test_assignment_of_the_stored_version_changes_nothing() -> None:
    """Two shards may deliver one assignment; the second must cost no write and no evaluation."""
    stored = by_id(assigned("a", "p", 2))
    assert reassignments(by_id(assigned("a", "p", 2)), stored) == []
    assert reassignments(by_id(assigned("a", "q", 2)), stored) == []
    assert lock_set(by_id(assigned("a", "q", 2)), stored) == {b"p"}
