"""Two ways to group the same identifiers, compared."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from services.identity.domain.components import connected_components
from services.kernel.ids import IdentifierId, ProfileId

#: The biggest profiles that are told.
MOST_BIGGEST = 10

Profiles = Mapping[IdentifierId, ProfileId]


class ProfileGroup(NamedTuple):
    """One profile, and what it holds, ascending."""

    profile_id: ProfileId
    identifier_ids: tuple[IdentifierId, ...]


class Regrouping(NamedTuple):
    """Profiles whose identifiers are grouped otherwise; by profile id on both sides."""

    before: tuple[ProfileGroup, ...]
    after: tuple[ProfileGroup, ...]


@dataclass(frozen=True, slots=True)
class PreviewTotals:
    """What it comes to."""

    profiles_before: int
    profiles_after: int
    #: Identifiers of the biggest profiles, falling.
    biggest_before: tuple[int, ...]
    biggest_after: tuple[int, ...]
    held_before: int
    held_after: int


def regroupings(before: Profiles, after: Profiles) -> Iterator[Regrouping]:
    """What is grouped otherwise, the least profile id first. A profile that holds the same and is
    called otherwise is one of them."""
    held_before, held_after = _held(before), _held(after)
    changed = [
        id_
        for id_ in before
        if before[id_] != after[id_] or held_before[before[id_]] != held_after[after[id_]]
    ]
    for ids in _together(changed, before, after):
        yield Regrouping(
            _groupings({before[id_] for id_ in ids}, held_before),
            _groupings({after[id_] for id_ in ids}, held_after),
        )


def totals(before: Profiles, after: Profiles, held_before: int, held_after: int) -> PreviewTotals:
    """What two groupings come to, and how much evidence each holds back."""
    sizes, new_sizes = Counter(before.values()), Counter(after.values())
    return PreviewTotals(
        len(sizes),
        len(new_sizes),
        _biggest(sizes),
        _biggest(new_sizes),
        held_before,
        held_after,
    )


def _biggest(sizes: Counter[ProfileId]) -> tuple[int, ...]:
    return tuple(count for _, count in sizes.most_common(MOST_BIGGEST))


def _held(profiles: Profiles) -> dict[ProfileId, tuple[IdentifierId, ...]]:
    by_profile: dict[ProfileId, list[IdentifierId]] = {}
    for id_, profile in profiles.items():
        by_profile.setdefault(profile, []).append(id_)
    return {profile: tuple(sorted(ids)) for profile, ids in by_profile.items()}


def _groupings(
    profiles: set[ProfileId], held: Mapping[ProfileId, tuple[IdentifierId, ...]]
) -> tuple[ProfileGroup, ...]:
    return tuple(ProfileGroup(profile, held[profile]) for profile in sorted(profiles))


def _together(
    changed: list[IdentifierId], before: Profiles, after: Profiles
) -> list[list[IdentifierId]]:
    """The identifiers that are together on either side, each set by its least profile before."""
    place: dict[tuple[bool, ProfileId], int] = {}
    edges = []
    for id_ in changed:
        old = place.setdefault((False, before[id_]), len(place))
        edges.append((old, place.setdefault((True, after[id_]), len(place))))
    roots = connected_components(len(place), edges)
    sets: dict[int, list[IdentifierId]] = {}
    for id_ in changed:
        sets.setdefault(roots[place[False, before[id_]]], []).append(id_)
    return sorted(sets.values(), key=lambda ids: min(before[id_] for id_ in ids))
