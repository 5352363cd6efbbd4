"""Where facts go: gap-free, once, each caller as if it had come alone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from services.ingest.domain.facts import Appended, NewFact, Row
from services.ingest.domain.offsets import Placed, Request, Shards, keys_of, place
from services.kernel.errors import Conflict
from services.kernel.ids import FactId, LeafId
from services.kernel.tokens import Token

SHARDS = 3
KINDS = {"a.A": 1, "b.B": 2}
NOW = 1_000_000


def fact(
    number: int, *, leaf: int | None = 0, payload: bytes = b"p", at: int = 5, kind: str = "a.A"
) -> NewFact:
    leaf_id = None if leaf is None else LeafId(leaf.to_bytes(8, "big") + bytes(8))
    fact_id = FactId(number.to_bytes(16, "big"))
    return NewFact("shop", fact_id, kind, leaf_id, at, "web", "key", payload)


def held(nexts: Sequence[int] = (10, 20, 30)) -> Shards:
    return Shards(next=dict(enumerate(nexts)), instant_us=NOW, known={})


def placed(requests: Sequence[Request], shards: Shards | None = None) -> Placed:
    return place(requests, keys_of(requests, SHARDS), shards or held(), KINDS)


def one(facts: Sequence[NewFact], shards: Shards | None = None) -> tuple[list[Row], Appended]:
    result = placed([Request(facts)], shards)
    [answer] = result.answers
    assert isinstance(answer, Appended)
    return result.rows, answer


def test_new_facts_lie_one_after_another_in_their_shards() -> None:
    rows, answer = one([fact(1, leaf=0), fact(2, leaf=1), fact(3, leaf=0)])
    assert [(row.shard, row.offset) for row in rows] == [(0, 10), (1, 20), (0, 11)]
    assert answer.appended == 3
    assert answer.offsets == (10, 20, 11)
    assert answer.token == Token((12, 21))


def test_a_fact_without_a_leaf_lies_in_every_shard() -> None:
    rows, answer = one([fact(1, leaf=None)])
    assert [(row.shard, row.offset) for row in rows] == [(0, 10), (1, 20), (2, 30)]
    assert {row.leaf_id for row in rows} == {None}
    assert (answer.appended, answer.token) == (1, Token((11, 21, 31)))


def test_what_is_recorded_took_place_before() -> None:
    rows, answer = one([fact(1, at=NOW + 7), fact(2, at=NOW - 7)])
    assert [row.occurred_at_us for row in rows] == [NOW, NOW - 7]
    assert {row.recorded_at_us for row in rows} == {answer.recorded_at_us} == {NOW}


def test_a_known_fact_is_a_duplicate_and_its_token_includes_it() -> None:
    shards = held()
    shards.known[(0, fact(1).fact_id)] = (1, b"p")
    rows, answer = one([fact(1)], shards)
    assert rows == []
    assert (answer.appended, answer.duplicates, answer.offsets) == (0, frozenset({0}), (-1,))
    assert answer.token == Token((10,))


def test_another_content_or_kind_under_a_known_id_is_reuse() -> None:
    shards = held()
    shards.known[(0, fact(1).fact_id)] = (1, b"p")
    rows, answer = one([fact(1, payload=b"q"), fact(1, kind="b.B"), fact(2)], shards)
    assert answer.reused == frozenset({0, 1})
    assert [row.fact_id for row in rows] == [fact(2).fact_id]
    assert (answer.appended, answer.duplicates) == (1, frozenset())


def test_the_first_of_a_call_counts() -> None:
    rows, answer = one([fact(1), fact(1), fact(1, payload=b"q")])
    assert len(rows) == 1
    assert (answer.duplicates, answer.reused) == (frozenset({1}), frozenset({2}))


def test_the_same_id_under_another_leaf_of_the_shard_is_the_same_fact() -> None:
    _, answer = one([fact(1, leaf=0), fact(1, leaf=SHARDS)])
    assert answer.duplicates == frozenset({1})


def test_a_leafless_fact_that_one_shard_lacks_goes_there_only() -> None:
    shards = held()
    shards.known |= {(shard, fact(1).fact_id): (1, b"p") for shard in (0, 2)}
    rows, answer = one([fact(1, leaf=None)], shards)
    assert [(row.shard, row.offset) for row in rows] == [(1, 20)]
    assert (answer.appended, answer.offsets) == (1, (20,))


def test_a_whole_call_with_reuse_leaves_no_trace() -> None:
    refused = Request([fact(1), fact(2), fact(2, payload=b"q")], whole=True)
    result = placed([refused, Request([fact(1)])])
    error, answer = result.answers
    assert isinstance(error, Conflict)
    assert error.field == "facts[2].fact_id"
    assert isinstance(answer, Appended)
    assert answer.appended == 1
    assert [(row.offset, row.fact_id) for row in result.rows] == [(10, fact(1).fact_id)]


def test_callers_see_what_those_before_them_appended() -> None:
    result = placed([Request([fact(1)]), Request([fact(1), fact(2)])])
    first, second = result.answers
    assert isinstance(first, Appended)
    assert isinstance(second, Appended)
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


@given(st.lists(some_facts, max_size=5))
def test_any_grouping_gives_what_single_calls_give(calls: list[list[NewFact]]) -> None:
    together, singly = held(), held()
    requests = [Request(facts) for facts in calls]
    grouped = placed(requests, together)
    rows: list[Row] = []
    answers = []
    for request in requests:
        alone = placed([request], singly)
        rows += alone.rows
        answers += alone.answers
    assert grouped.rows == rows
    assert grouped.answers == answers
    assert (together.next, together.known) == (singly.next, singly.known)


@given(st.lists(some_facts, max_size=5))
def test_offsets_have_no_gaps_and_ids_are_once_a_shard(calls: list[list[NewFact]]) -> None:
    shards = held((0, 0, 0))
    rows = placed([Request(facts) for facts in calls], shards).rows
    for shard in range(SHARDS):
        offsets = [row.offset for row in rows if row.shard == shard]
        assert offsets == list(range(shards.next[shard]))
    assert not [key for key, n in Counter((r.shard, r.fact_id) for r in rows).items() if n > 1]


@given(some_facts)
def test_ranks_are_offsets_less_the_ends(facts: list[NewFact]) -> None:
    requests = [Request(facts)]
    ranked = placed(requests, Shards.empty(range(SHARDS))).rows
    rows = placed(requests).rows
    ends = held().next
    assert [row.offset - ends[row.shard] for row in rows] == [row.offset for row in ranked]
