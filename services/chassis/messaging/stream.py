"""The shapes in which services hand work to each other.

A stream has shards; each shard is cut into messages that cover the half-open range [first, next)
of the stream's coordinate, without gaps. The coordinate of the log and of identity is the offset
in the log; profile and segment count their own messages.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from typing import Protocol

import asyncpg


@dataclass(frozen=True, slots=True)
class StreamMessage:
    """One message of an upstream, not yet decoded."""

    #: The first place it covers.
    first: int
    #: The place after the last one it covers.
    next: int
    #: The serialised protobuf message.
    payload: bytes


@dataclass(frozen=True, slots=True)
class Batch:
    """Contiguous messages of one shard, to be folded in one transaction."""

    shard: int
    #: The place to start from; the first message may begin before it (skip what lies before).
    first: int
    #: The place after the last message.
    next: int
    messages: tuple[StreamMessage, ...]
    #: The place of the first output that the fold may give.
    next_output: int
    #: The offset in the log, and the log's clock there (Unix microseconds), as of the position.
    log_offset: int
    log_time_us: int


@dataclass(frozen=True, slots=True)
class OutboxMessage:
    """One message that a fold gives to those downstream."""

    first: int
    next: int
    payload: bytes


@dataclass(frozen=True, slots=True)
class FoldResult:
    """What a fold did with a batch. All of it is saved in the fold's transaction."""

    #: The place up to which the batch was taken in; less than `batch.next` asks to be called again
    #: with the rest in a transaction of its own.
    consumed_to: int
    #: The offset in the log, and the log's clock there, that the state has reached.
    log_offset: int
    log_time_us: int
    #: In order, starting at `batch.next_output`, without gaps.
    outputs: tuple[OutboxMessage, ...] = ()
    #: What is added to the digest of each workspace: new rows' shares minus old rows' shares.
    deltas: Mapping[str, int] = field(default_factory=dict)


class Projection(Protocol):
    """What a service does with a batch: load, decide, save."""

    async def fold(self, conn: asyncpg.Connection, batch: Batch) -> FoldResult:
        """Fold one batch inside the open transaction of `conn`.

        The runner has taken the fence on the position; after the fold it saves the outputs, the
        deltas and the new position in the same transaction. Called for one batch of a shard at a
        time. An exception rolls everything back, and the batch comes again.
        """
        ...


class Upstream(Protocol):
    """Where the missing part of a stream can be read."""

    def read(self, shard: int, first: int, until: int) -> AsyncIterator[StreamMessage]:
        """The messages that cover [first, until), in order; `until` 0 = what there is.

        Ends where what there is ends, also where `until` lies beyond it: a message of another life
        of the store may ask for what was never said. Raises RangeGone where they are no longer
        kept.
        """
        ...
