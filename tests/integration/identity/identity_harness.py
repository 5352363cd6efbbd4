"""Runs identity as a service, upstream a log in memory; and folds without a service."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any

import asyncpg
import grpc
from access_keys import grant_key
from integration.identity.identity_log import MESSAGE_FACTS, MemoryEventLog
from onefold.identity.v1.identity_service_pb2_grpc import IdentityServiceStub
from onefold.identity.v1.identity_stream_pb2 import FactsAttributed
from onefold.log.v1.log_pb2 import FactBatch
from onefold.log.v1.log_service_pb2 import ReadResponse
from onefold.log.v1.log_service_pb2_grpc import LogServiceServicer, add_LogServiceServicer_to_server
from onefold.projection.v1.projection_service_pb2_grpc import ProjectionServiceStub
from service_fixtures import MakeSettings, open_bus

from services.chassis.messaging.relay import OutboxRelay
from services.chassis.messaging.stream import Batch, FoldResult
from services.chassis.projection.backfill import run_step
from services.chassis.projection.checkpoint import add_digest, load_checkpoint
from services.chassis.rpc.channel import open_channel
from services.chassis.runtime.tasks import task_scope
from services.identity.domain.digest import decision_share, edge_share, identifier_share
from services.identity.domain.evidence import Decision, Edge, FirstSeen, Pair, SeenSpan
from services.identity.domain.held import HeldEdge
from services.identity.domain.rows import EdgeRow
from services.identity.projection.evidence_cache import EvidenceCache
from services.identity.projection.fold import IdentityProjection
from services.identity.service import serve
from services.identity.settings import IdentitySettings
from services.kernel.digest import digest_of, to_hex
from tests.index_key import INDEX_KEY

#: The version and the profile of the newest assignment of each identifier.
Assigned = dict[bytes, tuple[int, bytes]]


class Crash(Exception):
    """Raised before a commit."""


class LogEndpoint(LogServiceServicer):
    """Serves LogService.Read over a log in memory."""

    def __init__(self, log: MemoryEventLog) -> None:
        self._log = log
        self.reads = 0

    async def Read(self, request: Any, context: Any) -> AsyncIterator[ReadResponse]:
        self.reads += 1
        end = request.end_offset or len(self._log.shards[request.shard])
        for first in range(request.from_offset, end, MESSAGE_FACTS):
            message = self._log.message(request.shard, first, min(first + MESSAGE_FACTS, end))
            batch = FactBatch.FromString(message.payload)
            if request.kinds:
                facts = [fact for fact in batch.facts if fact.kind in request.kinds]
                batch = FactBatch(shard=batch.shard, facts=facts)
            yield ReadResponse(batch=batch)


@dataclass
class RunningIdentity:
    """A running identity and its dependencies."""

    log: MemoryEventLog
    log_endpoint: LogEndpoint
    relay: OutboxRelay
    #: Called as another service.
    identity: Any
    #: Called with an admin key of the workspace.
    client: Any
    projection: Any
    grpc_url: str
    http_url: str

    async def publish(self, first: int = 0) -> None:
        """Publish the log from an offset on to the bus."""
        for shard in range(len(self.log.shards)):
            await self.relay.enqueue(shard, await self.log.read(shard, first, 1_000))


@asynccontextmanager
async def serve_log(log: MemoryEventLog) -> AsyncIterator[tuple[LogEndpoint, str]]:
    server, endpoint = grpc.aio.server(), LogEndpoint(log)
    add_LogServiceServicer_to_server(endpoint, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        yield endpoint, f"127.0.0.1:{port}"
    finally:
        await server.stop(0)


@asynccontextmanager
async def running_identity(
    make_settings: MakeSettings,
    internal_key: str,
    nats_url: str,
    log: MemoryEventLog,
    workspace_id: str,
    **fields: object,
) -> AsyncIterator[RunningIdentity]:
    """Run identity, with stubs that call it as another service does on behalf of a workspace.

    `fields`: settings.
    """
    shards = len(log.shards)
    async with AsyncExitStack() as stack:
        log_endpoint, ingest_url = await stack.enter_async_context(serve_log(log))
        bus = await stack.enter_async_context(open_bus(nats_url, "test"))
        relay = OutboxRelay(bus, "onefold.log", log)
        for shard in range(shards):
            task = await stack.enter_async_context(task_scope(relay.run_shard(shard)))
            stack.callback(task.cancel)
        settings = make_settings(IdentitySettings, shards=shards, ingest_url=ingest_url, **fields)
        endpoints = await stack.enter_async_context(serve(settings))
        url = f"127.0.0.1:{endpoints.internal_grpc_port}"
        channel = await stack.enter_async_context(
            open_channel(url, internal_key, workspace_id=workspace_id)
        )
        dsn = settings.postgres_dsn.get_secret_value()
        admin = open_channel(url, await grant_key(dsn, "identity", workspace_id))
        client = await stack.enter_async_context(admin)
        yield RunningIdentity(
            log,
            log_endpoint,
            relay,
            IdentityServiceStub(channel),  # type: ignore[no-untyped-call]
            IdentityServiceStub(client),  # type: ignore[no-untyped-call]
            ProjectionServiceStub(channel),  # type: ignore[no-untyped-call]
            url,
            f"http://127.0.0.1:{endpoints.internal_http_port}",
        )


def make_projection(cache_size: int = 1_000) -> IdentityProjection:
    return IdentityProjection(shards=4, cache=EvidenceCache(cache_size, INDEX_KEY))


@asynccontextmanager
async def fenced(pool: asyncpg.Pool, shard: int) -> AsyncIterator[asyncpg.Connection]:
    """Open a transaction that holds the fence of a shard, as a worker does."""
    async with pool.acquire() as conn, conn.transaction():
        await conn.fetch("SELECT FROM checkpoint WHERE shard = $1 FOR UPDATE", shard)
        yield conn


async def fold(pool: asyncpg.Pool, projection: IdentityProjection, batch: Batch) -> FoldResult:
    async with fenced(pool, batch.shard) as conn:
        result = await projection.fold(conn, batch)
        await add_digest(conn, batch.shard, result.deltas)
        return result


async def backfill(pool: asyncpg.Pool, projection: IdentityProjection, shard: int) -> bool:
    """Run one backfill step of a shard; return whether it had a job."""
    async with fenced(pool, shard) as conn:
        checkpoint = await load_checkpoint(conn, shard)
        assert checkpoint is not None
        return await run_step(conn, projection, checkpoint) is not None


async def fold_shard_with_crashes(
    pool: asyncpg.Pool, projection: IdentityProjection, batches: Iterable[Batch], seed: int
) -> Assigned:
    """Fold batches, crash now and then before a commit, run a backfill step after each batch, and
    return the newest assignments that were published."""
    chance, newest = random.Random(seed), Assigned()
    for batch in batches:
        while True:
            try:
                async with fenced(pool, batch.shard) as conn:
                    result = await projection.fold(conn, batch)
                    await add_digest(conn, batch.shard, result.deltas)
                    if chance.random() < 0.2:
                        raise Crash
                break
            except Crash:
                continue
        await backfill(pool, projection, batch.shard)
        keep_newest(newest, published(result))
    return newest


def published(result: FoldResult) -> list[FactsAttributed]:
    return [FactsAttributed.FromString(output.payload) for output in result.outputs]


def keep_newest(newest: Assigned, messages: Iterable[FactsAttributed]) -> None:
    """Apply the assignments of messages as a service downstream does, in any order."""
    for one in (one for message in messages for one in message.assignments):
        assigned = (one.version, one.profile_id)
        newest[one.identifier_id] = max(newest.get(one.identifier_id, assigned), assigned)


def merge_assigned(parts: Iterable[Assigned]) -> dict[bytes, bytes]:
    """Return the profile of each identifier by the newest of all assignments."""
    newest = Assigned()
    for part in parts:
        for id_, assigned in part.items():
            newest[id_] = max(newest.get(id_, assigned), assigned)
    return {id_: profile for id_, (_, profile) in newest.items()}


async def profiles_of(pool: asyncpg.Pool) -> dict[bytes, bytes]:
    return dict(await pool.fetch("SELECT identifier_id, profile_id FROM identifier"))


async def computed_digest(pool: asyncpg.Pool) -> str:
    """Return the digest computed from all rows."""
    rows = []
    for id_, profile_id, first_seen_us, first_fact in await pool.fetch(
        "SELECT identifier_id, profile_id, first_seen_us, first_fact FROM identifier"
    ):
        rows.append(identifier_share(id_, profile_id, FirstSeen(first_seen_us, first_fact)))
    for a, b, kind, first_seen_us, first_fact, day, reason, namespace in await pool.fetch(
        "SELECT a, b, kind, first_seen_us, first_fact, last_seen_day, held_reason, held_namespace"
        " FROM edge"
    ):
        span = SeenSpan(FirstSeen(first_seen_us, first_fact), day)
        held = HeldEdge(reason, namespace) if reason else None
        rows.append(edge_share(Edge(a, b, kind), EdgeRow(span, held)))
    for a, b, occurred_at_us, fact_id, kind in await pool.fetch(
        "SELECT a, b, occurred_at_us, fact_id, kind FROM decision"
    ):
        decision = Decision(FirstSeen(occurred_at_us, fact_id), kind, "", "")
        rows.append(decision_share(Pair(a, b), decision))
    return to_hex(digest_of(rows))
