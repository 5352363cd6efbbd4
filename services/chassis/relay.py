"""The relay: what a service has committed goes to the bus, in order, and nothing is left out."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Protocol

import asyncpg

from services.chassis.bus import Bus
from services.chassis.stream import Message, Output


class Outputs(Protocol):
    """Where committed outputs can be read again: the outbox, or the log itself."""

    async def read(self, shard: int, first: int, limit: int) -> list[Output]:
        """At most `limit` outputs in order, from the one that covers `first` on; [] at the end."""
        ...

    async def tail(self, shard: int) -> int:
        """The place after the newest output; 0 where there is none."""
        ...

    async def prune(self, shard: int, published: int) -> None:
        """Lets go of what is old, if all of it lies before `published`."""
        ...


class Outbox:
    """The outbox of a service as `Outputs`, and as what its `Read` serves."""

    def __init__(self, pool: asyncpg.Pool, *, retention: float = 86_400.0) -> None:
        raise NotImplementedError

    async def read(self, shard: int, first: int, limit: int) -> list[Output]:
        """See `Outputs.read`. Raises RangeGone where `first` is no longer kept."""
        raise NotImplementedError

    async def tail(self, shard: int) -> int:
        """See `Outputs.tail`."""
        raise NotImplementedError

    async def prune(self, shard: int, published: int) -> None:
        """See `Outputs.prune`; old is older than the retention."""
        raise NotImplementedError

    def stream(self, shard: int, first: int, until: int) -> AsyncIterator[Message]:
        """The messages that cover [first, until), `until` 0 = what there is; for `Read` rpcs.

        The first one may begin before `first`. Raises RangeGone.
        """
        raise NotImplementedError


class Relay:
    """Publishes the outputs of a service, shard by shard.

    `subject` such as `onefold.log`; the shard is appended. `outputs` is where committed outputs are
    read; `offer` spares the reading.
    """

    def __init__(self, bus: Bus, subject: str, outputs: Outputs) -> None:
        raise NotImplementedError

    async def run_shard(self, shard: int) -> None:
        """Publishes a shard until cancelled. Only its holder may run it (see `leases`)."""
        raise NotImplementedError

    def offer(self, shard: int, outputs: Sequence[Output]) -> None:
        """Hands over what was just committed, in order.

        Costs nothing where this process does not relay the shard: it then nudges the one that does.
        """
        raise NotImplementedError
