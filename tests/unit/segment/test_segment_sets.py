"""Tests the algebra of sets of profiles against Python's sets."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from onefold.segment.v1.segment_facts_pb2 import SetExpression as SetMessage
from pyroaring import BitMap

from services.kernel.errors import InvalidField
from services.kernel.ids import WorkspaceId
from services.kernel.tokens import Token
from services.segment.codec import sets as codec
from services.segment.codec.sets import (
    decode_snapshot,
    expression_from_proto,
    expression_to_proto,
    snapshot_to_fact_message,
)
from services.segment.domain.sets import (
    MAX_DEPTH,
    MAX_SEGMENTS,
    InAll,
    InAny,
    InSegment,
    MemberSnapshot,
    NotIn,
    SetExpression,
    check_snapshot,
    compute,
    follow_merges,
    needs_everyone,
    overlap_row,
    segments_in,
)

IDS = ("a", "b", "tag:tier=gold")
EVERYONE = frozenset(range(12))
NUMBERS = st.frozensets(st.sampled_from(sorted(EVERYONE)))
EXPRESSIONS: st.SearchStrategy[SetExpression] = st.recursive(
    st.builds(InSegment, st.sampled_from(IDS)),
    lambda inner: st.one_of(
        st.builds(NotIn, inner),
        st.builds(InAll, st.lists(inner, min_size=1, max_size=3).map(tuple)),
        st.builds(InAny, st.lists(inner, min_size=1, max_size=3).map(tuple)),
    ),
    max_leaves=8,
)


def expected(expression: SetExpression, members: dict[str, frozenset[int]]) -> frozenset[int]:
    match expression:
        case InSegment():
            return members[expression.segment_id]
        case NotIn():
            return EVERYONE - expected(expression.set, members)
        case InAll():
            return EVERYONE.intersection(*(expected(s, members) for s in expression.sets))
        case _:
            return frozenset().union(*(expected(s, members) for s in expression.sets))


@given(EXPRESSIONS, st.tuples(NUMBERS, NUMBERS, NUMBERS))
def test_set_of_an_expression_equals_that_of_plain_sets(
    expression: SetExpression, sets: tuple[frozenset[int], ...]
) -> None:
    members = dict(zip(IDS, sets, strict=True))
    bitmaps = {id_: BitMap(own) for id_, own in members.items()}
    calls: list[None] = []

    def everyone() -> BitMap:
        calls.append(None)
        return BitMap(EVERYONE)

    assert set(compute(expression, bitmaps, everyone)) == expected(expression, members)
    assert bool(calls) == needs_everyone(expression)
    assert {id_: set(own) for id_, own in bitmaps.items()} == members, "operands do not change"


@given(EXPRESSIONS)
def test_expression_survives_its_message(expression: SetExpression) -> None:
    assert expression_from_proto(expression_to_proto(expression)) == expression


def test_expression_that_is_too_deep_or_too_large_or_empty_is_rejected() -> None:
    deep = expression_to_proto(InSegment("a"))
    for _ in range(MAX_DEPTH):
        outer = SetMessage()
        getattr(outer, "not").CopyFrom(deep)
        deep = outer
    many = InAny(tuple(InSegment("a") for _ in range(MAX_SEGMENTS + 1)))
    for message in (deep, expression_to_proto(many), SetMessage(), SetMessage(all={})):
        with pytest.raises(InvalidField):
            expression_from_proto(message)


def test_large_message_is_rejected_before_all_of_it_is_translated(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    checked: list[str] = []
    monkeypatch.setattr(codec, "check_segment_id", lambda id_, field: checked.append(id_))
    row = InAny(tuple(InSegment("a") for _ in range(MAX_SEGMENTS)))
    message = expression_to_proto(InAll((row,) * MAX_SEGMENTS))
    with pytest.raises(InvalidField, match="at most 100 segments"):
        expression_from_proto(message)
    assert len(checked) == MAX_SEGMENTS


def test_overlap_has_the_size_itself_and_what_is_common() -> None:
    a, b = BitMap([1, 2, 3]), BitMap([3, 4])
    assert overlap_row(a, [a, b, BitMap()]) == [3, 1, 0]


def test_merges_are_followed_to_the_profile_that_exists() -> None:
    merged = {1: 2, 2: 3, 4: None, 5: 6, 6: 5}
    assert set(follow_merges(BitMap([1, 4, 5, 9]), merged)) == {3, 9}
    assert set(follow_merges(BitMap([2, 3]), merged)) == {3}


def snapshot(expression: SetExpression, name: str = "spring") -> MemberSnapshot:
    return MemberSnapshot(WorkspaceId("w"), name, 1, "", expression, Token((3, 4)))


@pytest.mark.parametrize("shards", [1, 3])
def test_snapshot_of_a_log_with_other_shards_is_refused_and_not_read_as_another_state(
    shards: int,
) -> None:
    taken = snapshot(InSegment("s"))
    taken.check_readable(2)
    with pytest.raises(InvalidField, match=f"with 2 shards, and this one has {shards}: remove"):
        taken.check_readable(shards)


def test_snapshot_survives_its_fact() -> None:
    taken = snapshot(InAll((InSegment("a"), NotIn(InSegment("b")))))
    check_snapshot(taken)
    payload = snapshot_to_fact_message(taken).SerializeToString()
    assert decode_snapshot("w", payload) == taken
    assert taken.segment_id == "snapshot:spring"


@pytest.mark.parametrize(
    "taken",
    [
        snapshot(NotIn(InSegment("a"))),
        snapshot(InAny((InSegment("a"), NotIn(InSegment("b"))))),
        snapshot(InSegment("snapshot:autumn")),
        snapshot(InSegment("a"), name=""),
        snapshot(InSegment("a"), name="a\nb"),
    ],
    ids=["negation", "negation in any", "of a snapshot", "without name", "unprintable"],
)
def test_snapshot_that_cannot_be_computed_later_is_rejected(taken: MemberSnapshot) -> None:
    with pytest.raises(InvalidField):
        check_snapshot(taken)


@given(EXPRESSIONS)
def test_segments_of_an_expression_are_those_that_it_names(expression: SetExpression) -> None:
    assert set(segments_in(expression)) <= set(IDS)
