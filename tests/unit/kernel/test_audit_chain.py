"""The chain of the audit: whatever is removed, edited or cut off is found."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.kernel.audit_chain import AuditEntry, ChainedEntry, ChainEnd, ChainVerifier, chained

CHAIN = "profile/shop"


def _entries(count: int, key: str = "key_1") -> list[ChainedEntry]:
    entries = [AuditEntry(at, key, 4, "/s/M", "OK", names=("phone",)) for at in range(count)]
    return chained(ChainEnd(), CHAIN, entries)


def _problems(entries: list[ChainedEntry], head: ChainEnd, *checkpoints: ChainEnd) -> list[str]:
    verifier = ChainVerifier(CHAIN, checkpoints)
    for begin in range(0, len(entries), 3):  # page by page
        verifier.add(entries[begin : begin + 3])
    verifier.end(head)
    return verifier.problems


def _end(entries: list[ChainedEntry]) -> ChainEnd:
    return ChainEnd(entries[-1].number, entries[-1].hash) if entries else ChainEnd()


@pytest.mark.parametrize("count", [0, 1, 10])
def test_untouched_chain_is_whole(count: int) -> None:
    entries = _entries(count)
    middle = [ChainEnd(each.number, each.hash) for each in entries[:1]]
    assert _problems(entries, _end(entries), *middle, _end(entries)) == []


def test_groups_make_the_same_chain_as_one() -> None:
    entries = _entries(5)
    first = chained(ChainEnd(), CHAIN, [each.entry for each in entries[:2]])
    assert first + chained(_end(first), CHAIN, [each.entry for each in entries[2:]]) == entries


@given(st.integers(1, 9), st.data())
def test_entry_that_is_removed_or_edited_is_found(place: int, data: st.DataObject) -> None:
    entries = _entries(10)
    head = _end(entries)
    number, entry, digest = entries[place - 1]
    changes = [
        ("value_count", 7),
        ("outcome", "NOT_FOUND"),
        ("key_id", "key_2"),
        ("profile_ids", b"1" * 16),
        ("names", ()),
        ("reason", "x"),
        ("at_us", 99),
        ("visible", 1),
        ("target", "t"),
        ("method", "/s/N"),
        ("role", 2),
    ]
    field, value = data.draw(st.sampled_from(changes))
    edited = ChainedEntry(number, entry._replace(**{field: value}), digest)
    assert _problems([*entries[: place - 1], edited, *entries[place:]], head)
    assert _problems([*entries[: place - 1], *entries[place:]], head)
    renumbered = [
        each._replace(number=each.number - (each.number > place))
        for each in entries
        if each.number != place
    ]
    assert _problems(renumbered, _end(renumbered))


def test_end_that_is_cut_off_with_its_head_is_found_by_a_checkpoint() -> None:
    entries = _entries(10)
    rest = entries[:7]
    assert _problems(rest, _end(rest)) == []
    assert _problems(rest, _end(rest), _end(entries)) == [
        "entry 10 of a checkpoint is missing: the end was cut off"
    ]
    assert _problems(rest, _end(entries))


def test_chain_that_was_computed_again_is_found_by_a_checkpoint() -> None:
    entries, forged = _entries(10), _entries(10, key="key_2")
    assert _problems(forged, _end(forged)) == []
    assert _problems(forged, _end(forged), _end(entries[:4])) == [
        "entry 4 is not the one of the checkpoint"
    ]


def test_checkpoint_of_a_forged_chain_does_not_hide_the_one_before_it() -> None:
    entries, forged = _entries(10), _entries(10, key="key_2")
    assert _problems(forged, _end(forged), _end(entries), _end(forged)) == [
        "entry 10 is not the one of the checkpoint"
    ]


def test_entries_of_another_chain_are_refused() -> None:
    entries = chained(ChainEnd(), "profile/other", [AuditEntry(1, "key_1", 4, "/s/M", "OK")])
    assert _problems(entries, _end(entries))
