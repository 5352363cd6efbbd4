"""Protobuf to the words of the log, and back."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from onefold.log.v1.log_pb2 import ClockTicked, Fact, FactBatch
from onefold.type.v1.token_pb2 import Token as TokenMessage

from services.chassis.messaging.stream import OutboxMessage
from services.ingest.domain.facts import NewFact, Row, check
from services.kernel.ids import FactId, LeafId, hash_id
from services.kernel.tokens import Token

CLOCK_TICKED = ClockTicked.DESCRIPTOR.full_name
#: A batch has so many facts at most, and about so many bytes.
BATCH_FACTS = 500
BATCH_BYTES = 512 << 10

_FACT_WEIGHT = 128
#: The log takes the earlier one of this and the instant at which it records the fact.
_WHEN_RECORDED = 2**62


def read_fact(message: Fact, index: int) -> NewFact:
    """A fact that wants a place. Raises InvalidField where it cannot be kept."""
    fact = NewFact(
        message.workspace_id,
        FactId(message.fact_id),
        message.kind,
        LeafId(message.leaf_id) if message.leaf_id else None,
        message.occurred_at_us or _WHEN_RECORDED,
        message.source_id,
        message.actor,
        message.payload,
    )
    check(fact, index)
    return fact


def add_facts(messages: Any, rows: Iterable[Row], names: Mapping[int, str]) -> None:
    """Adds rows to a repeated field of facts. `names`: the kinds by their numbers."""
    add = messages.add
    for row in rows:
        offset, occurred_us, recorded_us, shard, kind_id, fact_id, leaf_id, *said = row
        fact = add()  # and not add(shard=...): keywords cost a third more
        fact.shard = shard
        fact.offset = offset
        fact.fact_id = fact_id
        fact.kind = names[kind_id]
        if leaf_id is not None:
            fact.leaf_id = leaf_id
        fact.occurred_at_us = occurred_us
        fact.recorded_at_us = recorded_us
        fact.workspace_id, fact.source_id, fact.actor, fact.payload = said


def fill_batch(batch: FactBatch, rows: Sequence[Row], names: Mapping[int, str]) -> None:
    """Makes an empty message the batch of these rows (at least one) of one shard."""
    batch.shard = rows[0].shard
    batch.first_offset = rows[0].offset
    add_facts(batch.facts, rows, names)


def to_outputs(rows: Sequence[Row], names: Mapping[int, str]) -> Iterator[OutboxMessage]:
    """Contiguous rows of one shard as messages for the bus."""
    for part in cut(rows):
        batch = FactBatch()
        fill_batch(batch, part, names)
        yield OutboxMessage(part[0].offset, part[-1].offset + 1, batch.SerializeToString())


def cut(rows: Sequence[Row], most: int = BATCH_FACTS) -> Iterator[Sequence[Row]]:
    """Rows in parts of at most `most` rows, and BATCH_BYTES unless it is one row."""
    start = weight = 0
    for at, row in enumerate(rows):
        weight += len(row.payload) + _FACT_WEIGHT
        if at > start and (at - start == most or weight > BATCH_BYTES):
            yield rows[start:at]
            start, weight = at, len(row.payload) + _FACT_WEIGHT
    if rows:
        yield rows[start:]


def tick_at(instant_us: int) -> NewFact:
    """The fact that it is a certain time. It belongs to no workspace."""
    return NewFact(
        workspace_id="",
        fact_id=FactId(hash_id(CLOCK_TICKED, str(instant_us))),
        kind=CLOCK_TICKED,
        leaf_id=None,
        occurred_at_us=instant_us,
        source_id="",
        actor="ingest",
        payload=ClockTicked(at_us=instant_us).SerializeToString(),
    )


def token_message(token: Token) -> TokenMessage:
    """A token as a message."""
    return TokenMessage(offsets=token.offsets)


def read_token(message: TokenMessage) -> Token:
    """The token of a message."""
    return Token(tuple(message.offsets))
