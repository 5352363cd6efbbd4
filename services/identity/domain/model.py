"""What is so: evidence as a set, identifiers as they are kept, and what changes in them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from services.identity.domain.facts import Edge, First, Mention, Name
from services.kernel.identifiers import Identifier
from services.kernel.ids import IdentifierId, ProfileId


class Evidence:
    """A set of evidence, kept as its minima.

    Adding in any order, any number of times, gives the same: that is what makes the whole of
    identity a function of the set of facts.
    """

    __slots__ = ("edges", "identifiers", "names")

    def __init__(self) -> None:
        self.identifiers: dict[IdentifierId, First] = {}
        self.edges: dict[Edge, First] = {}
        #: For every identifier, and for both ends of every edge.
        self.names: dict[IdentifierId, Name] = {}

    def __bool__(self) -> bool:
        return bool(self.identifiers or self.edges)

    def add(self, said: Mention, first: First) -> None:
        """Take in what one event says."""
        for id_, name in said.names.items():
            self.add_identifier(id_, name, first)
        for edge in said.edges:
            if edge not in self.edges or first < self.edges[edge]:
                self.edges[edge] = first

    def add_identifier(self, id_: IdentifierId, name: Name, first: First) -> None:
        """Take in that an identifier was seen."""
        if id_ not in self.identifiers or first < self.identifiers[id_]:
            self.identifiers[id_] = first
        if name.identifier is not None or id_ not in self.names:
            self.names[id_] = name


class Known(NamedTuple):
    """An identifier as it is kept."""

    profile_id: ProfileId
    first: First


@dataclass(frozen=True, slots=True)
class Kept:
    """What is known of some identifiers and edges."""

    known: dict[IdentifierId, Known]
    #: Each with its earliest evidence.
    edges: dict[Edge, First]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What follows from evidence."""

    #: Identifiers never seen before.
    added: Mapping[IdentifierId, First]
    #: Known identifiers now seen earlier.
    earlier: Mapping[IdentifierId, First]
    #: Edges never seen before.
    added_edges: Mapping[Edge, First]
    #: Known edges now seen earlier.
    earlier_edges: Mapping[Edge, First]
    #: For every identifier that the evidence touches: the profile that holds it now.
    profiles: Mapping[IdentifierId, ProfileId]
    #: Profiles that live on under another id, because they merged or were seen under an earlier
    #: identifier: every identifier they hold moves along.
    moved: Mapping[ProfileId, ProfileId]


class Moved(NamedTuple):
    """An identifier that moved along with its profile."""

    identifier_id: IdentifierId
    before: ProfileId
    after: ProfileId
    name: Name
    first: First


class Assignment(NamedTuple):
    """An identifier belongs to a profile from now on; the highest version wins."""

    identifier_id: IdentifierId
    profile_id: ProfileId
    version: int
    name: Name


@dataclass(frozen=True, slots=True)
class Learnt:
    """What came of evidence."""

    assignments: tuple[Assignment, ...] = ()
    #: The profile that holds each identifier that the evidence touches.
    profiles: Mapping[IdentifierId, ProfileId] = field(default_factory=dict)
    #: Profiles that live on under another id.
    moved: Mapping[ProfileId, ProfileId] = field(default_factory=dict)
    #: What is added to the digest of each workspace.
    deltas: Mapping[str, int] = field(default_factory=dict)


class Seen(NamedTuple):
    """An identifier and where it was first seen."""

    identifier: Identifier
    first: First


@dataclass(frozen=True, slots=True)
class Person:
    """A profile and its identifiers, oldest first."""

    profile_id: ProfileId
    identifiers: tuple[Seen, ...]
