"""Computes the share that each row has in the digest of its workspace."""

from __future__ import annotations

from collections.abc import Set
from hashlib import blake2b

from services.kernel.digest import row_digest
from services.kernel.ids import IdentifierId, LeafId, ProfileId
from services.kernel.rules.ids import pack_ids


def leaf_share(leaf_id: LeafId, state: bytes) -> bytes:
    """Return the share of a leaf's row, 16 bytes.

    Leaf ids have one length, so no two rows hash the same bytes. One plain hash, because this runs
    for every event.
    """
    return blake2b(leaf_id + state, digest_size=16, person=b"leaf").digest()


def as_int(share: bytes) -> int:
    """Return a share as the number that digests sum."""
    return int.from_bytes(share, "big")


def assignment_share(identifier_id: IdentifierId, profile_id: ProfileId) -> int:
    """Return the share of an assignment's row."""
    return row_digest(b"assignment", identifier_id, profile_id)


def evaluation_share(profile_id: ProfileId, true_predicates: Set[int]) -> int:
    """Return the share of an evaluation's row."""
    return row_digest(b"evaluation", profile_id, pack_ids(true_predicates))
