"""Learning from evidence: look, lock what is at stake, look again, decide, save.

Workers of several shards learn about the same people at once. Whoever changes anything about a
profile holds the lock on its id, and whoever adds an identifier holds the lock on that one's id;
since a profile's id may change while one waits, what was locked is read again under the lock.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

from services.identity import metrics
from services.identity.domain.co_occurrence import Neighbour, classify_neighbours, counted_kinds
from services.identity.domain.delta import lock_set, new_evidence, split_by_workspace
from services.identity.domain.digest import deltas
from services.identity.domain.evidence import IdentifierInWorkspace
from services.identity.domain.fast_path import Plan
from services.identity.domain.neighbourhood import Area, Outcome, WholeArea
from services.identity.domain.policy import DEFAULT, Policy
from services.identity.domain.rows import (
    AppliedEvidence,
    Evidence,
    IdentifierAssignment,
    LockedState,
    ProfileGraph,
    ReassignedIdentifier,
    ResolutionChanges,
    StoredEvidence,
)
from services.identity.projection.ports import EvidenceStore
from services.kernel.errors import StoreUnavailable
from services.kernel.ids import IdentifierId, ProfileId, WorkspaceId

#: Each one more means that somebody else merged the same people meanwhile.
_TRIES = 50
#: Profiles that are to be looked at whatever is new, by workspace.
ProfilesToReresolve = Mapping[WorkspaceId, Collection[ProfileId]]
_NOBODY: ProfilesToReresolve = {}


async def apply_evidence(
    tables: EvidenceStore,
    evidence: Evidence,
    kept: StoredEvidence,
    revisit: ProfilesToReresolve = _NOBODY,
) -> AppliedEvidence:
    """Takes in evidence, and answers what came of it.

    `kept` was just read, without locks. Raises StoreUnavailable.
    """
    fresh = new_evidence(evidence, kept)
    if not fresh and not any(revisit.values()):
        return AppliedEvidence()
    stake = lock_set(fresh, kept.identifiers).union(*revisit.values())
    workspaces = {name.workspace_id for name in fresh.names.values()} | revisit.keys()
    for _ in range(_TRIES):
        everything = await tables.lock(stake)
        ground = await tables.load_locked(fresh, workspaces)
        still_fresh = new_evidence(fresh, ground.stored)
        needed = lock_set(fresh, ground.stored.identifiers)
        if everything or needed <= stake:
            changes, looked_at = await _decide(tables, still_fresh, ground, revisit)
            if everything or looked_at <= stake:
                return await _save(tables, changes, fresh.names, ground.version)
            needed |= looked_at
        await tables.unlock()
        metrics.LOCK_RETRIES.inc()
        stake = needed.union(*revisit.values())
    raise StoreUnavailable("the same people are being merged elsewhere; try again")


async def _decide(
    tables: EvidenceStore, fresh: Evidence, ground: LockedState, revisit: ProfilesToReresolve
) -> tuple[ResolutionChanges, set[ProfileId]]:
    """What follows, and the profiles that were looked at for it."""
    changes, looked_at = ResolutionChanges(), set[ProfileId]()
    parts = split_by_workspace(fresh)
    for workspace in parts.keys() | {w for w, profiles in revisit.items() if profiles}:
        policy = ground.policies.get(workspace, DEFAULT)
        plan = Plan(parts.get(workspace) or Evidence(), ground, policy)
        again = revisit.get(workspace, ())
        if again or workspace in ground.rolling_out:
            area, outcome = await _look_at_all(tables, plan, again)
        else:
            await _prepare(tables, plan)
            changes_now = plan.changes(skipped := plan.slow())
            if not skipped:
                changes.merge(changes_now)
                continue
            area, outcome = await _look_at_some(tables, plan)
        looked_at |= area.profiles
        # Last, for it knows more of the edges that both tell of.
        changes.merge(plan.changes(area.clusters))
        changes.merge(area.changes(outcome))
    return changes, looked_at


async def _prepare(tables: EvidenceStore, plan: Plan) -> None:
    """Find who can be taken in the short way."""
    suspects = {id_: plan.node(id_).namespace for id_ in plan.suspects()}
    plan.judge(await _company(tables, suspects, plan.policy) if suspects else {})
    asked = plan.asks()
    plan.weigh(await tables.counts(asked) if asked else {})


async def _look_at_some(tables: EvidenceStore, plan: Plan) -> tuple[Area, Outcome]:
    """Settle those who cannot, and their neighbours as far as they are concerned."""
    metrics.AREAS.inc()
    area = Area(plan)
    around, asked = ProfileGraph(), set(plan.turning)
    while asked:
        around.merge(await tables.load_edges(asked))
        plan.turning |= asked
        asked = area.judge(around)
    while True:
        while missing := area.missing():
            area.take(missing, await tables.load_profiles(missing))
        outcome = area.settle()
        if outcome is not None:
            return area, outcome


async def _look_at_all(
    tables: EvidenceStore, plan: Plan, again: Iterable[ProfileId]
) -> tuple[Area, Outcome]:
    """Settle people without trust in what is kept of their edges."""
    metrics.AREAS.inc()
    plan.judge({})
    area = WholeArea(plan, again)
    growing = True
    while growing:
        while missing := area.missing():
            region = await tables.load_profiles(missing)
            area.take(missing, region)
            area.take((), await tables.load_edges(region.members))
        strangers = area.strangers()
        met = await _company(tables, strangers, plan.policy) if strangers else {}
        growing = area.close(met)
    outcome = area.settle()
    if outcome is None:
        raise AssertionError("a closed area has no neighbours")
    return area, outcome


async def _company(
    tables: EvidenceStore, asked: Mapping[IdentifierId, str], policy: Policy
) -> dict[IdentifierId, list[Neighbour]]:
    """Whom identifiers, given by their namespace, were seen with: all, or enough to be shared."""
    by_namespace: dict[str, set[IdentifierId]] = {}
    for id_, namespace in asked.items():
        by_namespace.setdefault(namespace, set()).add(id_)
    met: dict[IdentifierId, list[Neighbour]] = {id_: [] for id_ in asked}
    for namespace, ids in by_namespace.items():
        rule, rank = policy.rule(namespace), policy.priority
        weaker = [name for name in policy.rules if rank(name) >= rank(namespace)]
        most = 4 * rule.shared_after + 16
        while ids:
            found = await tables.neighbours(ids, weaker, counted_kinds(rule, policy), most)
            for id_, some in found.items():
                met[id_] = [one for one in some if rank(one.namespace) < rank(namespace)]
            ids = {
                id_
                for id_, some in found.items()
                if len(some) >= most and not classify_neighbours(met[id_], rule).shared
            }
            most *= 16
    return met


async def _save(
    tables: EvidenceStore,
    changes: ResolutionChanges,
    names: Mapping[IdentifierId, IdentifierInWorkspace],
    version: int,
) -> AppliedEvidence:
    moved = [*await tables.save(changes, names, version), *changes.reassigned]
    metrics.IDENTIFIERS.inc(len(changes.added))
    metrics.MOVES.inc(len(moved))
    return AppliedEvidence(
        _assignments(changes, names, moved, version),
        changes.profiles,
        deltas(changes, names, moved),
    )


def _assignments(
    changes: ResolutionChanges,
    names: Mapping[IdentifierId, IdentifierInWorkspace],
    moved: list[ReassignedIdentifier],
    version: int,
) -> tuple[IdentifierAssignment, ...]:
    added = [
        IdentifierAssignment(i, known.profile_id, version, names[i])
        for i, known in changes.added.items()
    ]
    again = [
        IdentifierAssignment(m.identifier_id, m.after, version, m.name, m.before) for m in moved
    ]
    return (*added, *again)
