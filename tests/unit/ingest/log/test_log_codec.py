"""Tests the translation between rows of the log and messages."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from onefold.log.v1.log_pb2 import ClockTicked, Fact, FactBatch

from services.ingest.domain.facts import MAX_PAYLOAD, FactRow
from services.ingest.log.codec import (
    BATCH_BYTES,
    CLOCK_TICKED,
    clock_tick,
    decode_fact,
    encode_outputs,
    split_rows,
)
from services.kernel.errors import InvalidField
from tests.index_key import INDEX_KEY

NAMES = {1: "onefold.type.v1.Event", 2: CLOCK_TICKED}
LEAF, FACT = bytes(range(16)), bytes(range(16, 32))


def row(offset: int, payload: bytes = b"p", leaf_id: bytes | None = LEAF) -> FactRow:
    return FactRow(offset, 11, 12, 3, 1, FACT, leaf_id, "shop", "web", "key", payload, bytes(16))


def make_message(**fields: object) -> Fact:
    complete = {"workspace_id": "shop", "fact_id": FACT, "kind": "a.A", "leaf_id": LEAF}
    return Fact(**{**complete, **fields})  # type: ignore[arg-type]


def test_output_has_every_column_of_a_row() -> None:
    [output] = encode_outputs([row(7)], NAMES, 3)
    batch = FactBatch.FromString(output.payload)
    assert (output.first, output.next) == (7, 8)
    assert (batch.shard, batch.first_offset) == (3, 7)
    [fact] = batch.facts
    assert fact == Fact(
        shard=3,
        offset=7,
        workspace_id="shop",
        fact_id=FACT,
        kind="onefold.type.v1.Event",
        leaf_id=LEAF,
        occurred_at_us=11,
        recorded_at_us=12,
        source_id="web",
        actor="key",
        payload=b"p",
    )


def test_output_of_a_broadcast_fact_has_an_empty_leaf() -> None:
    [output] = encode_outputs([row(7, leaf_id=None)], NAMES, 3)
    assert FactBatch.FromString(output.payload).facts[0].leaf_id == b""


@given(
    st.lists(st.sampled_from([1, 1_000, BATCH_BYTES // 3, BATCH_BYTES * 2]), max_size=60),
    st.integers(1, 9),
)
def test_split_rows_stay_in_order_and_within_the_limits(sizes: list[int], limit: int) -> None:
    rows = [row(offset, bytes(size)) for offset, size in enumerate(sizes)]
    parts = list(split_rows(rows, limit))
    assert [r for part in parts for r in part] == rows
    for part in parts:
        size = sum(len(r.payload) for r in part)
        assert 1 <= len(part) <= limit
        assert len(part) == 1 or size <= BATCH_BYTES


def test_outputs_cover_the_range_of_their_rows() -> None:
    outputs = list(encode_outputs([row(offset) for offset in range(5, 1_205)], NAMES, 3))
    assert [(o.first, o.next) for o in outputs] == [(5, 505), (505, 1_005), (1_005, 1_205)]


def test_decoded_fact_has_the_fields_of_its_message() -> None:
    fact = decode_fact(
        make_message(occurred_at_us=5, source_id="web", actor="me", payload=b"x"), 0, INDEX_KEY
    )
    assert fact[:-1] == ("shop", FACT, "a.A", LEAF, 5, "web", "me", b"x")
    assert fact.content_tag == INDEX_KEY.content_tag("shop", b"x")
    assert decode_fact(make_message(leaf_id=b""), 0, INDEX_KEY).leaf_id is None


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"fact_id": b"short"}, "fact_id"),
        ({"leaf_id": b"short"}, "leaf_id"),
        ({"workspace_id": ""}, "workspace_id"),
        ({"workspace_id": "a\0b"}, "workspace_id"),
        ({"kind": ""}, "kind"),
        ({"actor": "x" * 300}, "actor"),
        ({"payload": bytes(MAX_PAYLOAD + 1)}, "payload"),
    ],
)
def test_invalid_fact_is_refused_with_its_field(fields: dict[str, object], field: str) -> None:
    with pytest.raises(InvalidField) as refused:
        decode_fact(make_message(**fields), 4, INDEX_KEY)
    assert refused.value.field == f"facts[4].{field}"


def test_clock_tick_holds_its_instant_and_has_its_own_id() -> None:
    tick = clock_tick(99, INDEX_KEY)
    assert (tick.kind, tick.leaf_id, tick.occurred_at_us) == (CLOCK_TICKED, None, 99)
    assert ClockTicked.FromString(tick.payload).now_us == 99
    assert tick.fact_id != clock_tick(100, INDEX_KEY).fact_id
