"""Defines the shapes that services exchange: stream messages, batches, fold results, outputs.

A stream has shards. Each shard is cut into messages, and a message covers the half-open range
[first, next) of the stream's sequence numbers, without gaps. The sequence numbers of the log and of
identity are the offsets in the log; profile and segment number their own messages.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol, runtime_checkable

import asyncpg

from services.kernel.ids import WorkspaceId


@dataclass(frozen=True, slots=True)
class StreamMessage:
    """One message of an upstream, not yet decoded."""

    #: The first sequence number that it covers.
    first: int
    #: The sequence number after the last one that it covers.
    next: int
    #: The serialised protobuf message.
    payload: bytes
    #: A life of the stream that has it, see `services.chassis.messaging.lives`; 0 = not stated.
    life: int = 0


class UnitId(NamedTuple):
    """Identifies a fold unit in its shard."""

    #: The sequence number of its message; the offset, where a message can be cut into facts.
    sequence: int
    #: Tells apart the units of one sequence number; empty where it has one.
    key: bytes = b""


class FoldUnit(NamedTuple):
    """The smallest part of a stream that a fold can leave out: it belongs to one workspace."""

    id: UnitId
    workspace_id: WorkspaceId
    #: A message of the stream that covers this sequence number and has this unit alone.
    payload: bytes

    @property
    def message(self) -> StreamMessage:
        return StreamMessage(self.id.sequence, self.id.sequence + 1, self.payload)


@dataclass(frozen=True, slots=True)
class Batch:
    """Contiguous messages of one shard, folded in one transaction."""

    shard: int
    #: Where the batch begins; the first message may begin before it (skip that part).
    first: int
    #: The sequence number after the last message.
    next: int
    messages: tuple[StreamMessage, ...]
    #: The sequence number of the first output of the fold.
    next_output: int
    #: The offset in the log, and the log's clock there (Unix microseconds), before the batch.
    log_offset: int
    log_time_us: int
    #: Units of these messages that are not folded: failed facts and parked facts. They count as
    #: consumed.
    left_out: frozenset[UnitId] = frozenset()
    #: A blocking backfill runs: the outputs carry the `log_offset` from before the batch.
    is_withheld: bool = False
    #: One unit that was left out before is folded now; everything after it is folded already. What
    #: the fold returns as `log_offset` and `log_time_us` is not used.
    is_late: bool = False


@dataclass(frozen=True, slots=True)
class OutboxMessage:
    """One message that a fold publishes to the services downstream."""

    first: int
    next: int
    payload: bytes
    #: A life of the stream that has it; 0 until it is committed.
    life: int = 0
    #: What the outbox stores of the payload, where that is less; see `Completion`.
    stored: bytes | None = None


class Completion(Protocol):
    """Adds to outputs what the outbox does not store of them."""

    async def __call__(
        self, shard: int, outputs: Sequence[OutboxMessage]
    ) -> Sequence[OutboxMessage]:
        """Return the first of contiguous outputs, at least one, as they were published.

        Raises RetryableError, and UpstreamWentBack where that no longer exists.
        """


@dataclass(frozen=True, slots=True)
class FoldResult:
    """The result of folding a batch. All of it is saved in the fold's transaction."""

    #: The sequence number up to which the batch was folded. Where it is less than `batch.next`, the
    #: rest is folded in a separate transaction. A fold that consumes nothing must publish
    #: something, such as changes that are due to the passing of time alone.
    consumed_to: int
    #: The offset in the log, and the log's clock there, that the state has reached.
    log_offset: int
    log_time_us: int
    #: In order, starting at `batch.next_output`, without gaps.
    outputs: tuple[OutboxMessage, ...] = ()
    #: The change of each workspace's digest: new rows' shares minus old rows' shares.
    deltas: Mapping[str, int] = field(default_factory=dict)


class Projection(Protocol):
    """Folds the batches of a service: load, decide, save."""

    async def fold(self, conn: asyncpg.Connection, batch: Batch) -> FoldResult:
        """Fold one batch inside the open transaction of `conn`.

        The worker holds the fence and saves what the fold returns in the same transaction. Each
        shard folds one batch at a time. After an exception the batch is folded again.
        """


@runtime_checkable
class Isolating(Protocol):
    """A projection whose fold can leave out single units; it honours `Batch.left_out`."""

    def units(self, message: StreamMessage, first: int) -> Sequence[FoldUnit]:
        """Return the units of a message from the sequence number `first` on, in order.

        Where a message has several sequence numbers, each of them has one unit. Raises an error
        where the message itself cannot be decoded.
        """


@runtime_checkable
class Remembering(Protocol):
    """A projection that remembers what it has read of its state."""

    def forget(self, shard: int) -> None:
        """Forget what is remembered of a shard, before its next lease.

        With the connection that held its lock, a life of the database may have ended: behind the
        next one there may be a promoted standby or a restored backup, which went back.
        """


@runtime_checkable
class Positioned(Protocol):
    """A projection whose folds publish nothing where nothing changed.

    The worker then publishes now and then how far the shard is.
    """

    def position(
        self, shard: int, sequence: int, log_offset: int, log_time_us: int
    ) -> OutboxMessage:
        """Return the output of a sequence number that states this and nothing else."""


class Upstream(Protocol):
    """Where the missing part of a stream can be read."""

    def read(self, shard: int, first: int, end: int, life: int = 0) -> AsyncIterator[StreamMessage]:
        """Read the messages that cover [first, end), in order; `end` 0 reads all there are.

        `life`: that of the stream in which everything before `first` was read; 0 = not checked.

        Stops at the end of the stream, also where `end` lies beyond it: a message that was left on
        the bus before the store was restored may name an offset that does not exist. Raises
        RangeExpired where the messages are no longer stored, and UpstreamWentBack where `first`
        lies beyond the end of the stream, or beyond the end of `life`.
        """
