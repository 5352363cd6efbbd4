"""What was appended last is remembered, and no more than so much."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from services.ingest.domain.placing import Content, Key
from services.ingest.log.recent import Recent


def key(number: int) -> Key:
    return number % 4, number.to_bytes(16, "big")


def content(number: int) -> Content:
    return 1, b"%d" % number


def test_what_was_added_is_known_and_nothing_else() -> None:
    recent = Recent(10)
    recent.add({key(1): content(1), key(2): content(2)})
    assert recent.among([key(2), key(3)]) == {key(2): content(2)}


@given(st.lists(st.integers(0, 60), max_size=80), st.integers(1, 20))
def test_the_newest_half_is_always_known(numbers: list[int], most: int) -> None:
    recent = Recent(most)
    for number in numbers:
        recent.add({key(number): content(number)})
    newest = numbers[-max(1, most // 2) :] if numbers else []
    assert recent.among(map(key, newest)) == {key(n): content(n) for n in newest}
    assert len(recent.among(map(key, range(61)))) <= max(2, most)
