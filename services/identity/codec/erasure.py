"""Encodes requests for the erasure of persons."""

from __future__ import annotations

from collections.abc import Sequence

from onefold.log.v1.erasure_pb2 import ErasureRequested
from onefold.log.v1.log_pb2 import Fact

from services.chassis.codec.fields import token_to_proto
from services.identity.codec.requests import Caller
from services.kernel.ids import hash_id
from services.kernel.tokens import Token


def request_fact(
    caller: Caller,
    request_id: bytes,
    ids: Sequence[bytes],
    related: Sequence[bytes],
    *,
    legal_ground: str,
    block: bool,
    known_to: Token,
) -> Fact:
    """Return the fact of a request. `known_to`: the state by which the ids were found."""
    message = ErasureRequested(
        request_id=request_id,
        identifier_ids=ids,
        related_ids=related,
        legal_ground=legal_ground,
        block=block,
        token=token_to_proto(known_to),
    )
    kind = message.DESCRIPTOR.full_name
    return Fact(
        workspace_id=caller.workspace_id,
        fact_id=hash_id(caller.workspace_id, kind, request_id),
        kind=kind,
        actor=caller.key_id,
        payload=message.SerializeToString(deterministic=True),
    )
