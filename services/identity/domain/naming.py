"""From identifiers as they came to what they say, by the present standard forms."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypeAlias

from services.identity.domain.facts import Mention, Strength, mention
from services.kernel.identifiers import Identifier, fault, standard
from services.kernel.ids import LeafId, WorkspaceId

#: The identifiers of an event as they came: workspace, leaf, strength, (namespace, value) each.
Names: TypeAlias = tuple[WorkspaceId, LeafId, Strength, tuple[tuple[str, str], ...]]


def mention_of(names: Names) -> Mention:
    """What these identifiers say. Values that name nobody say nothing."""
    workspace_id, leaf_id, strength, raw = names
    return mention(workspace_id, leaf_id, _usable(raw), strength)


def _usable(raw: tuple[tuple[str, str], ...]) -> Iterator[Identifier]:
    for namespace, value in raw:
        identifier = None if fault(namespace, value) else standard(namespace, value)
        if identifier is not None:
            yield identifier
