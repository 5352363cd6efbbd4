"""Identity's fold through the real store: what an event costs while the graph grows tenfold."""

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

from bench.harness import Contender, Result, interleave, say, spread
from services.chassis.messaging.stream import Batch, StreamMessage
from services.chassis.postgres.database import Database
from services.chassis.postgres.migrate import migrate
from services.devstack.postgres import PostgresServer
from services.identity.projection.evidence_cache import EvidenceCache
from services.identity.projection.fold import IdentityProjection
from services.identity.settings import IdentitySettings
from services.kernel.identifiers import Identifier, leaf_of
from services.kernel.ids import hash_id

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
#: Of 100 events: people who were here lately, others who were here once, visitors who sign in. The
#: rest are visitors nobody has seen.
LATELY, ONCE, SIGN_IN = 70, 20, 2
LATELY_PEOPLE = 20_000
_EVENT = Event.DESCRIPTOR.full_name


class People:
    """Visitors in the order of their coming; every second one has signed in."""

    def __init__(self, seed: int) -> None:
        self._chance = random.Random(seed)
        self._visitors = 0
        self._signed_in: set[int] = set()
        self._clock_us = START_US
        self.identifiers = 0

    def fill(self, identifiers: int) -> Iterator[Fact]:
        """Everybody comes once, until there are so many identifiers."""
        while self.identifiers < identifiers:
            visitor = self._come()
            if visitor % 2:
                self._sign_in(visitor)
            yield self._event(visitor)

    def come_and_go(self, events: int) -> Iterator[Fact]:
        """A mixed day."""
        for _ in range(events):
            yield self._event(self._who())

    def _who(self) -> int:
        draw = self._chance.randrange(100)
        if draw < LATELY:
            return self._chance.randrange(max(0, self._visitors - LATELY_PEOPLE), self._visitors)
        if draw < LATELY + ONCE:
            return self._chance.randrange(self._visitors)
        if draw < LATELY + ONCE + SIGN_IN:
            visitor = self._chance.randrange(self._visitors)
            self._sign_in(visitor)
            return visitor
        return self._come()

    def _come(self) -> int:
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
        )
        return Fact(
            workspace_id=WORKSPACE,
            fact_id=hash_id(str(self._clock_us)),
            kind=_EVENT,
            leaf_id=leaf_of(WORKSPACE, names),
            occurred_at_us=self._clock_us,
            recorded_at_us=self._clock_us,
            source_id="site",
            payload=event.SerializeToString(),
        )


class Store:
    """Identity over a database of its own, called as the runner calls it."""

    def __init__(self, conn: asyncpg.Connection, people: People) -> None:
        self._conn = conn
        self._people = people
        remembered = int(IdentitySettings.model_fields["remembered"].default)
        self._identity = IdentityProjection(
            shards=SHARDS, memory=EvidenceCache(remembered), on_access=lambda: None
        )
        self._next = 0

    async def fill(self, identifiers: int) -> None:
        facts: list[Fact] = []
        for fact in self._people.fill(identifiers):
            facts.append(fact)
            if len(facts) == FILL_FACTS:
                await self._fold(self._batch(facts))
                facts = []
        if facts:
            await self._fold(self._batch(facts))
        await self._conn.execute("VACUUM ANALYZE")

    async def round(self) -> float:
        """Events a second."""
        batches = [
            self._batch(list(self._people.come_and_go(BATCH_FACTS))) for _ in range(BATCHES_A_ROUND)
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
    """Both sizes, in turns."""
    async with AsyncExitStack() as scope:
        contenders: dict[str, Contender] = {}
        for name, identifiers in SIZES.items():
            server = await scope.enter_async_context(PostgresServer(folder / name))
            store = await _store(server.dsn, scope)
            say(f"{name}: filling the store with {identifiers:,} identifiers")
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
            note="what stream_1m is measured against; one caller, batches of 1,000, each committed",
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
            note="reference: stream_100k; an event may cost 1.5 times as much among ten times as "
            "many identifiers",
        ),
    ]


async def _store(dsn: str, scope: AsyncExitStack) -> Store:
    await migrate(dsn, "identity", shards=SHARDS)
    database = await scope.enter_async_context(Database(dsn, "identity"))
    conn = await database.connect(point_lookups=True)
    scope.push_async_callback(conn.close)
    return Store(conn, People(seed=7))
