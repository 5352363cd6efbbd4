"""Previews how evaluations would change if identity grouped identifiers differently."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from services.chassis.postgres.database import acquire
from services.kernel.fold.leaf import decode, view_of
from services.kernel.ids import IdentifierId, ProfileId, WorkspaceId
from services.kernel.tokens import Token
from services.profile.domain.evaluation import (
    ALL_PREDICATES,
    Evaluation,
    EvaluationScope,
    PredicateIndexes,
    ProfileState,
    evaluate_all,
    related_only,
)
from services.profile.domain.objects import object_changes, object_leaves
from services.profile.domain.regrouped import regroup
from services.profile.projection.predicates import PredicateIndexCache
from services.profile.queries.profiles import ProfileQueries, group
from services.profile.store.evaluations import load_evaluations
from services.profile.store.profiles import Snapshot, load_objects, load_profiles, profiles_of

#: Members of regrouped objects that are in memory at a time.
PAGE = 500


class ProfilePreview:
    """Evaluates hypothetical profiles in memory; writes nothing."""

    def __init__(self, queries: ProfileQueries) -> None:
        self._queries = queries
        # Apart from the workers' cache, which may only be read under locks.
        self._predicates = PredicateIndexCache()

    async def changes(
        self, workspace_id: WorkspaceId, groups: Mapping[ProfileId, Sequence[IdentifierId]]
    ) -> tuple[Sequence[Evaluation], Token]:
        """Return the evaluations that would be published if profiles had these identifiers."""
        requested = {id_: profile for profile, ids in groups.items() for id_ in ids}
        async with self._queries.snapshot() as at:
            present = set((await profiles_of(at.conn, workspace_id, list(requested))).values())
            rows = await load_profiles(at.conn, workspace_id, present)
            stored = await load_evaluations(at.conn, present | groups.keys())
            # The cache is shared by all callers, so it is filled with what all workspaces have.
            async with acquire(self._queries.database.pool) as conn:
                indexes = await self._predicates.for_all_shards(conn)
            # Identifiers that the request does not name stay with their profiles.
            profile_of = {IdentifierId(row.leaf_id): row.profile_id for row in rows} | requested
            states = {row.leaf_id: decode(row.state) for row in rows if row.state is not None}
            evaluations = {p: e for p, e in stored.items() if e.workspace_id == workspace_id}
            profiles = regroup(workspace_id, profile_of, states, evaluations)
            scopes = {profile.profile_id: ALL_PREDICATES for profile in profiles}
            changed = list(await _evaluate(at, scopes, profiles, indexes, requested))
            members = {
                leaf
                for regrouped in object_changes(scopes, profiles, indexes)
                for leaf in regrouped.members
            }
            of_members = set((await profiles_of(at.conn, workspace_id, members)).values())
            others = sorted(of_members - present)
            for start in range(0, len(others), PAGE):
                profiles = await _load(at, workspace_id, others[start : start + PAGE])
                scopes = {profile.profile_id: related_only() for profile in profiles}
                changed += await _evaluate(at, scopes, profiles, indexes, requested)
        return changed, at.token


async def _load(
    at: Snapshot, workspace_id: WorkspaceId, profiles: Sequence[ProfileId]
) -> list[ProfileState]:
    """Return profiles as they are, which are members of regrouped objects."""
    found = await group(await load_profiles(at.conn, workspace_id, profiles))
    stored = await load_evaluations(at.conn, profiles)
    return [
        ProfileState(p, workspace_id, stored.get(p), view_of(rows.leaves.values()))
        for p, rows in found.items()
        if rows.leaves
    ]


async def _evaluate(
    at: Snapshot,
    scopes: Mapping[ProfileId, EvaluationScope],
    profiles: Sequence[ProfileState],
    indexes: PredicateIndexes,
    requested: Mapping[IdentifierId, ProfileId],
) -> Sequence[Evaluation]:
    """Evaluate profiles with their related objects, of which some are regrouped too."""
    if read := object_leaves(profiles, indexes):
        objects = await load_objects(at.conn, read | requested.keys(), requested)
        profiles = [objects.add_to(profile) for profile in profiles]
    return evaluate_all(scopes, profiles, indexes, at.now_us).changed
