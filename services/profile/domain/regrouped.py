"""Groups the leaves of profiles as they would be with other assignments."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping

from services.kernel.fold.leaf import LeafState, view_of
from services.kernel.ids import IdentifierId, LeafId, ProfileId, WorkspaceId
from services.profile.domain.evaluation import Evaluation, ProfileState


def regroup(
    workspace_id: WorkspaceId,
    profile_of: Mapping[IdentifierId, ProfileId],
    states: Mapping[LeafId, LeafState],
    evaluations: Mapping[ProfileId, Evaluation],
) -> list[ProfileState]:
    """Return the hypothetical profiles, and the existing ones that would lose their last leaf.

    `profile_of`: the hypothetical profile of each identifier; `states`: of those that are leaves;
    `evaluations`: of all these profiles, hypothetical and existing.
    """
    leaves: dict[ProfileId, list[LeafState]] = defaultdict(list)
    for leaf_id, state in states.items():
        leaves[profile_of[IdentifierId(leaf_id)]].append(state)
    hypothetical = [
        ProfileState(profile_id, workspace_id, evaluations.get(profile_id), view_of(own))
        for profile_id, own in sorted(leaves.items())
    ]
    emptied = sorted(
        evaluation
        for evaluation in evaluations.values()
        if evaluation.profile_id not in leaves and evaluation.merged_into is None
    )
    return hypothetical + [ProfileState.emptied(evaluation, profile_of) for evaluation in emptied]
