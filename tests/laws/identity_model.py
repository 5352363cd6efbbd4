"""The slow, obvious model of identity: repeated union of sets over all evidence at once."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from services.identity.domain.digest import edge_share, identifier_share
from services.identity.domain.facts import First, Strength, mention
from services.identity.domain.model import Evidence
from services.kernel.digest import digest_of
from services.kernel.identifiers import Identifier, leaf_of
from services.kernel.ids import FactId, IdentifierId, ProfileId, WorkspaceId, hash_id

WORKSPACE = WorkspaceId("school")


@dataclass(frozen=True)
class Seen:
    """One event, as far as identity cares."""

    identifiers: tuple[Identifier, ...]
    occurred_at_us: int
    message: int
    alias: bool = False

    @property
    def first(self) -> First:
        parts = (f"{self.message}", *(f"{i}" for i in sorted(self.identifiers)))
        return First(self.occurred_at_us, FactId(hash_id(*parts)))

    @property
    def leaf(self) -> bytes:
        return leaf_of(WORKSPACE, self.identifiers)

    def evidence(self) -> Evidence:
        return gather([self])


def gather(events: Iterable[Seen]) -> Evidence:
    """The evidence of some events, by the code under test."""
    evidence = Evidence()
    for event in events:
        strength = Strength.STATED if event.alias else Strength.OBSERVED
        said = mention(
            WORKSPACE, leaf_of(WORKSPACE, event.identifiers), event.identifiers, strength
        )
        evidence.add(said, event.first)
    return evidence


@dataclass(frozen=True)
class Truth:
    """What identity must come to know."""

    profiles: dict[IdentifierId, ProfileId]
    firsts: dict[IdentifierId, First]
    digest: int


def truth(events: Iterable[Seen]) -> Truth:
    """All people, by looking at everything at once, slowly."""
    events = list(events)
    firsts: dict[IdentifierId, First] = {}
    groups: list[set[IdentifierId]] = []
    for event in events:
        ids = {i.id_in(WORKSPACE) for i in event.identifiers}
        for id_ in ids:
            firsts[id_] = min(firsts.get(id_, event.first), event.first)
        groups.append(ids)
    profiles = {}
    for person in unite(groups):
        name = min((firsts[i], i) for i in person)[1]
        profiles |= {i: ProfileId(name) for i in person}
    rows = [identifier_share(i, profiles[i], firsts[i]) for i in firsts]
    edges = [edge_share(e, first) for e, first in gather(events).edges.items()]
    return Truth(profiles, firsts, digest_of(rows + edges))


def unite(groups: list[set[IdentifierId]]) -> list[set[IdentifierId]]:
    """Join sets that share a member until none do."""
    for i, left in enumerate(groups):
        for j in range(i + 1, len(groups)):
            if left & groups[j]:
                rest = [g for k, g in enumerate(groups) if k not in (i, j)]
                return unite([*rest, left | groups[j]])
    return groups
