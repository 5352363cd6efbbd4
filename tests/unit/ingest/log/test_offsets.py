"""Tests the plan of an append: gap-free offsets, each fact once, each caller as if alone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from services.ingest.domain.facts import AppendResult, FactRow, NewFact
from services.ingest.domain.offsets import (
    AppendPlan,
    AppendRequest,
    DedupKey,
    FactContent,
    ShardHeads,
    dedup_keys,
    plan_append,
)
from services.kernel.errors import Conflict
from services.kernel.ids import FactId, LeafId
from services.kernel.tokens import Token

SHARDS = 3
KINDS = {"a.A": 1, "b.B": 2}
NOW = 1_000_000
HEADS = ShardHeads({0: 10, 1: 20, 2: 30}, NOW)
EMPTY_HEADS = ShardHeads({0: 0, 1: 0, 2: 0}, NOW)

Contents = dict[DedupKey, FactContent]


def tag_of(payload: bytes) -> bytes:
    return payload.ljust(16)


def fact(
    number: int, *, leaf: int | None = 0, payload: bytes = b"p", at: int = 5, kind: str = "a.A"
) -> NewFact:
    leaf_id = None if leaf is None else LeafId(leaf.to_bytes(8, "big") + bytes(8))
    fact_id = FactId(number.to_bytes(16, "big"))
    return NewFact("shop", fact_id, kind, leaf_id, at, "web", "key", payload, tag_of(payload))


def plan_of(requests: Sequence[AppendRequest], contents: Contents | None = None) -> AppendPlan:
    keys = [dedup_keys(request.facts, SHARDS) for request in requests]
    return plan_append(requests, keys, {} if contents is None else contents, KINDS)


def append(
    facts: Sequence[NewFact], contents: Contents | None = None
) -> tuple[list[FactRow], AppendResult]:
    plan = plan_of([AppendRequest(facts)], contents)
    [result] = plan.outcomes(HEADS)
    assert isinstance(result, AppendResult)
    return plan.rows(HEADS), result


def test_new_facts_get_consecutive_offsets_in_their_shards() -> None:
    rows, result = append([fact(1, leaf=0), fact(2, leaf=1), fact(3, leaf=0)])
    assert [(row.shard, row.offset) for row in rows] == [(0, 10), (1, 20), (0, 11)]
    assert [row.fact_id for row in rows] == [fact(n).fact_id for n in (1, 2, 3)]
    assert result.appended == 3
    assert result.token == Token((12, 21))


def test_broadcast_fact_gets_an_offset_in_every_shard() -> None:
    rows, result = append([fact(1, leaf=None)])
    assert [(row.shard, row.offset) for row in rows] == [(0, 10), (1, 20), (2, 30)]
    assert {row.leaf_id for row in rows} == {None}
    assert (result.appended, result.token) == (1, Token((11, 21, 31)))


def test_fact_of_the_future_occurs_when_it_is_recorded() -> None:
    rows, result = append([fact(1, at=NOW + 7), fact(2, at=NOW - 7)])
    assert [row.occurred_at_us for row in rows] == [NOW, NOW - 7]
    assert {row.recorded_at_us for row in rows} == {result.recorded_at_us} == {NOW}


def test_existing_fact_is_a_duplicate_and_the_token_includes_it() -> None:
    rows, result = append([fact(1)], {(0, fact(1).fact_id): (1, tag_of(b"p"))})
    assert rows == []
    assert (result.appended, result.duplicates) == (0, frozenset({0}))
    assert result.token == Token((10,))


def test_existing_id_with_other_content_or_kind_is_conflicting() -> None:
    contents: Contents = {(0, fact(1).fact_id): (1, tag_of(b"p"))}
    rows, result = append([fact(1, payload=b"q"), fact(1, kind="b.B"), fact(2)], contents)
    assert result.conflicting == frozenset({0, 1})
    assert [row.fact_id for row in rows] == [fact(2).fact_id]
    assert (result.appended, result.duplicates) == (1, frozenset())


def test_repeated_id_in_a_call_appends_the_first() -> None:
    rows, result = append([fact(1), fact(1), fact(1, payload=b"q")])
    assert len(rows) == 1
    assert (result.duplicates, result.conflicting) == (frozenset({1}), frozenset({2}))


def test_same_id_under_another_leaf_of_the_shard_is_a_duplicate() -> None:
    _, result = append([fact(1, leaf=0), fact(1, leaf=SHARDS)])
    assert result.duplicates == frozenset({1})


def test_broadcast_fact_missing_in_one_shard_is_appended_there_only() -> None:
    contents: Contents = {(shard, fact(1).fact_id): (1, tag_of(b"p")) for shard in (0, 2)}
    rows, result = append([fact(1, leaf=None)], contents)
    assert [(row.shard, row.offset) for row in rows] == [(1, 20)]
    assert (result.appended, result.duplicates) == (1, frozenset())


def test_atomic_request_with_a_conflict_leaves_no_trace() -> None:
    refused = AppendRequest([fact(1), fact(2), fact(2, payload=b"q")], atomic=True)
    plan = plan_of([refused, AppendRequest([fact(1)])])
    error, result = plan.outcomes(HEADS)
    assert isinstance(error, Conflict)
    assert error.field == "facts[2].fact_id"
    assert isinstance(result, AppendResult)
    assert result.appended == 1
    assert [(row.offset, row.fact_id) for row in plan.rows(HEADS)] == [(10, fact(1).fact_id)]
    assert plan.contents.keys() == {(0, fact(1).fact_id)}


def test_request_finds_the_facts_of_the_request_before_it() -> None:
    plan = plan_of([AppendRequest([fact(1)]), AppendRequest([fact(1), fact(2)])])
    first, second = plan.outcomes(HEADS)
    assert isinstance(first, AppendResult)
    assert isinstance(second, AppendResult)
    assert (first.token, second.token) == (Token((11,)), Token((12,)))
    assert second.duplicates == frozenset({0})


some_facts = st.lists(
    st.builds(
        fact,
        st.integers(0, 12),
        leaf=st.one_of(st.none(), st.integers(0, 4)),
        payload=st.sampled_from([b"p", b"p", b"p", b"q"]),
    ),
    max_size=30,
)
some_requests = st.lists(st.builds(AppendRequest, some_facts, st.booleans()), max_size=5)


@given(some_requests)
def test_grouped_requests_have_the_outcome_of_single_ones(requests: list[AppendRequest]) -> None:
    contents: Contents = {}
    heads, rows, outcomes = HEADS, [], []
    for request in requests:
        plan = plan_of([request], contents)
        rows += plan.rows(heads)
        outcomes += plan.outcomes(heads)
        next_offsets = {shard: n + plan.counts[shard] for shard, n in heads.next.items()}
        heads = heads._replace(next=next_offsets)
    together = plan_of(requests)
    assert together.rows(HEADS) == rows
    assert list(map(repr, together.outcomes(HEADS))) == list(map(repr, outcomes))
    assert together.contents == contents


@given(some_requests)
def test_offsets_have_no_gap_and_ids_are_unique_in_a_shard(requests: list[AppendRequest]) -> None:
    plan = plan_of(requests)
    rows = plan.rows(EMPTY_HEADS)
    for shard in range(SHARDS):
        offsets = [row.offset for row in rows if row.shard == shard]
        assert offsets == list(range(plan.counts[shard]))
    assert not [key for key, n in Counter((r.shard, r.fact_id) for r in rows).items() if n > 1]


@given(some_facts)
def test_offset_is_the_head_plus_the_rank(facts: list[NewFact]) -> None:
    plan = plan_of([AppendRequest(facts)])
    ranks = [row.offset for row in plan.rows(EMPTY_HEADS)]
    assert [row.offset - HEADS.next[row.shard] for row in plan.rows(HEADS)] == ranks
    assert [rank for _, rank, _, _ in plan.facts] == ranks
