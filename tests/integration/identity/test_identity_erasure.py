"""The law of erasure in identity: the state follows from the log that has nothing of the person.

Shards fold old copies of facts, as a bus may hold them, in any order and with crashes.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import asyncpg
import pytest
from integration.identity.identity_harness import (
    Assigned,
    backfill,
    computed_digest,
    fold,
    fold_shard_with_crashes,
    keep_newest,
    merge_assigned,
    published,
)
from integration.identity.identity_log import MemoryEventLog, fact_of, policy_fact, tick
from integration.identity.test_identity_law import POLICIES, random_history
from laws.identity_model import WORKSPACE, expected_state
from onefold.log.v1.erasure_pb2 import PersonErased
from onefold.log.v1.log_pb2 import Fact
from service_fixtures import HANG_S

from services.chassis.codec.erasures import PERSON_ERASED
from services.chassis.projection.checkpoint import digests
from services.identity.codec.bus import decode_facts
from services.identity.domain.digest import decision_share, edge_share, identifier_share
from services.identity.domain.evidence import Evidence
from services.identity.domain.full_resolution import full_resolution
from services.identity.domain.policy import DEFAULT, Policy
from services.identity.projection.evidence_cache import EvidenceCache
from services.identity.projection.fold import IdentityProjection, add_decisions
from services.identity.rebuild.rebuild import IdentityReplayFold
from services.ingest.codec.erasure import overwrite
from services.ingest.domain.erasure import ErasedPerson
from services.kernel.digest import digest_of, to_hex
from services.kernel.ids import NO_ID, IdentifierId, WorkspaceId
from services.kernel.tokens import Token
from tests.index_key import INDEX_KEY

SHARDS = 4


class OverwrittenLog:
    """The facts of leaves as the log has them after the erasure."""

    def __init__(self, facts: Sequence[Fact], old: int) -> None:
        self._facts = facts
        self._old = old

    async def read_leaves(
        self,
        workspace_id: WorkspaceId,
        leaf_ids: Sequence[bytes],
        *,
        before: Token | None = None,
        recorded_after_us: int = 0,
    ) -> list[Any]:
        # The first facts are those of before the erasure.
        first = self._old if recorded_after_us else 0
        leaves = set(leaf_ids)
        return [fact for fact in self._facts[first:] if fact.leaf_id in leaves]


def evidence_in(facts: Iterable[Fact]) -> Evidence:
    cache, decoded, evidence = EvidenceCache(0, INDEX_KEY), decode_facts(facts), Evidence()
    for identifier_set, span in decoded.observations.items():
        evidence.add(cache.observation(identifier_set), span)
    add_decisions(evidence, cache, decoded.decisions)
    return evidence


def expected_of(facts: Iterable[Fact], policy: Policy) -> tuple[dict[IdentifierId, bytes], str]:
    """Return the profiles and the digest that follow from facts."""
    evidence = evidence_in(facts)
    found = full_resolution(WORKSPACE, evidence, policy)
    identifiers = dict(found.identifier_rows())
    shares = [identifier_share(id_, row.profile_id, row.first) for id_, row in identifiers.items()]
    shares += [edge_share(edge, row) for edge, row in found.edge_rows()]
    shares += [decision_share(pair, one) for pair, one in evidence.decisions.items()]
    profiles = {id_: bytes(row.profile_id) for id_, row in identifiers.items()}
    return profiles, to_hex(digest_of(shares))


def erased_log(
    facts: Sequence[Fact], ids: frozenset[bytes], chance: random.Random
) -> tuple[list[Fact], set[bytes]]:
    """Return the facts after the erasure, and the leaves of others whose facts were changed."""
    person = ErasedPerson(WORKSPACE, "CN", ids, INDEX_KEY)
    after, leaves = list[Fact](), set[bytes]()
    for fact in facts:
        new = overwrite(fact.kind, fact.leaf_id, fact.payload, person)
        changed = Fact()
        changed.CopyFrom(fact)
        if new is not None:
            changed.kind, changed.payload = new.kind, new.payload
            if new.loses_leaf:
                changed.leaf_id = chance.randbytes(16)
            else:
                leaves.add(fact.leaf_id)
        after.append(changed)
    return after, leaves


def erased_fact(ids: Iterable[bytes], changed: Iterable[bytes], number: int) -> Fact:
    message = PersonErased(request_id=bytes([number]) * 16, identifier_ids=ids, changed_ids=changed)
    return Fact(
        workspace_id=WORKSPACE,
        fact_id=bytes([number]) * 16,
        kind=PERSON_ERASED,
        payload=message.SerializeToString(),
    )


def choose_person(
    facts: Sequence[Any], policy: Policy, chance: random.Random
) -> frozenset[IdentifierId]:
    """Return the identifiers of a profile, of more than one where there is such a profile."""
    profiles: Mapping[IdentifierId, bytes] = expected_state(facts, policy).profiles
    sizes: dict[bytes, list[IdentifierId]] = {}
    for id_, profile in sorted(profiles.items()):
        sizes.setdefault(profile, []).append(id_)
    some = [ids for ids in sizes.values() if len(ids) > 1] or list(sizes.values())
    return frozenset(chance.choice(some))


@pytest.mark.parametrize("seed", range(8))
async def test_state_after_an_erasure_follows_from_the_overwritten_log(
    pool: asyncpg.Pool, seed: int
) -> None:
    chance = random.Random(seed)
    history = random_history(chance, 90, chance.choice([8, 25, 40]))
    policy = chance.choice([DEFAULT, *POLICIES]).at_version(1)
    old, new = history[:60], history[60:]
    ids = choose_person(old, policy, chance)
    log = MemoryEventLog(SHARDS)
    log.append([policy_fact(policy)])
    log.append(map(fact_of, old))
    overwritten, changed = erased_log([fact_of(one) for one in old], ids, chance)
    log.append([erased_fact(ids, changed, 1)])
    log.append(map(fact_of, new))
    overwritten += map(fact_of, new)
    profiles, digest = expected_of(overwritten, policy)
    cache, reader = EvidenceCache(200, INDEX_KEY), OverwrittenLog(overwritten, len(old))
    projections = [
        IdentityProjection(shards=SHARDS, cache=cache, log=reader) for _ in range(SHARDS)
    ]
    for shard, projection in enumerate(projections):
        projection.forget(shard)

    async def work(shard: int) -> Assigned:
        batches = log.batches(shard, random.Random(seed + shard), largest=9)
        return await fold_shard_with_crashes(pool, projections[shard], batches, seed + shard)

    async with asyncio.timeout(HANG_S):
        assigned = await asyncio.gather(*map(work, range(SHARDS)))
        for shard, projection in enumerate(projections):
            while await backfill(pool, projection, shard):
                pass
        while await pool.fetchval("SELECT count(*) FROM unpublished_assignment"):
            heads = log.token.offsets
            log.append([tick()])
            for shard, projection in enumerate(projections):
                result = await fold(pool, projection, log.batch(shard, heads[shard], 1))
                keep_newest(assigned[shard], published(result))

    stored = dict(await pool.fetch("SELECT identifier_id, profile_id FROM identifier"))
    assert stored == profiles
    assert await computed_digest(pool) == digest
    async with pool.acquire() as conn:
        assert await digests(conn) == {WORKSPACE: digest}
    newest = merge_assigned(assigned)
    assert {id_: one for id_, one in newest.items() if one != NO_ID} == profiles
    assert not await pool.fetchval("SELECT count(*) FROM erasure")


async def test_rebuild_that_meets_an_erasure_after_old_copies_has_the_same_state(
    pool: asyncpg.Pool,
) -> None:
    chance = random.Random(3)
    history = random_history(chance, 60, 12)
    ids = choose_person(history, DEFAULT, chance)
    log = MemoryEventLog(SHARDS)
    log.append(map(fact_of, history))
    overwritten, changed = erased_log([fact_of(one) for one in history], ids, chance)
    log.append([erased_fact(ids, changed, 1)])
    reader = OverwrittenLog(overwritten, len(overwritten))
    replay = IdentityReplayFold(EvidenceCache(200, INDEX_KEY), 3, log_shards=SHARDS, log=reader)
    for shard in range(SHARDS):
        for batch in log.batches(shard, chance, largest=20):
            await fold(pool, replay, batch)  # type: ignore[arg-type]  # it folds as the other does
    for shard in range(SHARDS):
        while await backfill(pool, replay, shard):  # type: ignore[arg-type]  # as above
            pass
    profiles, digest = expected_of(overwritten, DEFAULT)
    stored = dict(await pool.fetch("SELECT identifier_id, profile_id FROM identifier"))
    assert stored == profiles
    assert await computed_digest(pool) == digest
