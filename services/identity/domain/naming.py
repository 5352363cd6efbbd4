"""From identifiers as they came to what they say, by the present standard forms."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypeAlias

from services.identity.domain.facts import Mention, Strength, mention
from services.kernel.identifiers import Identifier, fault, standard
from services.kernel.ids import LeafId, WorkspaceId

#: The identifiers of an event as they came: workspace, leaf, strength, (namespace, value) each.
Names: TypeAlias = tuple[WorkspaceId, LeafId, Strength, tuple[tuple[str, str], ...]]


def mention_of(names: Names, region: str) -> Mention:
    """What these identifiers say. Values that name nobody say nothing.

    `region` is the default region of their workspace.
    """
    workspace_id, leaf_id, strength, raw = names
    return mention(workspace_id, leaf_id, _usable(raw, region), strength)


def _usable(raw: tuple[tuple[str, str], ...], region: str) -> Iterator[Identifier]:
    for namespace, value in raw:
        identifier = None if fault(namespace, value) else standard(namespace, value, region)
        if identifier is not None:
            yield identifier
