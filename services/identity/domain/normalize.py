"""From identifiers as they came to what they say, by the present standard forms."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TypeAlias

from services.identity.domain.evidence import (
    EvidenceKind,
    IdentifierInWorkspace,
    Observation,
    observe,
)
from services.kernel.identifiers import Identifier, normalize, validation_error
from services.kernel.ids import IdentifierId, LeafId, WorkspaceId

#: An identifier as it came: namespace, value, and whether the sender has checked it.
RawIdentifier: TypeAlias = tuple[str, str, bool]
#: The identifiers of an event as they came: workspace, leaf, strength (STATED or OBSERVED), each.
IdentifierSet: TypeAlias = tuple[WorkspaceId, LeafId, EvidenceKind, tuple[RawIdentifier, ...]]


def observation_of(names: IdentifierSet, region: str) -> Observation:
    """What these identifiers say. Values that name nobody say nothing.

    `region` is the default region of their workspace.
    """
    workspace_id, leaf_id, strength, raw = names
    usable = list(_usable(raw, region))
    verified = {identifier for identifier, is_verified in usable if is_verified}
    identifiers = [identifier for identifier, _ in usable]
    return observe(workspace_id, leaf_id, identifiers, strength, verified)


def normalize_pair(
    workspace_id: WorkspaceId, raw: Iterable[RawIdentifier], region: str
) -> dict[IdentifierId, IdentifierInWorkspace]:
    """The identifiers that a decision is about; fewer than were told where one names nobody."""
    identifiers = [identifier for identifier, _ in _usable(tuple(raw), region)]
    return {i.id_in(workspace_id): IdentifierInWorkspace(workspace_id, i) for i in identifiers}


def _usable(raw: tuple[RawIdentifier, ...], region: str) -> Iterator[tuple[Identifier, bool]]:
    for namespace, value, is_verified in raw:
        identifier = (
            None if validation_error(namespace, value) else normalize(namespace, value, region)
        )
        if identifier is not None:
            yield identifier, is_verified
