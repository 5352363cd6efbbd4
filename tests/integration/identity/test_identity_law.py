"""The law of identity against real tables: workers side by side, decisions and policies between."""

from __future__ import annotations

import asyncio
import random

import asyncpg
import pytest
from integration.identity.identity_feed import Log, fact_of, policy_fact, tick
from integration.identity.test_identity_fold import recounted, work
from laws.identity_model import WORKSPACE, ModelDecision, ModelEvent, expected_state
from laws.identity_story import expected_digest
from services.identity.domain.linking import HeldEdge

from services.chassis.projection.checkpoint import digests
from services.identity.domain.evidence import DecisionKind, Edge, EvidenceKind
from services.identity.domain.policy import DEFAULT, Blocked, MatchMode, NamespaceRule, Policy
from services.identity.projection.evidence_cache import EvidenceCache
from services.identity.projection.fold import IdentityProjection
from services.kernel.digest import to_hex
from services.kernel.identifiers import Identifier
from services.kernel.time import DAY_US

POLICIES = [
    Policy(1, {"user_id": NamespaceRule(), "phone": NamespaceRule(shared_after=2)}),
    Policy(
        1, {"user_id": NamespaceRule(limit=2), "cookie": NamespaceRule(limit=3, shared_after=1)}
    ),
    Policy(
        1, {"user_id": NamespaceRule(limit=1), "phone": NamespaceRule(2, 0, 1, MatchMode.VERIFIED)}
    ),
    Policy(1, DEFAULT.rules, (Blocked("", "*1"),), frozenset({EvidenceKind.CO_OBSERVED})),
]


def story(chance: random.Random, size: int, names: int) -> list[ModelEvent | ModelDecision]:
    """Events, aliases and decisions about few people with many names."""
    kinds = ["user_id", "crm", "phone", "anonymous_id", "cookie"]
    pool = [named(chance.choice(kinds), i) for i in range(names)]
    told: list[ModelEvent | ModelDecision] = []
    for n in range(size):
        at = chance.randint(0, 3) * DAY_US + chance.randint(1, 1_000)
        if chance.random() < 0.15:
            one, other = chance.sample(pool, 2)
            told.append(ModelDecision(one, other, chance.choice(list(DecisionKind)), at, n))
        else:
            carried = tuple(chance.sample(pool, chance.choice([1, 2, 2, 3, 4])))
            verified = frozenset(i for i in carried if chance.random() < 0.3)
            told.append(ModelEvent(carried, at, n, chance.random() < 0.1, verified))
    return told


def named(namespace: str, number: int) -> Identifier:
    """An identifier in standard form."""
    return Identifier(namespace, f"+861380000{number:04}" if namespace == "phone" else f"n{number}")


def log_of(
    told: list[ModelEvent | ModelDecision], policies: list[Policy], chance: random.Random, shards: int = 4
) -> Log:
    """The story, with policies somewhere in it, and time that passes after it."""
    log = Log(shards)
    cuts = sorted(chance.sample(range(len(told)), len(policies)))
    for at, fact in enumerate(told):
        log.append(policy_fact(policies[i]) for i, cut in enumerate(cuts) if cut == at)
        log.append([fact_of(fact)])
    log.append([tick()] * 40)
    return log


@pytest.mark.parametrize("seed", range(12))
async def test_whatever_is_said_people_are_what_the_model_finds(
    pool: asyncpg.Pool, seed: int
) -> None:
    chance = random.Random(seed)
    told = story(chance, 150, chance.choice([8, 25, 60]))
    chosen = chance.sample(POLICIES, chance.choice([0, 1, 2]))
    policies = [Policy(n, p.rules, p.blocked, p.ignored) for n, p in enumerate(chosen, 1)]
    log, memory = log_of(told, policies, chance), EvidenceCache(50)
    workers = [
        work(pool, IdentityProjection(shards=4, memory=memory), log, s, random.Random(seed + s))
        for s in range(4)
    ]
    async with asyncio.timeout(100):
        heard = await asyncio.gather(*workers)

    policy = policies[-1] if policies else DEFAULT
    expected = expected_state(told, policy)
    assert dict(await pool.fetch("SELECT identifier_id, profile_id FROM identifier")) == (
        expected.profiles
    )
    rows = await pool.fetch("SELECT a, b, strength, held, held_namespace FROM edge WHERE held > 0")
    found = {Edge(a, b, strength): HeldEdge(*why) for a, b, strength, *why in rows}
    assert set(found.values()) <= {HeldEdge(*why) for why in expected.held.values()}
    wanted = to_hex(expected_digest(told, policy))
    assert await recounted(pool) == wanted
    async with pool.acquire() as conn:
        assert await digests(conn) == {WORKSPACE: wanted}
    assert not await pool.fetchval("SELECT count(*) FROM resettle")
    # Those downstream, who only hear assignments in any order, come to know the same.
    newest: dict[bytes, tuple[int, bytes]] = {}
    for one in heard:
        for id_, assigned in one.items():
            newest[id_] = max(newest.get(id_, assigned), assigned)
    assert {id_: profile for id_, (_, profile) in newest.items()} == expected.profiles
