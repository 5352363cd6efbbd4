"""Evaluates profiles in the transaction of a fold: lock, load, evaluate, save."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, field

from asyncpg import Connection

from services.chassis.projection.backfill import schedule
from services.chassis.runtime.cpu import UNCOUNTED, ItemWatch
from services.kernel.errors import ServiceUnavailable
from services.kernel.fold.leaf import LeafState, decode, view_of
from services.kernel.ids import LeafId, ProfileId
from services.profile.domain.evaluation import (
    Evaluation,
    EvaluationChanges,
    EvaluationScope,
    ProfileState,
    evaluate_all,
    is_unaffected,
    lasting_scopes,
    scopes_by_profile,
)
from services.profile.domain.event_trace import LeafTrace, TracedLeaves
from services.profile.domain.facts import Assignments, lock_set, reassignments
from services.profile.domain.objects import (
    ObjectChange,
    job_of,
    object_changes,
    object_leaves,
    split_by_members,
)
from services.profile.projection import metrics
from services.profile.projection.predicates import PredicateSource
from services.profile.store import evaluations as evaluation_store
from services.profile.store.erasure import load_erasing
from services.profile.store.evaluations import lock_ids, try_lock_ids
from services.profile.store.profiles import load_assignments, load_objects, save_assignments


class ProfilesLocked(ServiceUnavailable):
    """Another worker holds profiles that must be locked: the transaction must be retried."""


@dataclass(slots=True)
class EvaluationRequest:
    """The profiles to evaluate, and their scopes."""

    #: Evaluates the profiles of these leaves; each leaf is in `assignments`.
    leaf_scopes: Mapping[LeafId, EvaluationScope] = field(default_factory=dict)
    #: The newest assignments: from identity, or (version 0) read from a fact.
    assignments: Assignments = field(default_factory=dict)
    profile_scopes: Mapping[ProfileId, EvaluationScope] = field(default_factory=dict)
    #: The scopes of leaves of persons whose related objects have changed.
    members: Mapping[LeafId, EvaluationScope] = field(default_factory=dict)
    #: Whether all of `assignments` were just read from the store.
    is_stored: bool = False
    #: As `own_times` returns them, where an event may have moved identifiers.
    own_times: Mapping[ProfileId, int] = field(default_factory=dict)
    #: The leaves whose events are traced.
    traces: Mapping[LeafId, LeafTrace] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.assignments or self.profile_scopes or self.members)


@dataclass(frozen=True, slots=True)
class ProfileEvaluator:
    """Evaluates profiles and saves the results, in an open transaction."""

    predicates: PredicateSource
    shards: int
    #: Separates the locks from those of other evaluators on the same ids.
    lock_space: str = "profile"
    watch: ItemWatch = UNCOUNTED
    #: The most members of changed objects that are evaluated in the transaction of the change:
    #: some 0.1 seconds. Jobs evaluate those of other objects in pages.
    members_per_transaction: int = 500

    async def evaluate(
        self,
        conn: Connection,
        shard: int,
        request: EvaluationRequest,
        at_us: int,
        fresh_states: Mapping[LeafId, LeafState] | None = None,
    ) -> EvaluationChanges:
        """Save new assignments and evaluate profiles as of `at_us` (Unix microseconds).

        `shard`: the one whose worker evaluates, and evaluates again when the profiles are due.
        `fresh_states`: states of leaves saved in this transaction. Save all leaves before this
        call: once the locks are released, the next worker decides from the stored rows.

        Raises ProfilesLocked.
        """
        if not request:
            return EvaluationChanges()
        stored = await self.lock(conn, request)
        reassigned = reassignments(request.assignments, stored)
        if reassigned:
            await save_assignments(conn, reassigned, self.shards)
        scopes = scopes_by_profile(
            request.leaf_scopes,
            request.profile_scopes,
            stored,
            reassigned,
            request.members,
            request.own_times,
        )
        changes, objects = await self._evaluate(
            conn, shard, scopes, at_us, fresh_states or {}, request.traces
        )
        deltas = Counter[str]()
        for moved in reassigned:
            deltas[moved.after.workspace_id] += moved.delta
        changes = changes.then(EvaluationChanges(deltas=deltas, reassigned=reassigned))
        return await self._evaluate_members(conn, shard, objects, at_us, changes)

    async def _evaluate(
        self,
        conn: Connection,
        shard: int,
        scopes: Mapping[ProfileId, EvaluationScope],
        at_us: int,
        fresh_states: Mapping[LeafId, LeafState],
        traces: Mapping[LeafId, LeafTrace],
    ) -> tuple[EvaluationChanges, Sequence[ObjectChange]]:
        """Evaluate locked profiles and save the results; also return the objects that changed."""
        indexes = await self.predicates.for_all_shards(conn)
        if erasing := await load_erasing(conn):
            scopes = {p: scope for p, scope in scopes.items() if p not in erasing}
        until_us = max([at_us, *(state.last_seen_us for state in fresh_states.values())])
        stored = await evaluation_store.load_evaluations(conn, scopes.keys())
        unaffected = {
            profile_id
            for profile_id, scope in lasting_scopes(scopes, indexes).items()
            if profile_id in stored and is_unaffected(scope, stored[profile_id], until_us)
        }
        scopes = {p: scope for p, scope in scopes.items() if p not in unaffected}
        profiles = await self._load(conn, scopes.keys(), stored, fresh_states, traces)
        if read := object_leaves(profiles, indexes):
            objects = await load_objects(conn, read)
            profiles = [objects.add_to(profile) for profile in profiles]
        watched = self.watch.each(
            profiles, "profile", lambda p: {"workspace": p.workspace_id, "shard": shard}
        )
        changes = evaluate_all(scopes, watched, indexes, at_us)
        metrics.EVALUATIONS.inc(len(profiles))
        metrics.EVALUATION_CHANGES.inc(len(changes.changed))
        saved = await self._save(conn, shard, changes)
        return saved, object_changes(scopes, profiles, indexes)

    async def _evaluate_members(
        self,
        conn: Connection,
        shard: int,
        objects: Sequence[ObjectChange],
        at_us: int,
        before: EvaluationChanges,
    ) -> EvaluationChanges:
        """Evaluate the members of changed objects, or schedule jobs that do; add the changes.

        A member whose locks another worker holds is left to a job: waiting for them now could
        close a cycle, and a job begins after this transaction.
        """
        now, later = split_by_members(objects, self.members_per_transaction)
        members = {leaf: changed.scope for changed in now for leaf in changed.members}
        if members:
            stored = await load_assignments(conn, members.keys())
            locked = lock_set({}, stored, members)
            is_locked = await try_lock_ids(conn, self.lock_space, locked)
            stored = await load_assignments(conn, members.keys())
            if is_locked and lock_set({}, stored, members) <= locked:
                scopes = scopes_by_profile({}, {}, stored, (), members)
                changes, _ = await self._evaluate(conn, shard, scopes, at_us, {}, {})
                before = before.then(changes)
            else:
                later = list(objects)
        for changed in later:
            await schedule(
                conn, [shard], job_of(changed.profile_id), changed.workspace_id, 0, restart=False
            )
        return before

    async def lock(
        self, conn: Connection, request: EvaluationRequest, more_ids: Iterable[bytes] = ()
    ) -> Assignments:
        """Lock all profiles and identifiers of a request; return the stored assignments.

        `more_ids`: others that the transaction writes to. Locks are taken in one order. Ids that
        turn out to be needed afterwards are locked without waiting, because waiting could close a
        cycle of workers that wait for each other. Raises ProfilesLocked where another worker holds
        one of these.
        """
        expected = request.assignments
        # Assignments that were read from facts are mostly stored already.
        wanted = expected.keys() | request.members.keys()
        is_newer = not request.is_stored and any(a.version for a in expected.values())
        if request.members or is_newer:
            expected = await load_assignments(conn, wanted)
        locked = lock_set(request.assignments, expected, request.members)
        locked |= request.profile_scopes.keys()
        await lock_ids(conn, self.lock_space, locked.union(more_ids))
        while True:
            stored = await load_assignments(conn, wanted)
            more = lock_set(request.assignments, stored, request.members) - locked
            if not more:
                return stored
            if not await try_lock_ids(conn, self.lock_space, more):
                metrics.LOCK_RETRIES.inc()
                raise ProfilesLocked("profiles were merged at the same time; retry")
            locked |= more

    async def _load(
        self,
        conn: Connection,
        profiles: Set[ProfileId],
        evaluations: Mapping[ProfileId, Evaluation],
        fresh_states: Mapping[LeafId, LeafState],
        traces: Mapping[LeafId, LeafTrace],
    ) -> list[ProfileState]:
        """Return the stored profiles, with their evaluations; unknown ones are left out."""
        leaves = await evaluation_store.load_profile_leaves(conn, profiles)
        states: list[ProfileState] = []
        for id_, own in leaves.items():
            folded = [fresh_states.get(leaf.leaf_id) or decode(leaf.state) for leaf in own]
            traced: TracedLeaves = ()
            if traces and any(leaf.leaf_id in traces for leaf in own):
                pairs = zip(own, folded, strict=True)
                traced = [(traces.get(one.leaf_id), state, one.leaf_id) for one, state in pairs]
            states.append(
                ProfileState(
                    id_, own[0].workspace_id, evaluations.get(id_), view_of(folded), traced=traced
                )
            )
        if emptied := [evaluations[p] for p in profiles if p in evaluations and p not in leaves]:
            assignments = await load_assignments(conn, [one.profile_id for one in emptied])
            heirs = {a.identifier_id: a.profile_id for a in assignments.values()}
            states += [ProfileState.emptied(evaluation, heirs) for evaluation in emptied]
        return states

    async def _save(
        self, conn: Connection, shard: int, changes: EvaluationChanges
    ) -> EvaluationChanges:
        changed, rescheduled = changes.changed, changes.rescheduled
        if changed:
            changed = await evaluation_store.save_evaluations(conn, shard, changed, self.shards)
        if rescheduled:
            await evaluation_store.reschedule_evaluations(conn, shard, rescheduled, self.shards)
        return EvaluationChanges(changed, rescheduled, changes.deltas)
