"""What is so: how profiles stand, and the shares of rows in the digest."""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import blake2b
from typing import NamedTuple, TypeAlias

from services.kernel.digest import row_digest
from services.kernel.fold.predicate_index import PredicateIndex
from services.kernel.ids import IdentifierId, LeafId, ProfileId, WorkspaceId
from services.kernel.rules.ids import pack_ids

#: What is asked of the people of each workspace.
Catalogues: TypeAlias = Mapping[WorkspaceId, PredicateIndex]
NOTHING_ASKED = PredicateIndex()


class Standing(NamedTuple):
    """How one profile stands."""

    profile_id: ProfileId
    workspace_id: WorkspaceId
    #: Given by the store when a change is saved; grows with every change of the profile.
    version: int
    #: The predicates that hold.
    holds: frozenset[int]
    #: The earliest instant at which time alone may change `holds`, Unix microseconds.
    due_us: int | None
    #: The instant of the last change, Unix microseconds.
    at_us: int
    #: None while the profile has leaves; then its heir, or NO_ID where there is none.
    merged_into: ProfileId | None = None


def leaf_share(leaf_id: LeafId, state: bytes) -> bytes:
    """The share of a leaf's row in the digest, as 16 bytes; an id has a fixed length, so no two
    rows agree. It is counted for every event, hence so short."""
    return blake2b(leaf_id + state, digest_size=16, person=b"leaf").digest()


def as_int(share: bytes) -> int:
    """A share as the number that digests add up."""
    return int.from_bytes(share, "big")


def assignment_share(identifier_id: IdentifierId, profile_id: ProfileId) -> int:
    """The share of an assignment's row in the digest."""
    return row_digest(b"assignment", identifier_id, profile_id)


def standing_share(standing: Standing | None) -> int:
    """The share of a standing's row in the digest; nothing for a profile that has no leaves."""
    if standing is None or standing.merged_into is not None:
        return 0
    return row_digest(b"standing", standing.profile_id, pack_ids(standing.holds))
