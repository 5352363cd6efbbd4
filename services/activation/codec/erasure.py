"""Reads from the log that persons were erased."""

from __future__ import annotations

from typing import Any

from onefold.log.v1.erasure_pb2 import PersonErased

from services.activation.domain.erasure import ErasedProfile
from services.kernel.ids import WorkspaceId

PERSON_ERASED = PersonErased.DESCRIPTOR.full_name


def is_erasure(fact: Any) -> bool:
    """Return whether a fact says that a person was erased."""
    return bool(fact.kind == PERSON_ERASED)


def decode_erasure(fact: Any) -> ErasedProfile:
    """Return the erasure of a fact."""
    erased = PersonErased.FromString(fact.payload)
    return ErasedProfile(
        WorkspaceId(fact.workspace_id),
        erased.request_id,
        tuple(sorted(erased.identifier_ids)),
        fact.recorded_at_us,
    )
