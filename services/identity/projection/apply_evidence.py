"""Applies evidence: locks the profiles that it concerns, loads them, resolves and saves.

Workers of several shards apply evidence about the same profiles at once. A worker that changes
anything about a profile holds the lock on its id, and one that adds an identifier holds the lock on
that one's id. A profile may be merged while a worker waits for its lock, so the rows are loaded
again under the lock.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from services.identity.domain.candidates import (
    CoOccurrenceCandidates,
    WorkspaceEvidence,
    co_occurrence_candidates,
    compared_holders,
    stored_joint_pairs,
)
from services.identity.domain.changes import ReassignedIdentifier, ResolutionChanges
from services.identity.domain.claims import check_persons, doubtful_profiles
from services.identity.domain.co_occurrence import (
    NO_JOINT,
    Neighbour,
    counted_kinds,
    has_too_many,
    max_holders,
)
from services.identity.domain.delta import lock_set, new_evidence, split_by_workspace
from services.identity.domain.digest import deltas
from services.identity.domain.evidence import Evidence, IdentifierInWorkspace
from services.identity.domain.fast_path import (
    Classified,
    changes,
    check_limits,
    classify,
    limit_queries,
)
from services.identity.domain.neighbourhood import Neighbourhood
from services.identity.domain.normalize import IdentifierSet
from services.identity.domain.policy import DEFAULT, NamespaceRule, Policy
from services.identity.domain.rows import IdentifierAssignment, LockedState, StoredEvidence
from services.identity.projection import metrics
from services.identity.projection.evidence_cache import CachedBounds
from services.identity.projection.ports import EvidenceStore
from services.kernel.errors import StoreUnavailable
from services.kernel.ids import IdentifierId, ProfileId, WorkspaceId

#: Every further attempt means that another worker merged the same profiles in between.
_MAX_ATTEMPTS = 50
#: Profiles to resolve again though nothing is new about them, by workspace.
ProfilesToReresolve: TypeAlias = Mapping[WorkspaceId, Collection[ProfileId]]
NO_PROFILES: ProfilesToReresolve = {}


@dataclass(frozen=True, slots=True)
class AppliedEvidence:
    """What evidence has changed."""

    assignments: tuple[IdentifierAssignment, ...] = ()
    #: The profile of each identifier of the evidence.
    profiles: Mapping[IdentifierId, ProfileId] = field(default_factory=dict)
    #: The change of each workspace's digest.
    deltas: Mapping[str, int] = field(default_factory=dict)
    #: The rows that were written.
    written: StoredEvidence = field(default_factory=StoredEvidence)
    #: What the cache may hold once the transaction is committed.
    bounds: Sequence[tuple[IdentifierSet, CachedBounds]] = ()


async def apply_evidence(
    store: EvidenceStore,
    evidence: Evidence,
    stored: StoredEvidence,
    reresolve: ProfilesToReresolve = NO_PROFILES,
) -> AppliedEvidence:
    """Apply evidence, and resolve some profiles again.

    `stored` was just read, without locks. Raises StoreUnavailable.
    """
    new = new_evidence(evidence, stored)
    if not new and not any(reresolve.values()):
        return AppliedEvidence()
    ids = lock_set(new, stored.identifiers).union(*reresolve.values())
    workspaces = {one.workspace_id for one in new.identifiers.values()} | reresolve.keys()
    for _ in range(_MAX_ATTEMPTS):
        all_locked = await store.lock(ids)
        state = await store.load_locked(new, workspaces)
        still_new = new_evidence(new, state.stored)
        needed = lock_set(new, state.stored.identifiers)
        if all_locked or needed <= ids:
            found, loaded = await _resolve(store, still_new, state, reresolve)
            if all_locked or loaded <= ids:
                return await _save(store, found, new.identifiers, state.version)
            needed |= loaded
        await store.unlock()
        metrics.LOCK_RETRIES.inc()
        ids = needed.union(*reresolve.values())
    raise StoreUnavailable("other workers merge the same profiles; retry")


async def _resolve(
    store: EvidenceStore, new: Evidence, state: LockedState, reresolve: ProfilesToReresolve
) -> tuple[ResolutionChanges, set[ProfileId]]:
    """Return what to write, and the profiles that were loaded for it."""
    found, loaded = ResolutionChanges(), set[ProfileId]()
    parts = split_by_workspace(new)
    for workspace in parts.keys() | {w for w, profiles in reresolve.items() if profiles}:
        policy = state.policies.get(workspace, DEFAULT)
        given = WorkspaceEvidence(workspace, parts.get(workspace) or Evidence(), state, policy)
        profiles = set(reresolve.get(workspace, ()))
        is_trusted = not profiles and workspace not in state.rolling_out
        between = await _between(store, given)
        profiles.update(between.values())
        if is_trusted:
            classified, holders = await _classify(store, given)
            loaded |= holders
            counted = limit_queries(classified)
            counts = await store.count_identifiers(counted) if counted else {}
            fast, slow = check_limits(classified, counts)
            doubtful = doubtful_profiles(classified, fast)
            others = policy.other_namespaces
            most = policy.claimed_devices or 1
            contents = await store.load_contents(doubtful, others, most) if doubtful else {}
            fast, joining = check_persons(classified, fast, contents)
            slow += joining
        else:
            classified = classify(given, CoOccurrenceCandidates({}, set()), {}, NO_JOINT)
            fast, slow = [], classified.clusters
        if not slow and not profiles:
            found.merge(changes(classified, fast))
            continue
        neighbourhood = Neighbourhood(
            classified, slow, profiles, is_trusted=is_trusted, reclassified=between
        )
        by_slow_path, holders = await _resolve_neighbourhood(store, neighbourhood, policy)
        loaded |= neighbourhood.profiles | holders
        # Last: both may change an edge, and the slow path has checked its other end too.
        found.merge(changes(classified, (one for one in fast if one not in neighbourhood.clusters)))
        found.merge(by_slow_path)
    return found, loaded


async def _between(store: EvidenceStore, given: WorkspaceEvidence) -> dict[IdentifierId, ProfileId]:
    """Return the identifiers whose class may change as two of their holders are now one person, or
    no longer; each with its profile."""
    pairs = stored_joint_pairs(given)
    if not pairs:
        return {}
    found = await store.load_between(pairs)
    return {
        id_: profile_id
        for id_, (namespace, profile_id) in found.items()
        if given.policy.rule(namespace).shared_after
    }


async def _classify(
    store: EvidenceStore, given: WorkspaceEvidence
) -> tuple[Classified, set[ProfileId]]:
    """Return the classes, and the profiles of the holders that decide them: while these are locked,
    no other worker finds that two of the holders are one person."""
    candidates = co_occurrence_candidates(given)
    namespaces = candidates.namespaces
    neighbours = await _neighbours(store, namespaces, given.policy) if namespaces else {}
    compared = compared_holders(given, neighbours)
    edges, profiles = await store.load_joint(compared) if compared else ((), set())
    return classify(given, candidates, neighbours, given.joint_with(edges)), profiles


async def _resolve_neighbourhood(
    store: EvidenceStore, neighbourhood: Neighbourhood, policy: Policy
) -> tuple[ResolutionChanges, set[ProfileId]]:
    """Return what to write, and the profiles of the holders that decide classes."""
    metrics.FULL_RESOLUTIONS.inc()
    locked: set[ProfileId] = set()
    while True:
        while missing := neighbourhood.missing():
            if profiles := missing.profiles:
                neighbourhood.add_profiles(profiles, await store.load_profiles(profiles))
            elif edges := missing.edges:
                neighbourhood.add_edges(edges, await store.load_edges(edges))
            elif claims := missing.claims:
                found = await store.load_claims(claims, missing.claims_limit)
                neighbourhood.add_claims(claims, found)
            elif holders := missing.holders:
                joint, of_holders = await store.load_joint(holders)
                neighbourhood.add_joint_edges(holders, joint)
                locked |= of_holders
            else:
                neighbours = await _neighbours(store, missing.neighbours, policy)
                neighbourhood.add_neighbours(neighbours)
        resolution = neighbourhood.resolve()
        if resolution is not None:
            return neighbourhood.changes(resolution), locked


async def _neighbours(
    store: EvidenceStore, namespaces: Mapping[IdentifierId, str], policy: Policy
) -> dict[IdentifierId, list[Neighbour]]:
    """Return the neighbours of each identifier: all, or enough to prove that it is shared."""
    by_namespace: dict[str, set[IdentifierId]] = {}
    for id_, namespace in namespaces.items():
        by_namespace.setdefault(namespace, set()).add(id_)
    neighbours: dict[IdentifierId, list[Neighbour]] = {id_: [] for id_ in namespaces}
    for namespace, ids in by_namespace.items():
        rule, priority = policy.rule(namespace), policy.priority
        weaker = [name for name in policy.rules if priority(name) >= priority(namespace)]
        kinds = counted_kinds(namespace, policy)
        limit = 2 * max_holders(rule)
        while ids:
            found = await store.load_neighbours(ids, weaker, kinds, limit)
            for id_, some in found.items():
                neighbours[id_] = [
                    one for one in some if priority(one.namespace) < priority(namespace)
                ]
            ids = {
                id_
                for id_, some in found.items()
                if len(some) >= limit and not _has_too_many(neighbours[id_], rule)
            }
            limit *= 16
    return neighbours


def _has_too_many(neighbours: Collection[Neighbour], rule: NamespaceRule) -> bool:
    return has_too_many({one.id: one.namespace for one in neighbours}, rule)


async def _save(
    store: EvidenceStore,
    found: ResolutionChanges,
    identifiers: Mapping[IdentifierId, IdentifierInWorkspace],
    version: int,
) -> AppliedEvidence:
    reassigned = [*await store.save(found, identifiers, version), *found.reassigned]
    metrics.NEW_IDENTIFIERS.inc(len(found.added))
    metrics.REASSIGNMENTS.inc(len(reassigned))
    return AppliedEvidence(
        _assignments(found, identifiers, reassigned, version),
        found.profiles,
        deltas(found, identifiers, reassigned),
        found.written(),
    )


def _assignments(
    found: ResolutionChanges,
    identifiers: Mapping[IdentifierId, IdentifierInWorkspace],
    reassigned: list[ReassignedIdentifier],
    version: int,
) -> tuple[IdentifierAssignment, ...]:
    added = [
        IdentifierAssignment(id_, row.profile_id, version, identifiers[id_])
        for id_, row in found.added.items()
    ]
    moved = [
        IdentifierAssignment(one.id, one.after, version, one.identifier, one.before)
        for one in reassigned
    ]
    return (*added, *moved)
