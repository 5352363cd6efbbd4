"""The budget for bodies is never exceeded, and its parts are not either."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from services.ingest.domain.body_budget import STRANGERS, BodyBudget, Reservation

SIZE = 800
STEPS = st.lists(st.tuples(st.sampled_from([STRANGERS, "a", "b"]), st.integers(0, 500)))


@given(STEPS, st.lists(st.integers(0, 100)))
def test_budget_and_its_parts_are_never_exceeded(
    steps: list[tuple[str, int]], ends: list[int]
) -> None:
    budget = BodyBudget(SIZE)
    held: list[tuple[str, Reservation]] = []
    for holder, size in steps:
        reservation = Reservation(budget, holder)
        before = budget.held_bytes
        if reservation.add(size):
            held.append((holder, reservation))
        else:
            assert budget.held_bytes == before
        if ends and held:
            held.pop(ends.pop() % len(held))[1].end()
        assert budget.held_bytes == sum(each.size for _, each in held) <= SIZE
        for name, most in ((STRANGERS, SIZE / 8), ("a", SIZE / 2), ("b", SIZE / 2)):
            assert sum(each.size for holder, each in held if holder == name) <= most
    for _, reservation in held:
        reservation.end()
    assert budget.held_bytes == 0


def test_reservation_moves_only_where_its_new_holder_has_room() -> None:
    budget = BodyBudget(SIZE)
    reservation = Reservation(budget)
    assert reservation.add(100)
    assert not reservation.add(1)
    assert reservation.move_to("a")
    assert reservation.add(300)
    assert not reservation.add(1)
    other = Reservation(budget)
    assert other.add(100)
    assert not other.move_to("a")
    assert other.move_to("b")
