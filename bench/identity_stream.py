"""Measures identity's fold with its real store while the graph grows tenfold."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from statistics import median

import asyncpg
from onefold.log.v1.log_pb2 import Fact, FactBatch
from onefold.type.v1.event_pb2 import EVENT_TYPE_TRACK, Event
from onefold.type.v1.identifier_pb2 import Identifier as IdentifierMessage
from onefold.type.v1.source_trust_pb2 import SOURCE_TRUST_SERVER

from bench.harness import Contender, Result, interleave, print_progress, spread
from services.chassis.messaging.stream import Batch, StreamMessage
from services.chassis.postgres.database import Database
from services.chassis.postgres.migrate import migrate
from services.devstack.postgres import PostgresServer
from services.identity.projection.evidence_cache import EvidenceCache
from services.identity.projection.fold import IdentityProjection
from services.identity.settings import IdentitySettings
from services.kernel.identifiers.model import Identifier
from services.kernel.identifiers.priority import leaf_of
from services.kernel.ids import hash_id
from tests.index_key import INDEX_KEY

ROUNDS = 5
SHARDS = 4
SIZES = {"stream_100k": 100_000, "stream_1m": 1_000_000}
GROWTH = 1.5
WORKSPACE = "bench"
BATCH_FACTS = 1_000
BATCHES_A_ROUND = 20
#: Facts in a batch while the store is filled.
FILL_FACTS = 5_000
START_US = 1_790_000_000_000_000
#: Of 100 events, those of recent visitors, of earlier visitors, and of visitors who sign in; the
#: others are of new visitors.
RECENT, EARLIER, SIGN_IN = 70, 20, 2
RECENT_VISITORS = 20_000
_EVENT = Event.DESCRIPTOR.full_name


class Visitors:
    """Generates events of visitors; every second visitor has signed in."""

    def __init__(self, seed: int) -> None:
        self._chance = random.Random(seed)
        self._visitors = 0
        self._signed_in: set[int] = set()
        self._clock_us = START_US
        self.identifiers = 0

    def fill(self, identifiers: int) -> Iterator[Fact]:
        """Yield one event of each new visitor, until there are enough identifiers."""
        while self.identifiers < identifiers:
            visitor = self._new_visitor()
            if visitor % 2:
                self._sign_in(visitor)
            yield self._event(visitor)

    def mixed(self, events: int) -> Iterator[Fact]:
        """Yield events of recent, earlier and new visitors."""
        for _ in range(events):
            yield self._event(self._any_visitor())

    def _any_visitor(self) -> int:
        draw = self._chance.randrange(100)
        if draw < RECENT:
            return self._chance.randrange(max(0, self._visitors - RECENT_VISITORS), self._visitors)
        if draw < RECENT + EARLIER:
            return self._chance.randrange(self._visitors)
        if draw < RECENT + EARLIER + SIGN_IN:
            visitor = self._chance.randrange(self._visitors)
            self._sign_in(visitor)
            return visitor
        return self._new_visitor()

    def _new_visitor(self) -> int:
        self._visitors += 1
        self.identifiers += 1
        return self._visitors - 1

    def _sign_in(self, visitor: int) -> None:
        if visitor not in self._signed_in:
            self._signed_in.add(visitor)
            self.identifiers += 1

    def _event(self, visitor: int) -> Fact:
        names = [Identifier("anonymous_id", f"visitor-{visitor}")]
        if visitor in self._signed_in:
            names.append(Identifier("user_id", f"user-{visitor}"))
        self._clock_us += 1_000
        event = Event(
            type=EVENT_TYPE_TRACK,
            name="Course Viewed",
            message_id=str(self._clock_us),
            identifiers=[IdentifierMessage(namespace=n, value=v) for n, v in names],
            properties=b'{"course_id":"math-7","price":399}',
            trust=SOURCE_TRUST_SERVER,
        )
        return Fact(
            workspace_id=WORKSPACE,
            fact_id=hash_id(str(self._clock_us)),
            kind=_EVENT,
            leaf_id=leaf_of(WORKSPACE, names, INDEX_KEY),
            occurred_at_us=self._clock_us,
            recorded_at_us=self._clock_us,
            source_id="site",
            payload=event.SerializeToString(),
        )


class Store:
    """Identity over a private database, called as the runner calls it."""

    def __init__(self, conn: asyncpg.Connection, visitors: Visitors) -> None:
        self._conn = conn
        self._visitors = visitors
        size = int(IdentitySettings.model_fields["evidence_cache_size"].default)
        self._identity = IdentityProjection(
            shards=SHARDS, cache=EvidenceCache(size, INDEX_KEY), on_access=lambda: None
        )
        self._next = 0

    async def fill(self, identifiers: int) -> None:
        facts: list[Fact] = []
        for fact in self._visitors.fill(identifiers):
            facts.append(fact)
            if len(facts) == FILL_FACTS:
                await self._fold(self._batch(facts))
                facts = []
        if facts:
            await self._fold(self._batch(facts))
        await self._conn.execute("VACUUM ANALYZE")

    async def round(self) -> float:
        """Return events per second."""
        batches = [
            self._batch(list(self._visitors.mixed(BATCH_FACTS))) for _ in range(BATCHES_A_ROUND)
        ]
        began = time.perf_counter()
        for batch in batches:
            await self._fold(batch)
        return BATCHES_A_ROUND * BATCH_FACTS / (time.perf_counter() - began)

    def _batch(self, facts: list[Fact]) -> Batch:
        first, end = self._next, self._next + len(facts)
        self._next = end
        for offset, fact in enumerate(facts, first):
            fact.offset = offset
        payload = FactBatch(first_offset=first, facts=facts).SerializeToString()
        return Batch(0, first, end, (StreamMessage(first, end, payload),), first, first, START_US)

    async def _fold(self, batch: Batch) -> None:
        at = batch
        while True:
            async with self._conn.transaction():
                folded = await self._identity.fold(self._conn, at)
            if folded.consumed_to == batch.next:
                return
            at = Batch(
                *(batch.shard, folded.consumed_to, batch.next, batch.messages),
                *(folded.consumed_to, folded.log_offset, folded.log_time_us),
            )


async def results(folder: Path) -> list[Result]:
    """Measure both sizes in turns."""
    async with AsyncExitStack() as scope:
        contenders: dict[str, Contender] = {}
        for name, identifiers in SIZES.items():
            server = await scope.enter_async_context(PostgresServer(folder / name))
            store = await _store(server.superuser_dsn, scope)
            print_progress(f"{name}: filling the store with {identifiers:,} identifiers")
            await store.fill(identifiers)
            contenders[name] = store.round
        figures = await interleave(ROUNDS, contenders)
    small, large = (figures[name] for name in SIZES)
    return [
        Result(
            name="stream_100k",
            unit="events/s",
            figure=round(median(small), 1),
            reference=0.0,
            ratio=0.0,
            spread=round(spread(small), 3),
            rounds=ROUNDS,
            goal=0.0,
            holds=True,
            note="the reference of stream_1m; one caller, batches of 1,000, each committed",
        ),
        Result(
            name="stream_1m",
            unit="events/s",
            figure=round(median(large), 1),
            reference=round(median(small), 1),
            ratio=round(median(large) / median(small), 3),
            spread=round(max(spread(small), spread(large)), 3),
            rounds=ROUNDS,
            goal=round(1 / GROWTH, 3),
            holds=median(small) / median(large) < GROWTH,
            note="reference: stream_100k; an event may cost 1.5 times as much with ten times as "
            "many identifiers",
        ),
    ]


async def _store(dsn: str, scope: AsyncExitStack) -> Store:
    await migrate(dsn, "identity", shards=SHARDS)
    database = await scope.enter_async_context(Database(dsn, "identity"))
    conn = await database.connect(point_lookups=True)
    scope.push_async_callback(conn.close)
    return Store(conn, Visitors(seed=7))
