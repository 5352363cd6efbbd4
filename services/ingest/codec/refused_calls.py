"""Translates refused calls between facts of the log and responses."""

from __future__ import annotations

from collections.abc import Iterable

from onefold.ingest.v1 import admin_service_pb2 as pb
from onefold.ingest.v1.ingest_facts_pb2 import CallRefused

from services.chassis.access.uses import KeyUse
from services.ingest.domain.facts import FactRow
from services.kernel.ids import to_hex

CALL_REFUSED = CallRefused.DESCRIPTOR.full_name


def encode_refusal(use: KeyUse) -> bytes:
    """Return the payload of the fact of a refusal."""
    message = CallRefused(key_id=use.key_id, method=use.refused_method, day=use.day)
    return message.SerializeToString(deterministic=True)


def refused_calls_to_proto(facts: Iterable[FactRow]) -> pb.ListRefusedCallsResponse:
    """Return the response with the calls of these facts."""
    response = pb.ListRefusedCallsResponse()
    for fact in facts:
        response.calls.add(
            call=CallRefused.FromString(fact.payload),
            recorded_at_us=fact.recorded_at_us,
            fact_id=to_hex(fact.fact_id),
        )
    return response
