"""Turns raw identifiers of facts into observations, by the current normalisation."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import TypeAlias

from services.identity.domain.evidence import (
    EvidenceKind,
    IdentifierInWorkspace,
    Observation,
    observe,
)
from services.kernel.identifiers.model import Identifier, validation_error
from services.kernel.identifiers.normalize import normalize
from services.kernel.ids import IdentifierId, LeafId, WorkspaceId
from services.kernel.index_key import IndexKey

#: A raw identifier: namespace, value, and whether the sender has checked it.
RawIdentifier: TypeAlias = tuple[str, str, bool]
#: The raw identifiers of an event: workspace, leaf, kind (STATED, OBSERVED or CLAIMED),
#: identifiers. A plain tuple, as it is built for every event and used as a dictionary key.
IdentifierSet: TypeAlias = tuple[WorkspaceId, LeafId, EvidenceKind, tuple[RawIdentifier, ...]]


def observation_of(identifier_set: IdentifierSet, region: str, index_key: IndexKey) -> Observation:
    """Return the observation of these identifiers, without invalid values and placeholders.

    `region` is the default region of their workspace.
    """
    workspace_id, leaf_id, kind, raw = identifier_set
    usable = list(_normalized(raw, region))
    verified = {identifier for identifier, is_verified in usable if is_verified}
    identifiers = [identifier for identifier, _ in usable]
    ids = {identifier.id_in(workspace_id, index_key): identifier for identifier in identifiers}
    return observe(workspace_id, leaf_id, ids, kind, verified)


def normalize_pair(
    workspace_id: WorkspaceId, raw: Iterable[RawIdentifier], region: str, index_key: IndexKey
) -> dict[IdentifierId, IdentifierInWorkspace]:
    """Return the identifiers of a decision or a match: fewer than two where one is invalid or a
    placeholder, or where both are the same."""
    identifiers = [identifier for identifier, _ in _normalized(raw, region)]
    return {
        identifier.id_in(workspace_id, index_key): IdentifierInWorkspace(workspace_id, identifier)
        for identifier in identifiers
    }


def _normalized(raw: Iterable[RawIdentifier], region: str) -> Iterator[tuple[Identifier, bool]]:
    for namespace, value, is_verified in raw:
        identifier = _usable(namespace, value, region)
        if identifier is not None:
            yield identifier, is_verified


# Most identifiers come in several sets, and each new set is met twice before it is cached.
@lru_cache(maxsize=1 << 15)
def _usable(namespace: str, value: str, region: str) -> Identifier | None:
    return None if validation_error(namespace, value) else normalize(namespace, value, region)
