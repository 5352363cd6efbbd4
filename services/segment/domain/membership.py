"""What follows: from standings and memberships to changes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from services.kernel.ids import ProfileId, WorkspaceId
from services.kernel.rules.evaluate import RuleTest, compile_rule
from services.segment.domain.model import Cause, Change, Definition, Member, Standing

#: The segments of each profile.
Memberships = Mapping[ProfileId, frozenset[str]]


class Rulebook:
    """The segments of every workspace that can be decided now.

    A segment is frozen while a predicate of its rule is not live: nobody enters or leaves.
    """

    def __init__(self, live: Iterable[Definition], frozen: Iterable[Definition] = ()) -> None:
        self._live: dict[WorkspaceId, list[tuple[Definition, RuleTest]]] = {}
        for definition in live:
            decided = self._live.setdefault(definition.workspace_id, [])
            decided.append((definition, compile_rule(definition.rule)))
        self._frozen = {(d.workspace_id, d.segment_id) for d in frozen}
        self._versions = {(d.workspace_id, d.segment_id): d.version for d in (*live, *frozen)}

    def segments_of(self, standing: Standing, present: frozenset[str]) -> frozenset[str]:
        """The segments that the profile belongs to, given those it is in at present."""
        if standing.merged_into is not None:
            return frozenset()
        workspace_id = standing.workspace_id
        decided = {
            d.segment_id
            for d, holds in self._live.get(workspace_id, ())
            if not d.retired and holds(standing.holds)
        }
        kept = {s for s in present if (workspace_id, s) in self._frozen}
        return frozenset(decided | kept)

    @property
    def frozen(self) -> frozenset[tuple[WorkspaceId, str]]:
        """The segments that wait: workspace and id."""
        return frozenset(self._frozen)

    def version(self, workspace_id: WorkspaceId, segment_id: str) -> int:
        """The version in force; 0 where the segment is not known."""
        return self._versions.get((workspace_id, segment_id), 0)


def newest(told: Iterable[Standing], stored: Mapping[ProfileId, Standing]) -> list[Standing]:
    """The standings among `told` that are newer than what is stored, one a profile."""
    best: dict[ProfileId, Standing] = {}
    for standing in told:
        known = best.get(standing.profile_id) or stored.get(standing.profile_id)
        if known is None or standing.version > known.version:
            best[standing.profile_id] = standing
    return list(best.values())


def changes(
    standings: Iterable[Standing],
    present: Memberships,
    rulebook: Rulebook,
    cause: Cause = Cause.RULE,
) -> list[Change]:
    """Who enters and leaves what, ordered by profile and segment.

    A membership that moves from a profile to the one it became part of is marked as a merge on
    both sides, so that nobody welcomes or dismisses the person again.
    """
    found: list[Change] = []
    for standing in sorted(standings, key=lambda s: s.profile_id):
        before = present.get(standing.profile_id, frozenset())
        after = rulebook.segments_of(standing, before)
        for segment_id in sorted(before ^ after):
            version = rulebook.version(standing.workspace_id, segment_id)
            found.append(_change(standing, segment_id, version, segment_id in after, cause))
    return mark_merges(found, standings, present)


def replaced_members(known: Iterable[Member], kept: Iterable[Member]) -> list[Change]:
    """The changes that make the members `known` those that are `kept`."""
    before = {m.profile_id: m for m in known}
    after = {m.profile_id: m for m in kept}
    return [
        Change(
            *(m.workspace_id, m.segment_id, m.segment_version, m.profile_id),
            *(m.profile_id in after, m.since_us, Cause.DEFINITION),
        )
        for m in [*before.values(), *after.values()]
        if (m.profile_id in before) != (m.profile_id in after)
    ]


def _change(s: Standing, segment_id: str, version: int, entered: bool, cause: Cause) -> Change:
    return Change(s.workspace_id, segment_id, version, s.profile_id, entered, s.at_us, cause)


def mark_merges(
    found: list[Change], standings: Iterable[Standing], present: Memberships
) -> list[Change]:
    """The changes, those of them marked with which a membership moves to an heir among `standings`.

    `present`: the segments of the heirs before.
    """
    heirs = {s.profile_id: s.merged_into for s in standings if s.merged_into is not None}
    if not heirs:
        return found
    entered = {(c.profile_id, c.segment_id) for c in found if c.entered}
    marked: list[Change] = []
    carried: dict[tuple[ProfileId, str], ProfileId] = {}
    for change in found:
        heir = heirs.get(change.profile_id)
        if heir is not None and not change.entered:
            key = (heir, change.segment_id)
            if key in entered or change.segment_id in present.get(heir, frozenset()):
                carried.setdefault(key, change.profile_id)
                change = replace(change, cause=Cause.MERGE, other_profile_id=heir)
        marked.append(change)
    return [_carry(change, carried) for change in marked]


def came_back(
    newer: Iterable[Standing], known: Mapping[ProfileId, Standing]
) -> dict[ProfileId, ProfileId]:
    """Those who are people of their own again, and whom they were part of."""
    return {
        s.profile_id: keeper
        for s in newer
        if s.merged_into is None
        and s.profile_id in known
        and (keeper := known[s.profile_id].merged_into) is not None
    }


def mark_returns(
    found: list[Change],
    parted: Mapping[ProfileId, ProfileId],
    last: Mapping[tuple[ProfileId, str], Cause],
) -> list[Change]:
    """The changes, those of them marked with which a membership comes back that a merge took along.

    `parted`: as `came_back` tells; `last`: why the memberships changed last. So nobody welcomes or
    dismisses those again who were only taken apart.
    """
    others: dict[tuple[ProfileId, str], ProfileId] = {}
    for change in found:
        key = (change.profile_id, change.segment_id)
        if change.entered and change.profile_id in parted and last.get(key) is Cause.MERGE:
            keeper = parted[change.profile_id]
            others[key] = keeper
            if last.get((keeper, change.segment_id)) is Cause.MERGE:
                others[keeper, change.segment_id] = change.profile_id
    return [
        _between(change, others.get((change.profile_id, change.segment_id))) for change in found
    ]


def _between(change: Change, other: ProfileId | None) -> Change:
    if other is None:
        return change
    return replace(change, cause=Cause.MERGE, other_profile_id=other)


def _carry(change: Change, carried: Mapping[tuple[ProfileId, str], ProfileId]) -> Change:
    giver = carried.get((change.profile_id, change.segment_id)) if change.entered else None
    return _between(change, giver)
