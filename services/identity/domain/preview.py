"""Compares two groupings of the same identifiers into profiles."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

from services.identity.domain.components import connected_components
from services.kernel.ids import IdentifierId, ProfileId

#: How many of the biggest profiles are reported.
MAX_BIGGEST = 10

Profiles: TypeAlias = Mapping[IdentifierId, ProfileId]


class ProfileGroup(NamedTuple):
    """A profile and its identifiers, in ascending order."""

    profile_id: ProfileId
    identifier_ids: tuple[IdentifierId, ...]


class Regrouping(NamedTuple):
    """Profiles whose identifiers are grouped differently; in the order of their ids."""

    before: tuple[ProfileGroup, ...]
    after: tuple[ProfileGroup, ...]


@dataclass(frozen=True, slots=True)
class PreviewTotals:
    """The totals of two groupings."""

    profiles_before: int
    profiles_after: int
    #: The numbers of identifiers of the biggest profiles, in descending order.
    biggest_before: tuple[int, ...]
    biggest_after: tuple[int, ...]
    held_before: int
    held_after: int


def regroupings(before: Profiles, after: Profiles) -> Iterator[Regrouping]:
    """Yield the regroupings, the smallest profile id first. A profile that only gets
    another id is included."""
    members_before, members_after = _members(before), _members(after)
    changed = [
        id_
        for id_ in before
        if before[id_] != after[id_] or members_before[before[id_]] != members_after[after[id_]]
    ]
    for ids in _components(changed, before, after):
        yield Regrouping(
            _groups({before[id_] for id_ in ids}, members_before),
            _groups({after[id_] for id_ in ids}, members_after),
        )


def totals(before: Profiles, after: Profiles, held_before: int, held_after: int) -> PreviewTotals:
    """Return the totals of two groupings with their numbers of held edges."""
    sizes, new_sizes = Counter(before.values()), Counter(after.values())
    return PreviewTotals(
        profiles_before=len(sizes),
        profiles_after=len(new_sizes),
        biggest_before=_biggest(sizes),
        biggest_after=_biggest(new_sizes),
        held_before=held_before,
        held_after=held_after,
    )


def _biggest(sizes: Counter[ProfileId]) -> tuple[int, ...]:
    return tuple(count for _, count in sizes.most_common(MAX_BIGGEST))


def _members(profiles: Profiles) -> dict[ProfileId, tuple[IdentifierId, ...]]:
    by_profile: dict[ProfileId, list[IdentifierId]] = {}
    for id_, profile in profiles.items():
        by_profile.setdefault(profile, []).append(id_)
    return {profile: tuple(sorted(ids)) for profile, ids in by_profile.items()}


def _groups(
    profiles: set[ProfileId], members: Mapping[ProfileId, tuple[IdentifierId, ...]]
) -> tuple[ProfileGroup, ...]:
    return tuple(ProfileGroup(profile, members[profile]) for profile in sorted(profiles))


def _components(
    changed: list[IdentifierId], before: Profiles, after: Profiles
) -> list[list[IdentifierId]]:
    """Return the sets of identifiers that share profiles on either side, each set by the smallest
    of its profiles before."""
    index: dict[tuple[bool, ProfileId], int] = {}
    edges = []
    for id_ in changed:
        old = index.setdefault((False, before[id_]), len(index))
        edges.append((old, index.setdefault((True, after[id_]), len(index))))
    roots = connected_components(len(index), edges)
    sets: dict[int, list[IdentifierId]] = {}
    for id_ in changed:
        sets.setdefault(roots[index[False, before[id_]]], []).append(id_)
    return sorted(sets.values(), key=lambda ids: min(before[id_] for id_ in ids))
