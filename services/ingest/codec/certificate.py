"""Writes and signs certificates of erasures."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import NamedTuple

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from services import SERVICES
from services.ingest.domain.erasure import ErasureStatus
from services.kernel.ids import to_hex
from services.kernel.index_key import IndexKey
from services.kernel.time import SECOND_US


class Certificate(NamedTuple):
    """A statement about an erasure, which anyone with the public key can verify (Ed25519)."""

    #: A JSON object, in one form for equal erasures.
    statement: str
    signature: bytes
    public_key: bytes


def certify(workspace_id: str, erasure: ErasureStatus, index_key: IndexKey) -> Certificate:
    """Return the certificate of an erasure that was carried out. It has no value of the person."""
    statement = json.dumps(
        {
            "erased": "the facts of a person, the identifiers of the person in other facts,"
            " and what services had made of them",
            "workspace": workspace_id,
            "request": to_hex(erasure.request_id),
            "requested_at": _text(erasure.requested_at_us),
            "requested_by": erasure.actor,
            "legal_ground": erasure.legal_ground,
            "erased_at": _text(erasure.erased_at_us or 0),
            "later_events_are_refused": erasure.block,
            "identifiers": erasure.identifiers,
            "facts": erasure.facts,
            "facts_of_others": erasure.facts_of_others,
            "refused_events": erasure.refused_events,
            "rows_deleted_by": erasure.folded,
            "not_yet_deleted_by": [name for name in SERVICES[1:] if name not in erasure.folded],
        },
        ensure_ascii=False,
        sort_keys=True,
    )
    key = Ed25519PrivateKey.from_private_bytes(index_key.signing_seed)
    public = key.public_key().public_bytes_raw()
    return Certificate(statement, key.sign(statement.encode()), public)


def _text(instant_us: int) -> str:
    return datetime.fromtimestamp(instant_us // SECOND_US, UTC).isoformat()
