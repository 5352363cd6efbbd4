"""Finds the components of identifiers in which evidence may join two persons."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Sequence

from services.identity.domain.components import connected_components
from services.identity.domain.evidence import EvidenceKind, names_person
from services.identity.domain.policy import Policy

#: Plain integers, because every edge is compared with them.
_STATED, _CLAIMED = int(EvidenceKind.STATED), int(EvidenceKind.CLAIMED)


def joins_persons(kind: int, has_two_person_ids: bool) -> bool:
    """Return whether an edge may join two persons: a decision, an alias or an accepted probable
    match, or an event that has an id of each."""
    return kind <= _STATED or kind > _CLAIMED or (has_two_person_ids and kind != _CLAIMED)


def are_person_ids(namespaces: Sequence[str], policy: Policy) -> list[bool]:
    """Return, for each identifier by its namespace, whether it stands for one person."""
    found = {name: policy.is_person_id(name) for name in set(namespaces)}
    return [found[name] for name in namespaces]


def with_several_persons(
    roots: Sequence[int],
    person_ids: Sequence[bool],
    edges: Sequence[tuple[int, int]],
    kinds: Sequence[int],
) -> set[int]:
    """Return the components that are several persons without the edges that must not join any."""
    counts = Counter(root for root, is_person in zip(roots, person_ids, strict=True) if is_person)
    several = {root for root, count in counts.items() if count > 1}
    if not several:
        return several
    joining = [
        (a, b)
        for (a, b), kind in zip(edges, kinds, strict=True)
        if roots[a] in several and joins_persons(kind, person_ids[a] and person_ids[b])
    ]
    persons = connected_components(len(roots), joining)
    return _repeated({(root, persons[i]) for i, root in enumerate(roots) if person_ids[i]})


def _repeated(persons: Iterable[tuple[int, int]]) -> set[int]:
    """Return the roots that several persons have."""
    counts = Counter(root for root, _ in persons)
    return {root for root, count in counts.items() if count > 1}


def with_doubtful_claims(
    roots: Sequence[int], namespaces: Sequence[str], claimed: Collection[int], policy: Policy
) -> set[int]:
    """Return those of the components with claims that have several identifiers of persons, or more
    devices than claims may add to a person.

    Other evidence may link these too; then no claim joins two persons, or adds one too many.
    """
    if not claimed:
        return set()
    counts = Counter(
        (root, names_person(name))
        for root, name in zip(roots, namespaces, strict=True)
        if root in claimed
    )
    most = policy.claimed_devices or len(roots)
    return {root for (root, is_person), n in counts.items() if n > (1 if is_person else most)}
