"""From identifiers as they came to what they say, by the present standard forms."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TypeAlias

from services.identity.domain.evidence import Mention, Name, Strength, mention
from services.kernel.identifiers import Identifier, normalize, validation_error
from services.kernel.ids import IdentifierId, LeafId, WorkspaceId

#: An identifier as it came: namespace, value, and whether the sender has checked it.
Raw: TypeAlias = tuple[str, str, bool]
#: The identifiers of an event as they came: workspace, leaf, strength (STATED or OBSERVED), each.
Names: TypeAlias = tuple[WorkspaceId, LeafId, Strength, tuple[Raw, ...]]


def mention_of(names: Names, region: str) -> Mention:
    """What these identifiers say. Values that name nobody say nothing.

    `region` is the default region of their workspace.
    """
    workspace_id, leaf_id, strength, raw = names
    usable = list(_usable(raw, region))
    verified = {identifier for identifier, is_verified in usable if is_verified}
    identifiers = [identifier for identifier, _ in usable]
    return mention(workspace_id, leaf_id, identifiers, strength, verified)


def named(workspace_id: WorkspaceId, raw: Iterable[Raw], region: str) -> dict[IdentifierId, Name]:
    """The identifiers that a decision is about; fewer than were told where one names nobody."""
    identifiers = [identifier for identifier, _ in _usable(tuple(raw), region)]
    return {i.id_in(workspace_id): Name(workspace_id, i) for i in identifiers}


def _usable(raw: tuple[Raw, ...], region: str) -> Iterator[tuple[Identifier, bool]]:
    for namespace, value, is_verified in raw:
        identifier = (
            None if validation_error(namespace, value) else normalize(namespace, value, region)
        )
        if identifier is not None:
            yield identifier, is_verified
