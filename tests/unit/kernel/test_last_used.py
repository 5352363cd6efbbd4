"""What was used last is there, and no more than so much."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from services.kernel.last_used import LastUsed


def test_what_was_put_is_known_and_nothing_else() -> None:
    known = LastUsed[str, int](10)
    known.update({"a": 0, "b": 2})
    assert known.get("a") == 0
    assert known.get("c") is None
    assert known.among(["a", "b", "c"]) == {"a": 0, "b": 2}


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 60)), max_size=80), st.integers(1, 20))
def test_what_was_used_last_is_there_and_no_more_than_most(
    steps: list[tuple[bool, int]], most: int
) -> None:
    known, model = LastUsed[int, int](most), dict[int, int]()
    for is_put, key in steps:
        if is_put:
            known.put(key, -key)
            found: int | None = -key
        else:
            found = known.get(key)
            assert found in (None, -key)
        if found is not None:
            model.pop(key, None)
            model[key] = found
        assert len(known) <= max(2, most)
    last = list(model)[-max(1, most // 2) :]
    assert known.among(last) == {key: model[key] for key in last}
