"""Gives tests a ledger in a real database, webhook destinations, and dispatchers that send."""

from __future__ import annotations

import base64
import hashlib
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from ipaddress import ip_network
from typing import Any

import asyncpg
from service_fixtures import wait_until

from services.activation.channels import Sender
from services.activation.channels.http import HttpClient
from services.activation.channels.ssrf import TargetGuard
from services.activation.channels.webhook import WebhookSender
from services.activation.codec.definitions import destination_to_fact
from services.activation.delivery.admission import RunAdmission
from services.activation.delivery.dispatcher import Dispatcher
from services.activation.delivery.metrics import DeliveryMetrics
from services.activation.delivery.render import render_payload
from services.activation.delivery.worker import DeliveryContext
from services.activation.domain.channels import Channel
from services.activation.domain.model import (
    DeliveryState,
    Destination,
    Effect,
    Trigger,
    TriggeringChange,
)
from services.activation.domain.sealing import SecretKeys, SecretPlace
from services.activation.domain.system_channels import Webhook
from services.activation.domain.targets import AllowedTargets
from services.activation.domain.transitions import RetryPolicy, plan_effects
from services.activation.store.destinations import save_destination
from services.activation.store.effects import Attempt, DestinationKey, add_effects
from services.chassis.postgres.database import Database, acquire, transaction
from services.chassis.postgres.migrate import migrate
from services.chassis.runtime.telemetry import Metrics
from services.kernel.ids import ProfileId, WorkspaceId

W = WorkspaceId("school")
SECRET = "whsec_" + base64.b64encode(bytes(range(32))).decode()
SHARDS = 4
KEYS = SecretKeys({1: bytes(32)})
#: Lets webhooks reach every port of this machine.
LOOPBACK_TARGETS = AllowedTargets(
    frozenset(("localhost", port) for port in range(65_536)),
    tuple((ip_network(host), frozenset(range(65_536))) for host in ("127.0.0.1", "::1")),
)
#: The default of the setting.
MAX_IN_FLIGHT = 32
#: The default policy with delays a thousand times as short.
QUICK = RetryPolicy(max_attempts=8, initial_backoff=0.01, max_backoff=0.2)


def profile(n: int) -> ProfileId:
    return ProfileId(hashlib.blake2b(str(n).encode(), digest_size=16).digest())


def destination(channel: Channel, destination_id: str = "coupon", **fields: Any) -> Destination:
    plain = Destination(
        W, destination_id, 1, "", channel, ("trial",), frozenset(Trigger), b"{}", ("city",)
    )
    return replace(plain, **fields)


def webhook(url: str, destination_id: str = "coupon", secret: str = SECRET) -> Webhook:
    """Return a webhook with its secret sealed."""
    sealed = KEYS.seal(
        SecretPlace(W, destination_id, "webhook.secret"), secret, secrets.token_bytes(12)
    )
    return Webhook(url, sealed)


def hook(url: str, destination_id: str = "coupon", **fields: Any) -> Destination:
    return destination(webhook(url, destination_id), destination_id, **fields)


def change(n: int, ordinal: int = 1, **fields: Any) -> TriggeringChange:
    trigger = Trigger.ENTERED if ordinal % 2 else Trigger.LEFT
    plain = TriggeringChange(
        W, "trial", profile(n), trigger, ordinal, 1_000 + ordinal, by_merge=False
    )
    return replace(plain, **fields)


@dataclass
class FakeRenderer:
    """Renders payloads without profile; raises `error` where it is set."""

    error: Exception | None = None
    #: The profiles that cannot be rendered, with the error.
    broken: dict[bytes, Exception] = field(default_factory=dict)
    #: Awaited before rendering.
    before: Callable[[], Awaitable[object]] | None = None
    #: Effect ids in the order of rendering.
    rendered: list[bytes] = field(default_factory=list)

    async def render(
        self, to: Destination, attempts: Sequence[Attempt]
    ) -> list[tuple[Attempt, bytes]]:
        if self.before is not None:
            await self.before()
        if self.error is not None:
            raise self.error
        for attempt in attempts:
            if attempt.profile_id in self.broken:
                raise self.broken[attempt.profile_id]
        self.rendered += [a.effect_id for a in attempts]
        return [(a, render_payload(to, a, None)) for a in attempts]


@dataclass
class Ledger:
    """The ledger of one test."""

    dsn: str
    database: Database

    async def define(self, *destinations: Destination, shard: int | None = None) -> None:
        async with transaction(self.database.pool) as conn:
            for each in destinations:
                payload = destination_to_fact(each).SerializeToString()
                for at in range(SHARDS) if shard is None else [shard]:
                    await save_destination(conn, at, each, payload)

    async def add(
        self, changes: Iterable[TriggeringChange], *destinations: Destination
    ) -> list[Effect]:
        effects = plan_effects(changes, destinations)
        async with transaction(self.database.pool) as conn:
            await add_effects(conn, effects, SHARDS)
        return effects

    async def advance_to(self, time_us: int) -> None:
        """Move every shard to an instant of the log."""
        await self.database.pool.execute("UPDATE checkpoint SET log_time_us = $1", time_us)

    async def rows(self, **where: Any) -> list[asyncpg.Record]:
        text = " AND ".join(f"{name} = ${n}" for n, name in enumerate(where, 1)) or "true"
        async with acquire(self.database.pool) as conn:
            return await conn.fetch(
                f"SELECT * FROM effect WHERE {text} ORDER BY changed_at_us, effect_id",
                *where.values(),
            )

    async def row(self, effect: Effect) -> asyncpg.Record:
        (row,) = await self.rows(effect_id=effect.effect_id)
        return row

    async def states(self) -> dict[str, int]:
        """Return the number of effects by state."""
        async with acquire(self.database.pool) as conn:
            rows = await conn.fetch("SELECT state, count(*) FROM effect GROUP BY state")
        return {DeliveryState(row["state"]).name: row["count"] for row in rows}

    async def all_are(self, *states: DeliveryState, deadline_s: float = 30.0) -> None:
        """Wait until every effect is in one of these states."""
        expected = {state.name for state in states}

        async def are_in_states() -> bool:
            return set(await self.states()) <= expected

        await wait_until(are_in_states, deadline_s)

    def context(
        self,
        *,
        senders: dict[type, Sender],
        renderer: Any = None,
        retry_policy: RetryPolicy = QUICK,
        database: Database | None = None,
        max_in_flight: int = MAX_IN_FLIGHT,
        lease_s: float = 60.0,
        admission: RunAdmission | None = None,
    ) -> DeliveryContext:
        return DeliveryContext(
            database or self.database,
            renderer or FakeRenderer(),  # type: ignore[arg-type]
            senders,
            retry_policy,
            DeliveryMetrics(Metrics("activation")),
            max_in_flight,
            lease_s,
            admission,
        )

    @asynccontextmanager
    async def dispatching(self, **options: Any) -> AsyncIterator[Dispatcher]:
        """Run a dispatcher whose webhooks may reach private addresses."""
        drain_s = options.pop("drain_s", 5.0)
        guard, timeout_s = TargetGuard(LOOPBACK_TARGETS), options.pop("timeout_s", 5.0)
        async with HttpClient(guard, timeout_s=timeout_s) as http:
            senders = {Webhook: WebhookSender(http, KEYS)} | options.pop("senders", {})
            dispatcher = Dispatcher(self.context(senders=senders, **options), drain_s=drain_s)
            async with dispatcher.running():
                yield dispatcher


@asynccontextmanager
async def open_ledger(dsn: str) -> AsyncIterator[Ledger]:
    await migrate(dsn, "activation", shards=SHARDS)
    async with Database(dsn, "activation", max_size=8) as database:
        yield Ledger(dsn, database)


def keys_of(*destinations: Destination) -> list[DestinationKey]:
    return [DestinationKey(d.workspace_id, d.destination_id) for d in destinations]
