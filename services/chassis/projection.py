"""The projection runner: batches in order, state, outputs and position in one transaction.

One task a shard, in whichever replica holds the shard (see `leases`). It takes messages from the
bus, reads from upstream what the bus does not have, folds, commits, acknowledges, hands the outputs
to the relay and wakes those who wait for a token.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from services.chassis.bus import Bus
from services.chassis.database import Database
from services.chassis.stream import Projection, Upstream
from services.kernel.tokens import Token


@dataclass(frozen=True, slots=True)
class Limits:
    """How much is folded in one transaction; the first message is always taken whole."""

    #: Messages.
    messages: int = 64
    #: Places of the upstream's coordinate: facts, for the log and identity.
    span: int = 2_000
    #: Bytes of payload.
    size: int = 4_000_000


@dataclass(frozen=True, slots=True)
class ShardState:
    """What is known about a shard in this process."""

    shard: int
    #: Whether a worker of any replica holds it now.
    held: bool
    log_offset: int
    log_time_us: int
    #: What keeps the worker of this process from going on: an error's name and range; else "".
    fault: str = ""


class ProjectionRunner:
    """Folds an upstream into the state of a service, shard by shard.

    `database`: open (see `Database`). `upstream`: where missing messages are read.
    `upstream_subject`: what is heard, such as `onefold.log`; the shard is appended to it.
    `subject`: what is said, such as `onefold.identity`; None for a service that says nothing.
    Use: `async with asyncio.TaskGroup() as group: group.create_task(runner.run())`; cancel it to
    stop at once, nothing half done stays.
    """

    def __init__(
        self,
        service: str,
        projection: Projection,
        *,
        database: Database,
        bus: Bus,
        upstream: Upstream,
        upstream_subject: str,
        subject: str | None,
        shards: int,
        limits: Limits = Limits(),
        outbox_retention: float = 86_400.0,
    ) -> None:
        raise NotImplementedError

    async def run(self) -> None:
        """Works the shards that fall to this replica, until cancelled. Errors are retried."""
        raise NotImplementedError

    async def wait_for(self, token: Token, timeout: float) -> Token:
        """Waits until the service, in whichever replica, has reached `token`; answers the state.

        `timeout` in seconds. Raises TokenNotReached, or InvalidField where the token names a shard
        that does not exist.
        """
        raise NotImplementedError

    async def token(self) -> Token:
        """The state reached by the service, in whichever replica."""
        raise NotImplementedError

    async def status(self) -> list[ShardState]:
        """Every shard, in order."""
        raise NotImplementedError

    def faults(self) -> Mapping[int, str]:
        """Shards held here that cannot go on, and why; empty when all is well (for /readyz)."""
        raise NotImplementedError
