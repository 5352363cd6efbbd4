"""Tests the outputs of identity, of which the outbox does not store the facts."""

from __future__ import annotations

from collections.abc import AsyncIterator
from itertools import pairwise

import pytest
from onefold.identity.v1.identity_stream_pb2 import FactsAttributed
from onefold.log.v1.log_pb2 import Fact, FactBatch

from services.chassis.messaging.stream import Batch, OutboxMessage, StreamMessage
from services.identity.codec.bus import decode_batch, outputs
from services.identity.projection import outputs as module
from services.identity.projection.outputs import FactsOfOutputs
from services.kernel.errors import UpstreamWentBack

LEAF, LIFE = b"l" * 16, 77


class FakeLog:
    """A shard of the log that answers in messages of some facts."""

    def __init__(self, facts: int, size: int = 3) -> None:
        self.facts = [
            Fact(offset=n, leaf_id=LEAF, kind="k", payload=b"payload-%d" % n) for n in range(facts)
        ]
        self.size = size
        #: The ranges that were read, each with the life in which it must be.
        self.reads: list[tuple[int, int, int]] = []

    def message(self, first: int, end: int) -> StreamMessage:
        batch = FactBatch(shard=1, first_offset=first, facts=self.facts[first:end])
        end = first + len(batch.facts)
        return StreamMessage(first, end, batch.SerializeToString(), LIFE)

    async def read(
        self, shard: int, first: int, end: int, life: int = 0
    ) -> AsyncIterator[StreamMessage]:
        self.reads.append((first, end, life))
        for at in range(first, min(end, len(self.facts)), self.size):
            yield self.message(at, min(at + self.size, end))


def published(log: FakeLog, *sizes: int) -> list[OutboxMessage]:
    """Return what identity publishes for messages of so many facts, each in a batch of its own."""
    found: list[OutboxMessage] = []
    at = 0
    for size in sizes:
        message = log.message(at, at + size)
        decoded = decode_batch(Batch(1, at, at + size, (message,), at, at, 0))
        found += outputs(1, decoded, [LEAF] * size, [])
        at += size
    return found


def as_stored(found: list[OutboxMessage]) -> list[OutboxMessage]:
    """Return outputs as the outbox has them."""
    return [OutboxMessage(o.first, o.next, o.stored or b"", 5) for o in found]


def test_outputs_are_stored_without_the_facts() -> None:
    (output,) = published(FakeLog(10), 10)
    assert output.stored is not None
    stored = FactsAttributed.FromString(output.stored)
    assert (stored.fact_batch, stored.log_life) == (b"", LIFE)
    assert stored.profile_ids == LEAF * 10
    assert FactBatch.FromString(FactsAttributed.FromString(output.payload).fact_batch).facts


async def test_completion_returns_outputs_as_they_were_published() -> None:
    log = FakeLog(12)
    found = published(log, 4, 1, 7)
    completed = await FactsOfOutputs(log)(1, as_stored(found))
    assert [one.life for one in completed] == [5, 5, 5]
    messages = [FactsAttributed.FromString(one.payload) for one in completed]
    assert messages == [FactsAttributed.FromString(one.payload) for one in found]


async def test_completion_reads_a_bounded_number_of_facts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_FACTS", 5)
    log = FakeLog(20)
    rest = as_stored(published(log, 8, 2, 2, 8))
    spans = []
    while rest:
        completed = await FactsOfOutputs(log)(1, rest)
        spans.append((completed[0].first, completed[-1].next))
        rest = rest[len(completed) :]
    assert spans == [(0, 8), (8, 12), (12, 20)]
    assert all(before[1] == after[0] for before, after in pairwise(spans))


async def test_completion_of_a_log_that_is_shorter_now_raises() -> None:
    stored = as_stored(published(FakeLog(12), 12))
    with pytest.raises(UpstreamWentBack, match="rebuild"):
        await FactsOfOutputs(FakeLog(11))(1, stored)


async def test_completion_checks_that_the_log_is_in_the_life_of_the_facts() -> None:
    log = FakeLog(12)
    await FactsOfOutputs(log)(1, as_stored(published(log, 6, 6)))
    assert (12, 12, LIFE) in log.reads
