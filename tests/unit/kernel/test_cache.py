"""The cache has the values used last, and no more than its capacity."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from services.kernel.cache import RecentCache


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
