"""Deletes what identity has of erased persons, once all shards have come to the erasure.

Evidence of a person comes from all shards. So each shard notes that it has come to the fact
`PersonErased`, and the last one schedules a job: from then on no evidence of the old life can
arrive. The job deletes the rows of the person, resolves the profiles that they touched again, and
adds the evidence of the new life from the log, which has nothing of the old one.

A fold leaves out evidence that is stored. So no fold is under way while the job deletes rows and
reads the log, or it could leave out what is deleted then and is not in the log that was read; and
the caches of all shards are emptied, which hold the rows that are deleted.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence, Set
from typing import Any, Protocol

import asyncpg

from services.chassis.projection.backfill import BackfillJob, BackfillStep, schedule
from services.chassis.projection.erased_rows import save_erased_rows
from services.identity.codec.bus import decode_facts
from services.identity.domain.digest import decision_share, edge_share, identifier_share
from services.identity.domain.evidence import Evidence, IdentifierInWorkspace
from services.identity.domain.normalize import normalize_pair
from services.identity.domain.rows import IdentifierAssignment
from services.identity.projection.apply_evidence import apply_evidence
from services.identity.projection.evidence_cache import EvidenceCache
from services.identity.projection.matches import fold_matches, match_share
from services.identity.store.assignments import save_unpublished
from services.identity.store.erasure import (
    DeletedRows,
    PartedIdentifier,
    delete_rows,
    load_profile_ids,
    mark_caches_outdated,
    part,
    pass_shard,
    stop_folds,
    take,
)
from services.identity.store.evidence import PostgresEvidence
from services.kernel.erasures import PersonErasure
from services.kernel.ids import NO_ID, IdentifierId, ProfileId, WorkspaceId, from_hex, to_hex
from services.kernel.tokens import Token

_JOB = "erase "
#: The shard of the job.
_SHARD = 0
#: Leaves whose facts are read at a time.
_LEAVES = 1_000


class LeafFacts(Protocol):
    """The facts of leaves; see services.chassis.rpc.clients.LogClient."""

    async def read_leaves(
        self,
        workspace_id: WorkspaceId,
        leaf_ids: Sequence[bytes],
        *,
        before: Token | None = None,
        recorded_after_us: int = 0,
    ) -> list[Any]:
        """Return their facts before a token (None = all), recorded after an instant."""


async def note_erasures(
    conn: asyncpg.Connection, shard: int, shards: int, erasures: Iterable[PersonErasure]
) -> None:
    """Note erasures to which a shard has come; the last shard schedules the job.

    The job is one of shard 0, see `stop_folds`. The last shard has a job that ends at once, as a
    shard with a new job makes the workers of all shards look for theirs.

    `shards`: those of the log.
    """
    for person in erasures:
        if await pass_shard(conn, person, shard) == shards:
            name = _JOB + to_hex(person.request_id)
            await schedule(conn, {_SHARD, shard}, name, person.workspace_id, 0)


def is_erasure(job: BackfillJob) -> bool:
    """Return whether a job erases a person."""
    return job.name.startswith(_JOB)


async def erase_person(
    conn: asyncpg.Connection,
    store: PostgresEvidence,
    cache: EvidenceCache,
    log: LeafFacts,
    job: BackfillJob,
    *,
    shards: int,
    before: Token | None = None,
) -> BackfillStep:
    """Run the job of an erasure, in one step.

    `shards`: those to which it publishes that the identifiers are gone; 0 = it publishes nothing.
    `before`: the state of the log up to which facts are read; None = all.
    """
    if job.shard != _SHARD:
        return BackfillStep(None)
    workspace_id = job.workspace_id
    await stop_folds(conn)
    person = await take(conn, workspace_id, from_hex(job.name.removeprefix(_JOB)))
    ids = sorted(map(IdentifierId, person.ids))
    deleted = await delete_rows(conn, workspace_id, ids)
    version = await store.next_version()
    # Others may have joined the profile meanwhile: the identifier that named it is gone.
    parted = await part(conn, workspace_id, ids, version)
    deltas = Counter[str]({workspace_id: _change_of(parted) - _share_of(deleted)})
    others = deleted.others(ids)
    touched = await load_profile_ids(conn, workspace_id, others)
    touched.update(ProfileId(one.id) for one in parted)
    touched.update(deleted.profiles - set(ids))
    # The facts of others of before are evidence already, but for those that were changed.
    whole = {*ids, *person.changed_ids}
    facts = await _facts_of(log, workspace_id, whole, before)
    facts += await _facts_of(log, workspace_id, others - whole, before, person.recorded_at_us)
    decoded = decode_facts(facts)
    await cache.regions.load(conn, (), [workspace_id])
    evidence = Evidence()
    for identifier_set, span in decoded.observations.items():
        evidence.add(cache.observation(identifier_set), span)
    for one in decoded.decisions:
        key = (one.workspace_id, one.identifiers, cache.regions.of(workspace_id), cache.index_key)
        evidence.add_decision(one.decision, normalize_pair(*key))
    applied = await apply_evidence(
        store, evidence, await store.load(evidence), {workspace_id: touched}
    )
    deltas.update(applied.deltas)
    deltas.update(await fold_matches(conn, store.shards, cache, decoded.matches))
    if shards:
        await _count(conn, person, job.shard, shards, deleted)
        gone = await _gone(store, deleted, ids, job)
        for shard in range(shards):
            # In the stream of every shard an older assignment may be on its way.
            await save_unpublished(conn, shard, gone)
        await save_unpublished(conn, job.shard, _moved(parted, applied.assignments, version))
        await mark_caches_outdated(conn)
    return BackfillStep(None, deltas=dict(deltas))


async def _count(
    conn: asyncpg.Connection, person: PersonErasure, own: int, shards: int, deleted: DeletedRows
) -> None:
    """Count what the job has deleted for all shards at once: as that of one of them."""
    rows = {
        "identifiers": len(deleted.identifiers),
        "edges": len(deleted.edges),
        "decisions": len(deleted.decisions),
        "matches": len(deleted.matches),
    }
    for shard in range(shards):
        await save_erased_rows(conn, person, shard, rows if shard == own else {})


async def _facts_of(
    log: LeafFacts,
    workspace_id: WorkspaceId,
    leaves: Set[bytes],
    before: Token | None,
    after_us: int = 0,
) -> list[Any]:
    facts: list[Any] = []
    ordered = sorted(leaves)
    for start in range(0, len(ordered), _LEAVES):
        page = ordered[start : start + _LEAVES]
        facts += await log.read_leaves(
            workspace_id, page, before=before, recorded_after_us=after_us
        )
    return facts


async def _gone(
    store: PostgresEvidence, deleted: DeletedRows, ids: Iterable[IdentifierId], job: BackfillJob
) -> list[IdentifierAssignment]:
    """Return the assignments that say that identifiers are gone. One with a new life is assigned
    again, with a version of its own."""
    evidence = Evidence()
    for id_ in ids:
        evidence.identifiers[id_] = IdentifierInWorkspace(job.workspace_id, None)
    alive = (await store.load(evidence)).identifiers
    version = await store.next_version()
    return [
        IdentifierAssignment(
            id_,
            ProfileId(NO_ID),
            version,
            IdentifierInWorkspace(job.workspace_id, None),
            deleted.identifiers[id_].profile_id if id_ in deleted.identifiers else None,
        )
        for id_ in ids
        if id_ not in alive
    ]


def _moved(
    parted: Iterable[PartedIdentifier], assigned: Iterable[IdentifierAssignment], version: int
) -> list[IdentifierAssignment]:
    """Return the assignments of others: also of those that stay profiles of their own."""
    found = {
        one.id: IdentifierAssignment(one.id, ProfileId(one.id), version, one.identifier, one.before)
        for one in parted
    }
    for assignment in assigned:
        one = found.get(assignment.identifier_id)
        before = assignment.before if one is None else one.before
        found[assignment.identifier_id] = assignment._replace(before=before)
    return list(found.values())


def _change_of(parted: Iterable[PartedIdentifier]) -> int:
    """Return how identifiers that became profiles of their own change the digest."""
    return sum(
        identifier_share(one.id, ProfileId(one.id), one.first)
        - identifier_share(one.id, one.before, one.first)
        for one in parted
    )


def _share_of(deleted: DeletedRows) -> int:
    """Return what rows have added to the digest."""
    return (
        sum(
            identifier_share(id_, row.profile_id, row.first)
            for id_, row in deleted.identifiers.items()
        )
        + sum(edge_share(edge, row) for edge, row in deleted.edges.items())
        + sum(decision_share(pair, row) for pair, row in deleted.decisions.items())
        + sum(match_share(pair, row.at, row.message) for pair, row in deleted.matches.items())
    )
