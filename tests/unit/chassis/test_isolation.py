"""Tests the search for the units of a message whose fold raises, and the judgement about them."""

from __future__ import annotations

import asyncio
from collections.abc import Collection

from hypothesis import given
from hypothesis import strategies as st

from services.chassis.messaging.stream import FoldUnit, UnitId
from services.chassis.projection.batch_size import MAX_LOSSES, MIN_LOST_S, BatchSize, FoldPace
from services.chassis.projection.failed_facts import MAX_RETRY_S, retry_pause_s
from services.chassis.projection.isolation import (
    MIN_JUDGED,
    FailedUnit,
    FailureJudge,
    describe_error,
    find_failing,
)
from services.kernel.ids import WorkspaceId


def units(count: int, workspaces: int = 2) -> list[FoldUnit]:
    return [FoldUnit(UnitId(i), WorkspaceId(f"w{i % workspaces}"), b"") for i in range(count)]


class Folds:
    """A fold that raises with any of `bad`, and with all of `together`."""

    def __init__(
        self, count: int, bad: Collection[int], together: Collection[int] = (), always: bool = False
    ) -> None:
        self.all = set(range(count))
        self.bad, self.together, self.always = set(bad), set(together), always
        self.probes = 0

    async def __call__(self, left_out: frozenset[UnitId]) -> Exception | None:
        self.probes += 1
        folded = self.all - {unit.sequence for unit in left_out}
        raises = bool(folded & self.bad) or (bool(self.together) and self.together <= folded)
        return ValueError("no") if raises or self.always else None


@given(st.integers(1, 60).flatmap(lambda n: st.tuples(st.just(n), st.sets(st.integers(0, n - 1)))))
def test_all_failing_units_are_found_and_no_other(case: tuple[int, set[int]]) -> None:
    count, bad = case
    folds = Folds(count, bad)
    found = asyncio.run(find_failing(units(count), folds))
    assert found is not None
    assert {one.unit.id.sequence for one in found} == bad
    assert folds.probes <= 2 + len(bad) * (2 + count.bit_length())


def test_units_that_fail_together_are_parted() -> None:
    found = asyncio.run(find_failing(units(20), Folds(20, (), together=(3, 11))))
    assert found is not None
    assert [one.unit.id.sequence for one in found] == [11]


def test_fold_that_raises_without_its_units_blames_none() -> None:
    assert asyncio.run(find_failing(units(20), Folds(20, (), always=True))) is None


def test_fold_that_does_not_raise_again_has_no_failing_unit() -> None:
    assert asyncio.run(find_failing(units(20), Folds(20, ()))) == []


def test_description_of_an_error_has_no_text_of_it() -> None:
    try:
        raise ValueError("li@example.com")
    except ValueError as error:
        described = describe_error(error)
    assert described.startswith("ValueError at ")
    assert "li@" not in described


def failing(count: int, workspaces: int) -> list[FailedUnit]:
    return [FailedUnit(unit, "ValueError") for unit in units(count, workspaces)]


def test_service_is_blamed_where_facts_of_several_workspaces_fail_more_often_than_not() -> None:
    assert FailureJudge().blames_service(failing(MIN_JUDGED, 2))
    assert not FailureJudge().blames_service(failing(MIN_JUDGED - 1, 2))


def test_one_workspace_alone_is_never_the_fault_of_the_service() -> None:
    assert not FailureJudge().blames_service(failing(1_000, 1))


def test_service_that_folds_more_than_it_fails_is_not_blamed() -> None:
    judge = FailureJudge()
    judge.add_folded(100)
    assert not judge.blames_service(failing(50, 2))
    assert judge.blames_service(failing(60, 2))


def test_pauses_before_retries_grow_up_to_the_longest() -> None:
    pauses = [retry_pause_s(attempts) for attempts in range(1, 60)]
    assert pauses == sorted(pauses)
    assert (pauses[0], pauses[-1]) == (60.0, MAX_RETRY_S)


def test_pace_is_halved_by_each_failure_down_to_one() -> None:
    pace = FoldPace(BatchSize(1_000))
    sizes = []
    for _ in range(12):
        pace.narrow(0, pace.size.limit)
        sizes.append(pace.size.limit)
    assert sizes[:3] == [500, 250, 125]
    assert sizes[-1] == 1


def test_size_does_not_grow_before_the_end_of_a_batch_that_lost_its_session() -> None:
    pace = FoldPace(BatchSize(100))
    pace.lose_session(0, 100, MIN_LOST_S)
    pace.adapt(0, 50, 0.0, 0.0)
    assert pace.size == BatchSize(50)
    pace.adapt(50, 100, 0.0, 0.0)
    assert pace.size == BatchSize(100)


def test_transaction_that_waits_long_makes_the_next_one_smaller() -> None:
    pace = FoldPace(BatchSize(100))
    pace.adapt(0, 100, 0.0, 40.0)
    assert pace.size == BatchSize(25)


def test_single_message_is_hopeless_after_it_cost_several_sessions_that_lasted_long() -> None:
    pace = FoldPace()
    for _ in range(MAX_LOSSES):
        assert not pace.is_hopeless(7)
        pace.lose_session(7, 8, MIN_LOST_S)
    assert pace.is_hopeless(7)
    assert not pace.is_hopeless(8)
    outage = FoldPace()
    for _ in range(10):
        outage.lose_session(7, 8, MIN_LOST_S / 2)
    assert not outage.is_hopeless(7)
