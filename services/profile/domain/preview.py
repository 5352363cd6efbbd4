"""People as they would be if identity grouped their identifiers otherwise."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping

from services.kernel.fold.leaf import LeafState, view_of
from services.kernel.ids import IdentifierId, LeafId, ProfileId, WorkspaceId
from services.profile.domain.decisions import Person
from services.profile.domain.model import Standing


def regrouped(
    workspace_id: WorkspaceId,
    homes: Mapping[IdentifierId, ProfileId],
    states: Mapping[LeafId, LeafState],
    standings: Mapping[ProfileId, Standing],
) -> list[Person]:
    """The people that there would be, and those who are somebody and would not be any more.

    `homes`: the profile that would hold each identifier; `states` of those among them that are
    leaves; `standings`: how all of these profiles stand, those that would be and those that are.
    """
    leaves: dict[ProfileId, list[LeafState]] = defaultdict(list)
    for leaf_id, state in states.items():
        leaves[homes[IdentifierId(leaf_id)]].append(state)
    there = [
        Person(p, workspace_id, standings.get(p), view_of(held))
        for p, held in sorted(leaves.items())
    ]
    gone = _without(standings.values(), leaves.keys())
    heirs = ((standing, homes.get(IdentifierId(standing.profile_id))) for standing in gone)
    return there + [Person(s.profile_id, workspace_id, s, None, heir) for s, heir in heirs]


def _without(standings: Iterable[Standing], there: Iterable[ProfileId]) -> list[Standing]:
    kept = set(there)
    return sorted(s for s in standings if s.profile_id not in kept and s.merged_into is None)
