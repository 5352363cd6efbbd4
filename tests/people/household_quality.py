"""Measures how well a policy groups the identifiers of households by person.

python -m tests.people.household_quality
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from itertools import combinations

from services.identity.domain.components import connected_components
from services.identity.domain.evidence import Evidence, EvidenceKind, FirstSeen, observe, span_of
from services.identity.domain.policy import DEFAULT, MatchMode, NamespaceRule, Policy
from services.identity.domain.resolution import node_of, resolve
from services.kernel.identifiers.priority import DEVICE_NAMESPACES, leaf_of
from services.kernel.ids import FactId, IdentifierId, WorkspaceId, hash_id
from tests.index_key import INDEX_KEY
from tests.people.households import Households, households

WORKSPACE = WorkspaceId("town")


@dataclass(frozen=True)
class Pairs:
    """The pairs of identifiers in one profile, and those that could be."""

    #: Of one person.
    right: int
    #: Of no common person.
    wrong: int
    #: Those that the evidence joins by identifiers of one person each.
    reachable: int

    @property
    def precision(self) -> float:
        return self.right / (self.right + self.wrong)

    @property
    def recall(self) -> float:
        """The share of the reachable pairs; above 1 where a shared identifier joins one person."""
        return self.right / self.reachable


def total(some: Iterable[Pairs]) -> Pairs:
    """Return the sums."""
    found = list(some)
    return Pairs(
        sum(one.right for one in found),
        sum(one.wrong for one in found),
        sum(one.reachable for one in found),
    )


def measure(town: Households, evidence: Evidence, policy: Policy) -> Pairs:
    """Resolve the evidence of households, and compare each pair with the true owners.

    A pair with an identifier that several persons use is wrong if none of them has the other one,
    and else not counted.
    """
    owners = {
        id_: town.owners[one.identifier]
        for id_, one in evidence.identifiers.items()
        if one.identifier is not None
    }
    nodes = {id_: node_of(evidence.identifiers[id_], f) for id_, f in evidence.first_seen.items()}
    profiles = resolve(nodes, evidence.edges, (), policy).profiles
    ids = list(nodes)
    index = {id_: i for i, id_ in enumerate(ids)}
    own = [
        (index[edge.a], index[edge.b])
        for edge in evidence.edges
        if len(owners[edge.a]) == 1 and owners[edge.a] == owners[edge.b]
    ]
    sizes = Counter(
        root
        for root, id_ in zip(connected_components(len(ids), own), ids, strict=True)
        if len(owners[id_]) == 1
    )
    right, wrong = _count(profiles, owners)
    return Pairs(right, wrong, sum(size * (size - 1) // 2 for size in sizes.values()))


def _count(
    profiles: Mapping[IdentifierId, bytes], owners: Mapping[IdentifierId, frozenset[int]]
) -> tuple[int, int]:
    members: dict[bytes, list[IdentifierId]] = {}
    for id_, profile in profiles.items():
        members.setdefault(profile, []).append(id_)
    pairs = [pair for some in members.values() for pair in combinations(some, 2)]
    wrong = sum(not owners[a] & owners[b] for a, b in pairs)
    right = sum(owners[a] == owners[b] and len(owners[a]) == 1 for a, b in pairs)
    return right, wrong


def evidence_of(town: Households) -> Evidence:
    """Return the evidence of a town's events, which is the same for all policies."""
    evidence = Evidence()
    for number, event in enumerate(town.events):
        ids = {one.id_in(WORKSPACE, INDEX_KEY): one for one in event.identifiers}
        leaf = leaf_of(WORKSPACE, event.identifiers, INDEX_KEY)
        first = FirstSeen(event.occurred_at_us, FactId(hash_id(str(number))))
        evidence.add(observe(WORKSPACE, leaf, ids, EvidenceKind.OBSERVED), span_of(first))
    return evidence


def variant(shared_after: int, devices: int, *, phone: MatchMode = MatchMode.ALWAYS) -> Policy:
    """Return the default policy with other numbers for addresses and for devices."""
    address = NamespaceRule(limit=5, shared_after=shared_after)
    number = replace(address, recycled_after_days=180, match_mode=phone)
    device = NamespaceRule(shared_after=devices)
    changed = {"email": address, "phone": number, **dict.fromkeys(DEVICE_NAMESPACES, device)}
    return Policy(1, {**DEFAULT.rules, **changed})


#: Policies to compare with the default one.
REFERENCES = {
    "default": DEFAULT,
    "addresses 1, devices 3": variant(1, 3),
    "addresses 2, devices 2": variant(2, 2),
    "addresses 5, devices 5": variant(5, 5),
    "addresses 10, devices 10": variant(10, 10),
    "phone never, others 1": variant(1, 1, phone=MatchMode.NEVER),
}


def main() -> None:
    """Print the figures of the default policy and of others."""
    towns = [households(600, seed) for seed in (2_026, 1, 2)]
    known = [(town, evidence_of(town)) for town in towns]
    print(f"{'policy':26} precision  recall")
    for name, policy in REFERENCES.items():
        found = total(measure(*each, policy) for each in known)
        print(f"{name:26} {found.precision:9.3f} {found.recall:7.3f}")


if __name__ == "__main__":
    main()
