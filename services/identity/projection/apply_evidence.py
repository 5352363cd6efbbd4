"""Learning from evidence: look, lock what is at stake, look again, decide, save.

Workers of several shards learn about the same people at once. Whoever changes anything about a
profile holds the lock on its id, and whoever adds an identifier holds the lock on that one's id;
since a profile's id may change while one waits, what was locked is read again under the lock.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

from services.identity import metrics
from services.identity.domain.co_occurrence import Met, company, counted
from services.identity.domain.delta import at_stake, by_workspace, news
from services.identity.domain.digest import deltas
from services.identity.domain.evidence import Name
from services.identity.domain.fast_path import Plan
from services.identity.domain.neighbourhood import Area, Outcome, WholeArea
from services.identity.domain.policy import DEFAULT, Policy
from services.identity.domain.rows import (
    Assignment,
    Changes,
    Evidence,
    Ground,
    Kept,
    Learnt,
    Moved,
    Region,
)
from services.identity.projection.ports import Tables
from services.kernel.errors import StoreUnavailable
from services.kernel.ids import IdentifierId, ProfileId, WorkspaceId

#: Each one more means that somebody else merged the same people meanwhile.
_TRIES = 50
#: Profiles that are to be looked at whatever is new, by workspace.
Revisit = Mapping[WorkspaceId, Collection[ProfileId]]
_NOBODY: Revisit = {}


async def learn(
    tables: Tables, evidence: Evidence, kept: Kept, revisit: Revisit = _NOBODY
) -> Learnt:
    """Takes in evidence, and answers what came of it.

    `kept` was just read, without locks. Raises StoreUnavailable.
    """
    fresh = news(evidence, kept)
    if not fresh and not any(revisit.values()):
        return Learnt()
    stake = at_stake(fresh, kept.known).union(*revisit.values())
    workspaces = {name.workspace_id for name in fresh.names.values()} | revisit.keys()
    for _ in range(_TRIES):
        everything = await tables.hold(stake)
        ground = await tables.look_again(fresh, workspaces)
        still_fresh = news(fresh, ground.kept)
        needed = at_stake(fresh, ground.kept.known)
        if everything or needed <= stake:
            changes, looked_at = await _decide(tables, still_fresh, ground, revisit)
            if everything or looked_at <= stake:
                return await _save(tables, changes, fresh.names, ground.version)
            needed |= looked_at
        await tables.let_go()
        metrics.LOCK_RETRIES.inc()
        stake = needed.union(*revisit.values())
    raise StoreUnavailable("the same people are being merged elsewhere; try again")


async def _decide(
    tables: Tables, fresh: Evidence, ground: Ground, revisit: Revisit
) -> tuple[Changes, set[ProfileId]]:
    """What follows, and the profiles that were looked at for it."""
    changes, looked_at = Changes(), set[ProfileId]()
    parts = by_workspace(fresh)
    for workspace in parts.keys() | {w for w, profiles in revisit.items() if profiles}:
        policy = ground.policies.get(workspace, DEFAULT)
        plan = Plan(parts.get(workspace) or Evidence(), ground, policy)
        again = revisit.get(workspace, ())
        if again or workspace in ground.unsettled:
            area, outcome = await _look_at_all(tables, plan, again)
        else:
            await _prepare(tables, plan)
            changes_now = plan.changes(skipped := plan.slow())
            if not skipped:
                changes.join(changes_now)
                continue
            area, outcome = await _look_at_some(tables, plan)
        looked_at |= area.profiles
        # Last, for it knows more of the edges that both tell of.
        changes.join(plan.changes(area.clusters))
        changes.join(area.changes(outcome))
    return changes, looked_at


async def _prepare(tables: Tables, plan: Plan) -> None:
    """Find who can be taken in the short way."""
    suspects = {id_: plan.node(id_).namespace for id_ in plan.suspects()}
    plan.judge(await _company(tables, suspects, plan.policy) if suspects else {})
    asked = plan.asks()
    plan.weigh(await tables.counts(asked) if asked else {})


async def _look_at_some(tables: Tables, plan: Plan) -> tuple[Area, Outcome]:
    """Settle those who cannot, and their neighbours as far as they are concerned."""
    metrics.AREAS.inc()
    area = Area(plan)
    around, asked = Region(), set(plan.turning)
    while asked:
        around.join(await tables.around(asked))
        plan.turning |= asked
        asked = area.judge(around)
    while True:
        while missing := area.missing():
            area.take(missing, await tables.region(missing))
        outcome = area.settle()
        if outcome is not None:
            return area, outcome


async def _look_at_all(
    tables: Tables, plan: Plan, again: Iterable[ProfileId]
) -> tuple[Area, Outcome]:
    """Settle people without trust in what is kept of their edges."""
    metrics.AREAS.inc()
    plan.judge({})
    area = WholeArea(plan, again)
    growing = True
    while growing:
        while missing := area.missing():
            region = await tables.region(missing)
            area.take(missing, region)
            area.take((), await tables.around(region.members))
        strangers = area.strangers()
        met = await _company(tables, strangers, plan.policy) if strangers else {}
        growing = area.close(met)
    outcome = area.settle()
    if outcome is None:
        raise AssertionError("a closed area has no neighbours")
    return area, outcome


async def _company(
    tables: Tables, asked: Mapping[IdentifierId, str], policy: Policy
) -> dict[IdentifierId, list[Met]]:
    """Whom identifiers, given by their namespace, were seen with: all, or enough to be shared."""
    by_namespace: dict[str, set[IdentifierId]] = {}
    for id_, namespace in asked.items():
        by_namespace.setdefault(namespace, set()).add(id_)
    met: dict[IdentifierId, list[Met]] = {id_: [] for id_ in asked}
    for namespace, ids in by_namespace.items():
        rule, rank = policy.rule(namespace), policy.rank
        weaker = [name for name in policy.rules if rank(name) >= rank(namespace)]
        most = 4 * rule.shared_after + 16
        while ids:
            found = await tables.company(ids, weaker, counted(rule, policy), most)
            for id_, some in found.items():
                met[id_] = [one for one in some if rank(one.namespace) < rank(namespace)]
            ids = {
                id_
                for id_, some in found.items()
                if len(some) >= most and not company(met[id_], rule).shared
            }
            most *= 16
    return met


async def _save(
    tables: Tables, changes: Changes, names: Mapping[IdentifierId, Name], version: int
) -> Learnt:
    moved = [*await tables.save(changes, names, version), *changes.placed]
    metrics.IDENTIFIERS.inc(len(changes.added))
    metrics.MOVES.inc(len(moved))
    return Learnt(
        _assignments(changes, names, moved, version),
        changes.profiles,
        deltas(changes, names, moved),
    )


def _assignments(
    changes: Changes, names: Mapping[IdentifierId, Name], moved: list[Moved], version: int
) -> tuple[Assignment, ...]:
    added = [
        Assignment(i, known.profile_id, version, names[i]) for i, known in changes.added.items()
    ]
    again = [Assignment(m.identifier_id, m.after, version, m.name, m.before) for m in moved]
    return (*added, *again)
