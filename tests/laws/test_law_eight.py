"""Law 8: a merge can be undone. Each profile has exactly its own data again, in identity and in
profile, as if it had never been merged, and gets what arrives later."""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from itertools import permutations

import asyncpg
import pytest
from laws.identity_memory import MemoryEvidence, run
from laws.identity_model import ModelDecision
from laws.profile_harness import ProfileHarness
from laws.profile_model import (
    START_US,
    WORKSPACE,
    IdentityOutput,
    MemoryLog,
    SourceEvent,
    decision_fact,
    definitions,
)
from onefold.identity.v1.identity_stream_pb2 import Assignment
from onefold.log.v1.log_pb2 import Fact

from services.identity.codec.bus import assignment_to_proto, decode_facts
from services.identity.domain.evidence import DecisionKind
from services.identity.projection.evidence_cache import EvidenceCache
from services.identity.projection.fold import apply_batch
from services.kernel.identifiers.model import Identifier
from services.kernel.ids import NO_ID, IdentifierId
from services.kernel.time import DAY_US, HOUR_US
from tests.index_key import INDEX_KEY

USERS = [Identifier("user_id", name) for name in ("ann", "bo", "cy")]
ANN, BO, CY = USERS
ALL_PAIRS = [(ANN, BO), (BO, CY), (CY, ANN)]
CHAINS = [ALL_PAIRS[:1], ALL_PAIRS[:2], ALL_PAIRS]
END_US = START_US + 11 * DAY_US

Pairs = Sequence[tuple[Identifier, Identifier]]
State = tuple[dict[IdentifierId, bytes], dict[str, str], dict[bytes, frozenset[int]]]


class RealIdentity:
    """Identity's own code over a store in memory."""

    def __init__(self) -> None:
        self._store = MemoryEvidence(4)
        self._cache = EvidenceCache(100, INDEX_KEY)

    def fold(self, fact: Fact) -> tuple[bytes, list[Assignment]]:
        """Return the profile of a fact's leaf, and the assignments that change."""
        if not fact.leaf_id:
            return NO_ID, []
        decoded = decode_facts([fact])
        batch = apply_batch(self._store, self._cache, decoded.observations, decoded.decisions)
        applied = run(batch)
        run(self._store.unlock())
        profile = self._store.rows[IdentifierId(fact.leaf_id)].profile_id
        return profile, [assignment_to_proto(one) for one in applied.assignments]

    @property
    def profiles(self) -> dict[IdentifierId, bytes]:
        return {id_: row.profile_id for id_, row in self._store.rows.items()}


async def state_after(pool: asyncpg.Pool, facts: Iterable[Fact], seed: int) -> State:
    """Return identity's profiles, profile's digest and the evaluations after these facts."""
    log, identity = MemoryLog(4), RealIdentity()
    streams: list[list[IdentityOutput]] = [[] for _ in log.shards]
    for n, fact in enumerate([*definitions(), *facts]):
        log.append(fact, END_US + n)
        for stream, shard in zip(streams, log.shards, strict=True):
            if len(shard) > len(stream):
                stream.append(IdentityOutput(shard[-1], *identity.fold(shard[-1])))
    harness = ProfileHarness(pool, log, seed=seed)
    await harness.start()
    await harness.fold_all(streams, 10)
    # The final states are compared, not when each was reached.
    await harness.finish(log, streams, END_US + DAY_US)
    return identity.profiles, await harness.digest(), await harness.true_predicates()


def events_of_users(seed: int) -> list[Fact]:
    """Return events of every user, each with one of the user's own cookies."""
    chance = random.Random(seed)
    events = [
        SourceEvent(
            (user, Identifier("cookie", f"{user.value}-{chance.randrange(2)}")),
            START_US + chance.randrange(9 * 24) * HOUR_US,
            number,
            chance.choice(["viewed", "bought", "trial", "page"]),
            chance.choice(["track", "identify", "page"]),
            {"course": chance.choice("abc"), "price": chance.randrange(3)},
            {"city": chance.choice(["北京市", "上海市"]), "age": chance.randrange(3)},
        )
        for number in range(24)
        for user in [USERS[number % 3]]
    ]
    return [event.fact() for event in events]


def alias(one: Identifier, other: Identifier, number: int) -> Fact:
    return SourceEvent((one, other), START_US + 9 * DAY_US + number, number, type="alias").fact()


def decide(pairs: Pairs, kind: DecisionKind, number: int) -> list[Fact]:
    at_us = START_US + 9 * DAY_US + number
    return [
        decision_fact(ModelDecision(one, other, kind, at_us + n, number + n))
        for n, (one, other) in enumerate(pairs)
    ]


@pytest.mark.parametrize("chain", CHAINS, ids=["two", "three", "ring"])
async def test_link_withdrawn_equals_never_merged(pool: asyncpg.Pool, chain: Pairs) -> None:
    events = events_of_users(1)
    before, later = events[:15], events[15:]
    never = await state_after(pool, events, 0)
    assert len({never[0][user.id_in(WORKSPACE, INDEX_KEY)] for user in USERS}) == 3
    links = decide(chain, DecisionKind.LINK, 0)
    withdrawals = decide(chain, DecisionKind.WITHDRAW, 10)
    merged = await state_after(pool, [*before, *links, *later], 1)
    assert merged[0] != never[0]
    assert merged[1] != never[1]
    for n, undone in enumerate(list(permutations(withdrawals))[:3]):
        facts = [*before, *links, *later[:4], *undone, *later[4:]]
        assert await state_after(pool, facts, n) == never


@pytest.mark.parametrize("chain", CHAINS, ids=["two", "three", "ring"])
async def test_separation_after_aliases_equals_never_merged(
    pool: asyncpg.Pool, chain: Pairs
) -> None:
    events = events_of_users(2)
    aliases = [alias(one, other, 100 + n) for n, (one, other) in enumerate(chain)]
    separations = decide(ALL_PAIRS, DecisionKind.SEPARATE, 20)
    never = await state_after(pool, [*separations, *events, *aliases], 0)
    assert len({never[0][user.id_in(WORKSPACE, INDEX_KEY)] for user in USERS}) == 3
    merged = await state_after(pool, [*events, *aliases], 1)
    assert merged[1] != never[1]
    chance = random.Random(3)
    for n in range(3):
        shuffled = chance.sample(separations, 3)
        facts = [*events[:12], *aliases, *events[12:18], *shuffled, *events[18:]]
        assert await state_after(pool, facts, n) == never


async def test_profile_merged_and_split_repeatedly_equals_never_merged(pool: asyncpg.Pool) -> None:
    events = events_of_users(4)
    never = await state_after(pool, events, 0)
    repeated: list[Fact] = []
    for n in range(3):
        repeated += decide([(ANN, BO)], DecisionKind.LINK, 10 * n)
        repeated += decide([(ANN, BO)], DecisionKind.WITHDRAW, 10 * n + 5)
    assert await state_after(pool, [*events, *repeated], 2) == never
