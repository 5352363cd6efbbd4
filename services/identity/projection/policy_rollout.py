"""Folds policies, and rolls out the newest one as a backfill.

The first worker to fold a policy stores it; from then on all new evidence is resolved with it. The
backfill resolves the other profiles again: each shard pages through the profiles whose ids lie in
it. Readers see whole profiles at any time, resolved by the one policy or the other.
"""

from __future__ import annotations

from collections.abc import Iterable

import asyncpg
import structlog

from services.chassis.projection.backfill import BackfillJob, BackfillStep, schedule
from services.identity.codec.policy import PolicyFact
from services.identity.domain.evidence import Evidence
from services.identity.domain.rows import StoredEvidence
from services.identity.projection.apply_evidence import AppliedEvidence, apply_evidence
from services.identity.store.assignments import save_unpublished
from services.identity.store.evidence import PostgresEvidence
from services.identity.store.policy import ROLLOUT, load_rollout_page, save_policy

log = structlog.get_logger(__name__)

#: The most identifiers that one step of a rollout pages over, and those for each row that a step
#: should work on: most of them are not resolved again.
PAGE, IDENTIFIERS_PER_ROW = 2_000, 4


async def fold_policies(
    conn: asyncpg.Connection, shard: int, shards: int, policies: Iterable[PolicyFact]
) -> None:
    """Save policies, and schedule the rollout of one that is new and the newest."""
    for policy in policies:
        if await save_policy(conn, shard, policy):
            await schedule(conn, range(shards), ROLLOUT, policy.workspace_id, policy.version)
            log.info("policy_defined", version=policy.version)


async def roll_out_page(
    conn: asyncpg.Connection, store: PostgresEvidence, job: BackfillJob
) -> BackfillStep:
    """Run one step of a rollout. The assignments that change are saved and not published, as a
    message of the stream covers offsets of the log."""
    cursor, applied = await resolve_page(conn, store, job, shard=job.shard)
    if applied.assignments:
        await save_unpublished(conn, job.shard, applied.assignments)
    return BackfillStep(cursor, deltas=applied.deltas)


async def resolve_page(
    conn: asyncpg.Connection, store: PostgresEvidence, job: BackfillJob, *, shard: int | None
) -> tuple[bytes | None, AppliedEvidence]:
    """Resolve a page of the profiles of a shard (None = of all) again, and return the cursor of the
    next page (None = there is none) and the changes."""
    if not job.cursor:
        # Transactions that began before the policy was saved may still add profiles by the old one.
        await store.drain()
    size = min(PAGE, IDENTIFIERS_PER_ROW * job.most)
    page = await load_rollout_page(conn, shard, job.workspace_id, job.cursor, size)
    profiles = {job.workspace_id: page.profiles}
    applied = await apply_evidence(store, Evidence(), StoredEvidence(), profiles)
    return page.cursor, applied
