"""Decodes erasures of persons, and encodes the requests for them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from onefold.log.v1.erasure_pb2 import ErasureRequested, PersonErased
from onefold.log.v1.log_pb2 import Fact

from services.chassis.codec.fields import token_to_proto
from services.identity.codec.requests import Caller
from services.identity.domain.rows import NotedErasure
from services.kernel.ids import IdentifierId, WorkspaceId, hash_id
from services.kernel.tokens import Token

PERSON_ERASED: str = PersonErased.DESCRIPTOR.full_name


def erasures_in(facts: Iterable[Fact]) -> Iterator[NotedErasure]:
    """Yield the erasures among broadcast facts."""
    for fact in facts:
        if fact.kind == PERSON_ERASED:
            erased = PersonErased.FromString(fact.payload)
            yield NotedErasure(
                WorkspaceId(fact.workspace_id),
                erased.request_id,
                list(map(IdentifierId, erased.identifier_ids)),
                list(erased.changed_ids),
                fact.recorded_at_us,
            )


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
