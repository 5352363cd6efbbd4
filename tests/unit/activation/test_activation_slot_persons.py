"""Tests what changes of memberships come to for the persons of decisions."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from services.activation.domain.decisions import ScopedPerson, SlotPerson, changed_persons
from services.kernel.ids import ProfileId, WorkspaceId

SCHOOL = WorkspaceId("school")
PERSONS = [ScopedPerson(SCHOOL, ProfileId(bytes([n] * 16))) for n in range(3)]
CHANGES = st.tuples(st.sampled_from(PERSONS), st.sampled_from("ab"), st.integers(1, 6))


def test_person_is_in_the_segments_whose_last_change_is_an_entry() -> None:
    person = SlotPerson(PERSONS[0].profile_id, {"a": 1, "b": 2, "c": 7}, refuses_profiling=False)
    assert person.membership_ids == {"a", "c"}


@given(st.lists(CHANGES), st.sets(st.sampled_from(PERSONS)))
def test_last_changes_count_in_any_order_and_of_persons_to_read_again_none(
    changes: list[tuple[ScopedPerson, str, int]], others: set[ScopedPerson]
) -> None:
    found = changed_persons(changes, others)
    assert found == changed_persons([*reversed(changes), *changes], others)
    assert found.others == others
    assert not found.memberships.keys() & others
    for person, segment_id, ordinal in changes:
        if person not in others:
            assert found.memberships[person][segment_id] >= ordinal
