"""Finds the identifiers that clash at a held edge: the two about which to decide."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

import asyncpg

from services.identity.domain.co_occurrence import CO_OCCURRENCE_KINDS, JOINT_KINDS
from services.identity.domain.evidence import EvidenceKind
from services.identity.domain.explain import HeldEdgeView
from services.identity.domain.held import HeldReason
from services.identity.domain.policy import Policy
from services.identity.store.profiles import Q
from services.kernel.identifiers.model import Identifier
from services.kernel.identifiers.priority import is_device_namespace
from services.kernel.ids import IdentifierId, ProfileId

#: Of the others that a shared identifier was seen with, so many are read.
_OTHERS = 50
_COUNTED = [kind for kind in CO_OCCURRENCE_KINDS if kind != EvidenceKind.CO_OBSERVED]
_OF_PROFILES = (HeldReason.LIMIT, HeldReason.OTHER_PERSON)


async def with_clashes(
    conn: asyncpg.Connection, held: Sequence[HeldEdgeView], policy: Policy
) -> list[HeldEdgeView]:
    """Return held edges with the identifiers that clash at each."""
    reasons = [one.edge.held.reason if one.edge.held else 0 for one in held]
    of_profiles = [one for one, reason in zip(held, reasons, strict=True) if reason in _OF_PROFILES]
    profiles = {p for one in of_profiles for p in (one.profile_a, one.profile_b)}
    found = await _representatives(conn, profiles) if profiles else {}
    shared = [one for one, reason in zip(held, reasons, strict=True) if reason == HeldReason.SHARED]
    others = await _other_holders(conn, shared, policy) if shared else {}
    return [
        one._replace(clash=_of_profiles(one, found, policy))
        if reason in _OF_PROFILES
        else one._replace(clash=others.get(one, ()))
        for one, reason in zip(held, reasons, strict=True)
    ]


async def _representatives(
    conn: asyncpg.Connection, profiles: Collection[ProfileId]
) -> dict[ProfileId, list[Identifier]]:
    found: dict[ProfileId, list[Identifier]] = {}
    for profile_id, *identifier in await conn.fetch(Q.list_representatives, list(profiles)):
        found.setdefault(profile_id, []).append(Identifier(*identifier))
    return found


def _of_profiles(
    held: HeldEdgeView, found: dict[ProfileId, list[Identifier]], policy: Policy
) -> tuple[Identifier, ...]:
    """Return an identifier of each profile: of the namespace with the limit, or of a person."""
    namespace = held.edge.held.namespace if held.edge.held else ""
    clash = []
    for profile in (held.profile_a, held.profile_b):
        candidates = [
            identifier
            for identifier in found.get(profile, ())
            if (identifier.namespace == namespace)
            or (not namespace and not is_device_namespace(identifier.namespace))
        ]
        if candidates:
            clash.append(_strongest(candidates, policy))
    return tuple(clash) if len(clash) == 2 else ()


def _strongest(identifiers: Iterable[Identifier], policy: Policy) -> Identifier:
    return min(
        identifiers, key=lambda one: (policy.priority(one.namespace), one.namespace, one.value)
    )


async def _other_holders(
    conn: asyncpg.Connection, held: Sequence[HeldEdgeView], policy: Policy
) -> dict[HeldEdgeView, tuple[Identifier, ...]]:
    """Return, for each edge with a shared end, its other end and one that the shared one was seen
    with and that nothing shows to be the same person."""
    ends: dict[HeldEdgeView, tuple[IdentifierId, IdentifierId, Identifier, Identifier]] = {}
    for one in held:
        explained = one.edge
        if explained.a is None or explained.b is None or explained.held is None:
            continue
        first = (explained.edge.a, explained.edge.b, explained.a, explained.b)
        is_first = policy.priority(explained.a.namespace) > policy.priority(explained.b.namespace)
        ends[one] = first if is_first else (first[1], first[0], first[3], first[2])
    pairs = list({(shared, holder) for shared, holder, _, _ in ends.values()})
    columns = [list(column) for column in zip(*pairs, strict=True)]
    rows = await conn.fetch(Q.list_other_holders, *columns, _COUNTED, list(JOINT_KINDS), _OTHERS)
    candidates: dict[tuple[IdentifierId, IdentifierId], list[Identifier]] = {}
    for shared, holder, *identifier in rows:
        candidates.setdefault((shared, holder), []).append(Identifier(*identifier))
    found: dict[HeldEdgeView, tuple[Identifier, ...]] = {}
    for one, (shared_id, holder_id, shared, holder) in ends.items():
        weakest = policy.priority(shared.namespace)
        others = [
            other
            for other in candidates.get((shared_id, holder_id), ())
            if policy.priority(other.namespace) < weakest
            and not is_device_namespace(other.namespace)
        ]
        if others and not is_device_namespace(holder.namespace):
            found[one] = (holder, _strongest(others, policy))
    return found
