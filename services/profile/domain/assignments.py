"""Whose identifiers are: the assignment with the highest version, whatever came first."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from services.kernel.ids import IdentifierId, ProfileId
from services.profile.domain.facts import Assignment


class Move(NamedTuple):
    """An identifier belongs to a profile from now on."""

    #: None where the identifier was not known.
    before: ProfileId | None
    now: Assignment


def newest(assignments: Iterable[Assignment]) -> dict[IdentifierId, Assignment]:
    """The assignment of each identifier that counts."""
    latest: dict[IdentifierId, Assignment] = {}
    for assignment in assignments:
        known = latest.get(assignment.identifier_id)
        if known is None or assignment.version > known.version:
            latest[assignment.identifier_id] = assignment
    return latest


def moves(
    told: Mapping[IdentifierId, Assignment], known: Mapping[IdentifierId, Assignment]
) -> list[Move]:
    """What the assignments told change, given those that are known; ascending by identifier."""
    changed: list[Move] = []
    for id_ in sorted(told):
        now, before = told[id_], known.get(id_)
        if before is None or now.version > before.version:
            changed.append(Move(before.profile_id if before else None, now))
    return changed


def at_stake(
    told: Mapping[IdentifierId, Assignment], known: Mapping[IdentifierId, Assignment]
) -> set[bytes]:
    """What nobody else may change meanwhile: profiles, and identifiers that are not known."""
    held: set[bytes] = set()
    for id_, assignment in told.items():
        before = known.get(id_)
        held.add(before.profile_id if before else id_)
        if before is None or assignment.version > before.version:
            held.add(assignment.profile_id)
    return held
