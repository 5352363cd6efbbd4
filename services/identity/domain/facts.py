"""What events say about who is whom: who is named together, how strongly, and since when."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import NamedTuple

from services.kernel.identifiers import Identifier
from services.kernel.ids import FactId, IdentifierId, LeafId, WorkspaceId


class Strength(IntEnum):
    """How strongly an edge binds; the smaller number is taken first."""

    #: Somebody says it: an alias.
    STATED = 1
    #: Seen together on one event.
    OBSERVED = 2


class First(NamedTuple):
    """The earliest evidence of something. The order of the tuple is the canonical order."""

    #: Unix microseconds.
    occurred_at_us: int
    fact_id: FactId


class Edge(NamedTuple):
    """Two identifiers that belong together, a < b."""

    a: IdentifierId
    b: IdentifierId
    strength: int


class Name(NamedTuple):
    """What an identifier id stands for."""

    workspace_id: WorkspaceId
    #: None where only the id is known: a leaf that the present standard forms no longer give.
    identifier: Identifier | None


@dataclass(frozen=True, slots=True)
class Mention:
    """The identifiers that one event names together, the leaf among them, and their edges."""

    names: Mapping[IdentifierId, Name]
    edges: tuple[Edge, ...]


def mention(
    workspace_id: WorkspaceId,
    leaf_id: LeafId,
    identifiers: Iterable[Identifier],
    strength: Strength,
) -> Mention:
    """What an event says that is kept under `leaf_id` and carries these standard identifiers.

    The edges are a star around the leaf: "seen with this person's strongest identifier". A star
    connects the same component as all pairs do, grows with n and not with n^2, and the day an edge
    to the leaf is refused, the weaker identifiers do not slip past it.
    """
    leaf = IdentifierId(leaf_id)
    names = {leaf: Name(workspace_id, None)}
    for identifier in identifiers:
        names[identifier.id_in(workspace_id)] = Name(workspace_id, identifier)
    edges = tuple(Edge(min(leaf, i), max(leaf, i), strength) for i in names if i != leaf)
    return Mention(names, edges)
