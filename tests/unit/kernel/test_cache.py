"""The cache has the values used last, and no more than its capacity."""

from __future__ import annotations

from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.kernel.cache import MemoizedFunction, RecentCache


def test_cache_returns_what_was_put_and_nothing_else() -> None:
    cache = RecentCache[str, int](10)
    cache.update({"a": 0, "b": 2})
    assert cache.get("a") == 0
    assert cache.get("c") is None
    assert cache.get_many(["a", "b", "c"]) == {"a": 0, "b": 2}


KEYS = st.integers(0, 60)
STEPS = st.one_of(
    st.tuples(st.just("get"), st.lists(KEYS, min_size=1, max_size=1)),
    st.tuples(st.just("put"), st.lists(KEYS, min_size=1, max_size=1)),
    st.tuples(st.just("update"), st.lists(KEYS, max_size=12, unique=True)),
)


@given(st.lists(STEPS, max_size=80), st.integers(1, 20))
def test_cache_after_any_steps_has_the_values_used_last_within_its_capacity(
    steps: list[tuple[str, list[int]]], capacity: int
) -> None:
    cache, model = RecentCache[int, int](capacity), dict[int, int]()
    for step, keys in steps:
        used = keys
        if step == "put":
            cache.put(keys[0], -keys[0])
        elif step == "update":
            cache.update({key: -key for key in keys})
        else:
            used = [key for key in keys if cache.get(key) is not None]
        for key in used:
            model.pop(key, None)
            model[key] = -key
        assert len(cache) <= max(2, capacity)
    last = list(model)[-max(1, capacity // 2) :]
    assert cache.get_many(last) == {key: model[key] for key in last}


class TestMemoizedFunction:
    """Counts the calls that reach the function, and the values that are remembered."""

    CAPACITY = 64

    @pytest.fixture
    def calls(self) -> list[int]:
        return []

    @pytest.fixture
    def function(self, calls: list[int]) -> MemoizedFunction[int, int]:
        def double(number: int) -> int:
            calls.append(number)
            return 2 * number

        return MemoizedFunction(double, self.CAPACITY)

    def run(self, function: MemoizedFunction[int, int], order: Iterable[int]) -> int:
        """Return the most values that were remembered."""
        most = 0
        for number in order:
            assert function(number) == 2 * number
            most = max(most, len(function))
        return most

    @given(st.lists(st.integers(0, 200), max_size=600))
    def test_value_is_that_of_the_function(self, order: list[int]) -> None:
        assert self.run(MemoizedFunction(lambda n: 2 * n, self.CAPACITY), order) <= self.CAPACITY

    def test_arguments_that_never_come_back_fill_no_memory(
        self, function: MemoizedFunction[int, int]
    ) -> None:
        assert self.run(function, range(1, 100_001)) <= self.CAPACITY // 8

    def test_rows_of_one_member_after_another_call_the_function_once_a_member(
        self, function: MemoizedFunction[int, int], calls: list[int]
    ) -> None:
        self.run(function, (row // 5 for row in range(10_000)))
        assert len(calls) == 2_000

    def test_active_arguments_are_remembered(
        self, function: MemoizedFunction[int, int], calls: list[int]
    ) -> None:
        self.run(function, [number % 32 for number in range(10_000)])
        assert len(calls) == 64, "each one is remembered from its second call on"

    def test_more_arguments_in_turn_than_there_is_room_for_pause_the_memory(
        self, function: MemoizedFunction[int, int], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A call that is bound to miss costs a look-up: only one in PAUSE has that cost."""
        looked: list[int] = []
        remembered = function._remembered
        monkeypatch.setattr(function, "_remembered", lambda n: [looked.append(n), remembered(n)][1])
        calls = 100 * self.CAPACITY
        self.run(function, [number % (4 * self.CAPACITY) for number in range(calls)])
        assert len(looked) <= 3 * calls / function.PAUSE

    def test_memory_is_used_again_after_a_pause(
        self, function: MemoizedFunction[int, int], calls: list[int]
    ) -> None:
        self.run(function, range(1_000, 1_000 + 4 * self.CAPACITY))
        self.run(function, [number % 32 for number in range(40 * self.CAPACITY)])
        calls.clear()
        self.run(function, [number % 32 for number in range(1_000)])
        assert calls == []
