"""What was used last is there, and no more than so much."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from services.kernel.cache import RecentCache


def test_what_was_put_is_known_and_nothing_else() -> None:
    known = RecentCache[str, int](10)
    known.update({"a": 0, "b": 2})
    assert known.get("a") == 0
    assert known.get("c") is None
    assert known.get_many(["a", "b", "c"]) == {"a": 0, "b": 2}


KEYS = st.integers(0, 60)
STEPS = st.one_of(
    st.tuples(st.just("get"), st.lists(KEYS, min_size=1, max_size=1)),
    st.tuples(st.just("put"), st.lists(KEYS, min_size=1, max_size=1)),
    st.tuples(st.just("update"), st.lists(KEYS, max_size=12, unique=True)),
)


@given(st.lists(STEPS, max_size=80), st.integers(1, 20))
def test_what_was_used_last_is_there_and_no_more_than_most(
    steps: list[tuple[str, list[int]]], most: int
) -> None:
    known, model = RecentCache[int, int](most), dict[int, int]()
    for step, keys in steps:
        used = keys
        if step == "put":
            known.put(keys[0], -keys[0])
        elif step == "update":
            known.update({key: -key for key in keys})
        else:
            used = [key for key in keys if known.get(key) is not None]
        for key in used:
            model.pop(key, None)
            model[key] = -key
        assert len(known) <= max(2, most)
    last = list(model)[-max(1, most // 2) :]
    assert known.get_many(last) == {key: model[key] for key in last}
