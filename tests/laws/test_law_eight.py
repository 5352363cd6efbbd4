"""Law 8: merging can be taken back. Each person has exactly their own again, in identity and in
profile, as if they had never been merged, and whatever came later is theirs."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Iterable, Sequence
from itertools import permutations

import asyncpg
import pytest
import pytest_asyncio
from laws.identity_model import ModelDecision
from laws.identity_tables import MemoryTables, now
from laws.profile_harness import ProfileHarness
from laws.profile_model import (
    START_US,
    WORKSPACE,
    IdentityOutput,
    MemoryLog,
    SourceEvent,
    definitions,
)
from onefold.identity.v1.identity_facts_pb2 import LinkDecided
from onefold.identity.v1.identity_stream_pb2 import Assignment
from onefold.log.v1.log_pb2 import Fact
from onefold.type.v1.identifier_pb2 import Identifier as IdentifierMessage

from services.chassis.postgres.database import Database
from services.chassis.postgres.migrate import migrate
from services.identity.codec import bus as wire
from services.identity.domain.evidence import DecisionKind
from services.identity.projection.evidence_cache import EvidenceCache
from services.identity.projection.fold import apply_batch
from services.kernel.identifiers import Identifier
from services.kernel.ids import NO_ID, IdentifierId
from services.kernel.time import DAY_US, HOUR_US

PEOPLE = [Identifier("user_id", name) for name in ("ann", "bo", "cy")]
ANN, BO, CY = PEOPLE
END_US = START_US + 11 * DAY_US


class RealIdentity:
    """Identity itself, over tables in memory."""

    def __init__(self) -> None:
        self.tables = MemoryTables(4)
        self._memory = EvidenceCache(100)

    def hear(self, fact: Fact) -> tuple[bytes, list[Assignment]]:
        """The profile of a fact's leaf, and what changed."""
        if not fact.leaf_id:
            return NO_ID, []
        said = wire.decode_facts([fact])
        learnt = now(apply_batch(self.tables, self._memory, said.observations, said.decisions))
        now(self.tables.unlock())
        profile = self.tables.identifiers[IdentifierId(fact.leaf_id)].profile_id
        return profile, [wire.assignment_message(a) for a in learnt.assignments]

    @property
    def profiles(self) -> dict[IdentifierId, bytes]:
        return {id_: row.profile_id for id_, row in self.tables.identifiers.items()}


@pytest_asyncio.fixture(loop_scope="session")
async def pool(database: str) -> AsyncIterator[asyncpg.Pool]:
    await migrate(database, "profile", shards=4)
    async with Database(database, "profile") as opened:
        yield opened.pool


State = tuple[dict[IdentifierId, bytes], dict[str, str], dict[bytes, frozenset[int]]]


async def end_of(pool: asyncpg.Pool, facts: Iterable[Fact], seed: int) -> State:
    """Return identity's profiles, profile's digest and the evaluations after these facts."""
    log, identity = MemoryLog(4), RealIdentity()
    streams: list[list[IdentityOutput]] = [[] for _ in log.shards]
    for n, fact in enumerate([*definitions(), *facts]):
        log.append(fact, END_US + n)
        for stream, shard in zip(streams, log.shards, strict=True):
            if len(shard) > len(stream):
                stream.append(IdentityOutput(shard[-1], *identity.hear(shard[-1])))
    harness = ProfileHarness(pool, log, seed=seed)
    await harness.start()
    await harness.fold_all(streams, 10)
    # The final states are compared, not when each was reached.
    await harness.finish(log, streams, END_US + DAY_US)
    return identity.profiles, await harness.digest(), await harness.true_predicates()


def lives(seed: int) -> list[SourceEvent]:
    """Everybody's own events, each with a cookie of their own."""
    chance = random.Random(seed)
    return [
        SourceEvent(
            (who, Identifier("cookie", f"{who.value}-{chance.randrange(2)}")),
            START_US + chance.randrange(9 * 24) * HOUR_US,
            number,
            chance.choice(["viewed", "bought", "trial"]),
            chance.choice(["track", "identify", "page"]),
            {"course": chance.choice("abc"), "price": chance.randrange(3)},
            {"city": chance.choice(["北京市", "上海市"]), "age": chance.randrange(3)},
        )
        for number in range(24)
        for who in [PEOPLE[number % 3]]
    ]


def alias(one: Identifier, other: Identifier, number: int) -> Fact:
    """Somebody says that they are the same."""
    return SourceEvent((one, other), START_US + 9 * DAY_US + number, number, type="alias").fact()


def ruled(one: Identifier, other: Identifier, verdict: DecisionKind, number: int) -> Fact:
    """A person decides."""
    told = ModelDecision(one, other, verdict, START_US + 9 * DAY_US + number, number)
    said = LinkDecided(
        a=IdentifierMessage(namespace=one.namespace, value=one.value),
        b=IdentifierMessage(namespace=other.namespace, value=other.value),
        decision=int(verdict),  # type: ignore[arg-type]  # a verdict's number is its name
        reason="she called",
    )
    return Fact(
        workspace_id=WORKSPACE,
        fact_id=told.first.fact_id,
        kind=LinkDecided.DESCRIPTOR.full_name,
        leaf_id=told.leaf,
        occurred_at_us=told.occurred_at_us,
        actor="key_1",
        payload=said.SerializeToString(),
    )


def links(
    pairs: Sequence[tuple[Identifier, Identifier]], verdict: DecisionKind, at: int
) -> list[Fact]:
    return [ruled(one, other, verdict, at + n) for n, (one, other) in enumerate(pairs)]


CHAINS = [[(ANN, BO)], [(ANN, BO), (BO, CY)], [(ANN, BO), (BO, CY), (CY, ANN)]]


@pytest.mark.parametrize("chain", CHAINS, ids=["two", "three", "ring"])
async def test_who_was_linked_and_is_not_any_more_is_as_if_never_merged(
    pool: asyncpg.Pool, chain: list[tuple[Identifier, Identifier]]
) -> None:
    events = [h.fact() for h in lives(1)]
    before, later = events[:15], events[15:]
    never = await end_of(pool, events, 0)
    assert len({never[0][who.id_in(WORKSPACE)] for who in PEOPLE}) == 3
    made = links(chain, DecisionKind.LINK, 0)
    back = links(chain, DecisionKind.WITHDRAW, 10)
    merged = await end_of(pool, [*before, *made, *later], 1)
    assert merged[0] != never[0]
    assert merged[1] != never[1]
    for n, undone in enumerate(list(permutations(back))[:3]):
        assert await end_of(pool, [*before, *made, *later[:4], *undone, *later[4:]], n) == never


@pytest.mark.parametrize("chain", CHAINS, ids=["two", "three", "ring"])
async def test_who_is_separated_is_as_if_never_merged_whatever_was_said(
    pool: asyncpg.Pool, chain: list[tuple[Identifier, Identifier]]
) -> None:
    events = [h.fact() for h in lives(2)]
    aliases = [alias(one, other, 100 + n) for n, (one, other) in enumerate(chain)]
    everybody = [(ANN, BO), (BO, CY), (CY, ANN)]
    apart = links(everybody, DecisionKind.SEPARATE, 20)
    never = await end_of(pool, [*apart, *events, *aliases], 0)
    assert len({never[0][who.id_in(WORKSPACE)] for who in PEOPLE}) == 3
    merged = await end_of(pool, [*events, *aliases], 1)
    assert merged[1] != never[1]
    chance = random.Random(3)
    for n in range(3):
        some = chance.sample(apart, 3)
        told = [*events[:12], *aliases, *events[12:18], *some, *events[18:]]
        assert await end_of(pool, told, n) == never


async def test_a_profile_that_comes_back_to_life_stands_as_it_did(pool: asyncpg.Pool) -> None:
    events = [h.fact() for h in lives(4)]
    never = await end_of(pool, events, 0)
    again: list[Fact] = []
    for n in range(3):
        again += links([(ANN, BO)], DecisionKind.LINK, 10 * n)
        again += links([(ANN, BO)], DecisionKind.WITHDRAW, 10 * n + 5)
    assert await end_of(pool, [*events, *again], 2) == never
