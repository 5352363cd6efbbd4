"""Tests the law of identity with PostgreSQL: concurrent workers, decisions and policy rollouts."""

from __future__ import annotations

import asyncio
import random
from typing import TypeAlias

import asyncpg
import pytest
from integration.identity.identity_harness import (
    Assigned,
    backfill,
    computed_digest,
    fold,
    fold_shard_with_crashes,
    keep_newest,
    make_projection,
    merge_assigned,
    profiles_of,
    published,
)
from integration.identity.identity_log import MemoryEventLog, fact_of, policy_fact, tick
from laws.identity_histories import expected_digest
from laws.identity_model import WORKSPACE, ModelDecision, ModelEvent, expected_state
from service_fixtures import HANG_S, wait_until

from services.chassis.projection.backfill import is_backfilling
from services.chassis.projection.checkpoint import digests
from services.identity.domain.evidence import DecisionKind, Edge, EvidenceKind
from services.identity.domain.held import HeldEdge
from services.identity.domain.policy import DEFAULT, Blocked, MatchMode, NamespaceRule, Policy
from services.identity.projection import policy_rollout
from services.identity.projection.evidence_cache import EvidenceCache
from services.identity.projection.fold import IdentityProjection
from services.identity.store import assignments, evidence
from services.kernel.digest import to_hex
from services.kernel.identifiers.model import Identifier
from services.kernel.time import DAY_US
from services.kernel.trust import SourceTrust
from tests.index_key import INDEX_KEY

Facts: TypeAlias = list[ModelEvent | ModelDecision]

POLICIES = [
    Policy(1, {"user_id": NamespaceRule(), "phone": NamespaceRule(shared_after=2)}),
    Policy(
        1, {"user_id": NamespaceRule(limit=2), "cookie": NamespaceRule(limit=3, shared_after=1)}
    ),
    Policy(
        1, {"user_id": NamespaceRule(limit=1), "phone": NamespaceRule(2, 0, 1, MatchMode.VERIFIED)}
    ),
    Policy(1, DEFAULT.rules, (Blocked("", "*1"),), frozenset({EvidenceKind.CO_OBSERVED})),
    Policy(1, DEFAULT.rules, claimed_devices=1),
    Policy(1, {"user_id": NamespaceRule(limit=1)}, claimed_devices=2),
]


def random_history(chance: random.Random, size: int, names: int) -> Facts:
    """Return events, aliases and decisions about few users with many identifiers."""
    namespaces = ["user_id", "crm", "phone", "anonymous_id", "cookie"]
    pool = [numbered(chance.choice(namespaces), i) for i in range(names)]
    facts: Facts = []
    for n in range(size):
        at = chance.randint(0, 3) * DAY_US + chance.randint(1, 1_000)
        if chance.random() < 0.15:
            one, other = chance.sample(pool, 2)
            facts.append(ModelDecision(one, other, chance.choice(list(DecisionKind)), at, n))
        else:
            carried = tuple(chance.sample(pool, chance.choice([1, 2, 2, 3, 4])))
            verified = frozenset(i for i in carried if chance.random() < 0.3)
            trust = chance.choice(list(SourceTrust))
            facts.append(ModelEvent(carried, at, n, chance.random() < 0.1, verified, trust))
    return facts


def numbered(namespace: str, number: int) -> Identifier:
    """Return an identifier in canonical form."""
    return Identifier(namespace, f"+861380000{number:04}" if namespace == "phone" else f"n{number}")


def log_with_policies(
    facts: Facts, policies: list[Policy], chance: random.Random, shards: int = 4
) -> MemoryEventLog:
    """Return a log of the facts with the policies at random offsets."""
    log = MemoryEventLog(shards)
    cuts = sorted(chance.sample(range(len(facts)), len(policies)))
    for at, fact in enumerate(facts):
        log.append(policy_fact(policies[i]) for i, cut in enumerate(cuts) if cut == at)
        log.append([fact_of(fact)])
    return log


@pytest.mark.parametrize("seed", range(12))
async def test_fold_history_with_decisions_and_policies_equals_the_model(
    pool: asyncpg.Pool, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    monkeypatch.setattr(policy_rollout, "PAGE", 5)
    monkeypatch.setattr(assignments, "MAX_UNPUBLISHED", 7)
    monkeypatch.setattr(evidence, "CLAIMS", 1)
    chance = random.Random(seed)
    facts = random_history(chance, 150, chance.choice([8, 25, 60]))
    chosen = chance.sample(POLICIES, chance.choice([0, 1, 2]))
    policies = [policy.at_version(n) for n, policy in enumerate(chosen, 1)]
    log, cache = log_with_policies(facts, policies, chance), EvidenceCache(50, INDEX_KEY)
    projections = [IdentityProjection(shards=4, cache=cache) for _ in range(4)]

    async def work(shard: int) -> Assigned:
        batches = log.batches(shard, random.Random(seed + shard), largest=12)
        projection = projections[shard]
        assigned = await fold_shard_with_crashes(pool, projection, batches, seed + shard)
        while await backfill(pool, projection, shard):
            pass
        return assigned

    async with asyncio.timeout(HANG_S):
        assigned = await asyncio.gather(*(work(shard) for shard in range(4)))
        for shard, projection in enumerate(projections):  # a slower shard may schedule jobs again
            while await backfill(pool, projection, shard):
                pass
    while await pool.fetchval("SELECT count(*) FROM unpublished_assignment"):
        heads = log.token.offsets
        log.append([tick()])
        for shard, projection in enumerate(projections):
            result = await fold(pool, projection, log.batch(shard, heads[shard], 1))
            keep_newest(assigned[shard], published(result))

    policy = policies[-1] if policies else DEFAULT
    expected = expected_state(facts, policy)
    stored = dict(await pool.fetch("SELECT identifier_id, profile_id FROM identifier"))
    assert stored == expected.profiles
    rows = await pool.fetch(
        "SELECT a, b, kind, held_reason, held_namespace FROM edge WHERE held_reason > 0"
    )
    held = {Edge(a, b, kind): HeldEdge(*why) for a, b, kind, *why in rows}
    assert set(held.values()) <= {HeldEdge(*why) for why in expected.held.values()}
    digest = to_hex(expected_digest(facts, policy))
    assert await computed_digest(pool) == digest
    async with pool.acquire() as conn:
        assert await digests(conn) == {WORKSPACE: digest}
        assert not await is_backfilling(conn)
    assert merge_assigned(assigned) == expected.profiles


async def test_rollout_includes_evidence_that_was_being_resolved_by_the_earlier_policy(
    pool: asyncpg.Pool,
) -> None:
    """A transaction began before the policy was saved, and commits after the rollout began."""
    phone = Identifier("phone", "+8613800000000")
    users = [Identifier("user_id", name) for name in "ab"]
    facts = [ModelEvent((user, phone), n, n) for n, user in enumerate(users, 1)]
    policy = Policy(1, {"user_id": NamespaceRule(), "phone": NamespaceRule()})
    events, policies = MemoryEventLog(1), MemoryEventLog(2)
    events.append(map(fact_of, facts))
    policies.append([policy_fact(policy)])
    projection = make_projection()

    async def roll_out(shard: int) -> None:
        while await backfill(pool, projection, shard):
            pass

    async with asyncio.timeout(HANG_S), asyncio.TaskGroup() as group:
        async with pool.acquire() as conn, conn.transaction():
            await projection.fold(conn, events.batch(0, 0, 2))
            await fold(pool, projection, policies.batch(1, 0, 1))
            tasks = [group.create_task(roll_out(shard)) for shard in range(4)]
            waiting = (
                "SELECT count(*) = 4 FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
            )
            await wait_until(lambda: pool.fetchval(waiting))
        await asyncio.gather(*tasks)
    assert await profiles_of(pool) == expected_state(facts, policy).profiles
    assert await computed_digest(pool) == to_hex(expected_digest(facts, policy))
