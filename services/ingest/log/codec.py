"""Translates facts between protobuf messages and rows of the log."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

from onefold.log.v1.log_pb2 import ClockTicked, Fact, FactBatch
from onefold.type.v1.event_pb2 import Event

from services.chassis.messaging.stream import OutboxMessage
from services.ingest.domain.facts import FactRow, NewFact, check_fact
from services.kernel.ids import FactId, LeafId, hash_id
from services.kernel.index_key import IndexKey

CLOCK_TICKED = ClockTicked.DESCRIPTOR.full_name
#: The most facts of a published batch, and about the most bytes.
BATCH_FACTS = 500
BATCH_BYTES = 512 << 10

#: The size of a fact beside its payload, bytes.
_FACT_OVERHEAD = 128
#: The log stores the earlier one of this and the instant at which it records the fact.
_WHEN_RECORDED = 2**62

#: The kind of the facts that are events.
EVENT: Final[str] = Event.DESCRIPTOR.full_name


def decode_event(row: FactRow) -> Event:
    """Return the event of a fact of this kind."""
    return Event.FromString(row.payload)


def decode_fact(message: Fact, index: int, index_key: IndexKey) -> NewFact:
    """Return the fact to append. Raises InvalidField where the log cannot store it."""
    fact = NewFact(
        message.workspace_id,
        FactId(message.fact_id),
        message.kind,
        LeafId(message.leaf_id) if message.leaf_id else None,
        message.occurred_at_us or _WHEN_RECORDED,
        message.source_id,
        message.actor,
        message.payload,
        index_key.content_tag(message.workspace_id, message.payload),
    )
    check_fact(fact, index)
    return fact


def add_facts(messages: Any, rows: Iterable[FactRow], names: Mapping[int, str]) -> None:
    """Add rows to a repeated field of facts. `names`: the kinds by their numbers."""
    add = messages.add
    for row in rows:
        offset, occurred_us, recorded_us, shard, kind_id, fact_id, leaf_id, *texts, payload, _ = row
        fact = add()  # and not add(shard=...): keyword arguments cost a third more
        fact.shard = shard
        fact.offset = offset
        fact.fact_id = fact_id
        fact.kind = names[kind_id]
        if leaf_id is not None:
            fact.leaf_id = leaf_id
        fact.occurred_at_us = occurred_us
        fact.recorded_at_us = recorded_us
        fact.workspace_id, fact.source_id, fact.actor = texts
        fact.payload = payload


def fill_batch(batch: FactBatch, rows: Sequence[FactRow], names: Mapping[int, str]) -> None:
    """Fill an empty message with rows (at least one) of one shard."""
    batch.shard = rows[0].shard
    batch.first_offset = rows[0].offset
    add_facts(batch.facts, rows, names)


def encode_outputs(
    rows: Sequence[FactRow], names: Mapping[int, str], life: int
) -> Iterator[OutboxMessage]:
    """Yield the messages to publish for contiguous rows of one shard, which a life contains."""
    for part in split_rows(rows):
        batch = FactBatch()
        fill_batch(batch, part, names)
        payload = batch.SerializeToString()
        yield OutboxMessage(part[0].offset, part[-1].offset + 1, payload, life)


def split_rows(rows: Sequence[FactRow], limit: int = BATCH_FACTS) -> Iterator[Sequence[FactRow]]:
    """Yield parts of at most `limit` rows and BATCH_BYTES; one row may be larger."""
    start = size = 0
    for index, row in enumerate(rows):
        size += len(row.payload) + _FACT_OVERHEAD
        if index > start and (index - start == limit or size > BATCH_BYTES):
            yield rows[start:index]
            start, size = index, len(row.payload) + _FACT_OVERHEAD
    if rows:
        yield rows[start:]


def clock_tick(instant_us: int, index_key: IndexKey) -> NewFact:
    """Return the fact that the log's clock reached an instant. It belongs to no workspace."""
    payload = ClockTicked(now_us=instant_us).SerializeToString()
    return NewFact(
        workspace_id="",
        fact_id=FactId(hash_id(CLOCK_TICKED, str(instant_us))),
        kind=CLOCK_TICKED,
        leaf_id=None,
        occurred_at_us=instant_us,
        source_id="",
        actor="ingest",
        payload=payload,
        content_tag=index_key.content_tag("", payload),
    )
