"""A ledger in a real database, destinations at a local receiver, dispatchers that send."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import asyncpg

from services.activation.channels import Sender
from services.activation.channels.webhook import WebhookSender
from services.activation.codec import bus as wire
from services.activation.delivery.dispatcher import Dispatcher
from services.activation.delivery.render import body
from services.activation.delivery.worker import Tools
from services.activation.domain.model import (
    Change,
    Channel,
    Destination,
    Effect,
    State,
    Trigger,
    Webhook,
)
from services.activation.domain.transitions import Retries, effects
from services.activation.metrics import DeliveryMetrics
from services.activation.store import postgres as store
from services.activation.store.postgres import Attempt, Place
from services.chassis.postgres.database import Database, transaction
from services.chassis.postgres.migrate import migrate
from services.chassis.runtime.telemetry import Metrics
from services.chassis.testing import wait_until
from services.kernel.ids import ProfileId, WorkspaceId

W = WorkspaceId("school")
SECRET = "whsec_" + base64.b64encode(bytes(range(32))).decode()
SHARDS = 4
#: As patient as in life, in a thousandth of the time.
QUICK = Retries(attempts=8, first_pause=0.01, longest_pause=0.2)


def profile(n: int) -> ProfileId:
    return ProfileId(hashlib.blake2b(str(n).encode(), digest_size=16).digest())


def destination(channel: Channel, destination_id: str = "coupon", **fields: Any) -> Destination:
    plain = Destination(
        W, destination_id, 1, "", channel, ("trial",), frozenset(Trigger), b"{}", ("city",)
    )
    return replace(plain, **fields)


def hook(url: str, destination_id: str = "coupon", **fields: Any) -> Destination:
    return destination(Webhook(url, SECRET), destination_id, **fields)


def change(n: int, ordinal: int = 1, **fields: Any) -> Change:
    trigger = Trigger.ENTERED if ordinal % 2 else Trigger.LEFT
    told = Change(W, "trial", profile(n), trigger, ordinal, 1_000 + ordinal, by_merge=False)
    return replace(told, **fields)


@dataclass
class Bodies:
    """Makes bodies without asking profile; fails as it is told."""

    fail: Exception | None = None
    before: Callable[[], Any] | None = None
    made: list[bytes] = field(default_factory=list)

    async def render(
        self, to: Destination, attempts: Sequence[Attempt]
    ) -> list[tuple[Attempt, bytes]]:
        if self.before is not None:
            await self.before()
        if self.fail is not None:
            raise self.fail
        self.made += [a.effect_id for a in attempts]
        return [(a, body(to, a, None)) for a in attempts]


@dataclass
class Ledger:
    """The ledger of one test."""

    dsn: str
    database: Database

    async def define(self, *destinations: Destination, shard: int | None = None) -> None:
        async with transaction(self.database.pool) as conn:
            for each in destinations:
                message = wire.destination_message(each, with_secret=True).SerializeToString()
                for at in range(SHARDS) if shard is None else [shard]:
                    await store.save_destination(conn, at, each, message)

    async def add(self, changes: Iterable[Change], *destinations: Destination) -> list[Effect]:
        found = effects(changes, destinations)
        async with transaction(self.database.pool) as conn:
            await store.add_effects(conn, found, SHARDS)
        return found

    async def reach(self, time_us: int) -> None:
        """Every shard has come to an instant of the log."""
        await self.database.pool.execute("UPDATE position SET log_time_us = $1", time_us)

    async def rows(self, **where: Any) -> list[asyncpg.Record]:
        text = " AND ".join(f"{name} = ${n}" for n, name in enumerate(where, 1)) or "true"
        return await self.database.pool.fetch(
            f"SELECT * FROM effect WHERE {text} ORDER BY at_us, effect_id", *where.values()
        )

    async def row(self, effect: Effect) -> asyncpg.Record:
        (found,) = await self.rows(effect_id=effect.effect_id)
        return found

    async def states(self) -> dict[str, int]:
        rows = await self.database.pool.fetch("SELECT state, count(*) FROM effect GROUP BY state")
        return {State(row["state"]).name: row["count"] for row in rows}

    async def all_are(self, *states: State, deadline_s: float = 30.0) -> None:
        """Waits until every effect is in one of these states."""

        async def settled() -> bool:
            return set(await self.states()) <= {state.name for state in states}

        await wait_until(settled, deadline_s)

    def tools(
        self,
        *,
        senders: dict[type, Sender],
        bodies: Any = None,
        retries: Retries = QUICK,
        database: Database | None = None,
        lease_s: float = 60.0,
    ) -> Tools:
        metrics = DeliveryMetrics(Metrics("activation"))
        return Tools(
            database or self.database,
            bodies or Bodies(),  # type: ignore[arg-type]
            senders,
            retries,
            metrics,
            lease_s,
        )

    @asynccontextmanager
    async def dispatching(self, **options: Any) -> AsyncIterator[Dispatcher]:
        """A dispatcher that sends webhooks to anywhere."""
        drain_s = options.pop("drain_s", 5.0)
        async with WebhookSender(private=True, timeout_s=options.pop("timeout_s", 5.0)) as webhooks:
            senders = {Webhook: webhooks} | options.pop("senders", {})
            dispatcher = Dispatcher(self.tools(senders=senders, **options), drain_s=drain_s)
            async with dispatcher.running():
                yield dispatcher


@asynccontextmanager
async def open_ledger(dsn: str) -> AsyncIterator[Ledger]:
    await migrate(dsn, "activation", shards=SHARDS)
    async with Database(dsn, "activation", max_size=8) as database:
        yield Ledger(dsn, database)


def places(*destinations: Destination) -> list[Place]:
    return [Place(d.workspace_id, d.destination_id) for d in destinations]
