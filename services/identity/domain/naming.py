"""From identifiers as they came to what they say, by the present standard forms."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from services.identity.domain.facts import Mention, Strength, mention
from services.kernel.identifiers import Identifier, fault, standard
from services.kernel.ids import LeafId, WorkspaceId


class Names(NamedTuple):
    """The identifiers of an event as they came."""

    workspace_id: WorkspaceId
    leaf_id: LeafId
    strength: int
    #: (namespace, value)
    raw: tuple[tuple[str, str], ...]


def mention_of(names: Names) -> Mention:
    """What these identifiers say. Values that name nobody say nothing."""
    usable = _usable(names.raw)
    return mention(names.workspace_id, names.leaf_id, usable, Strength(names.strength))


def _usable(raw: tuple[tuple[str, str], ...]) -> Iterator[Identifier]:
    for namespace, value in raw:
        identifier = None if fault(namespace, value) else standard(namespace, value)
        if identifier is not None:
            yield identifier
