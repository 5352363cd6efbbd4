"""Tests that the typed API names every call of the services with its messages."""

from __future__ import annotations

import importlib
from typing import Any, get_args, get_type_hints

import pytest
from google.protobuf.message import Message

from services.client import api

#: The module of each service.
MODULES = {
    "Admin": "ingest.v1.admin_service",
    "Ingest": "ingest.v1.ingest_service",
    "Log": "log.v1.log_service",
    "Identity": "identity.v1.identity_service",
    "Profile": "profile.v1.profile_service",
    "Segment": "segment.v1.segment_service",
    "Activation": "activation.v1.activation_service",
    "Journey": "activation.v1.journey_service",
    "Projection": "projection.v1.projection_service",
}
#: Calls between services, and the one with a stream of requests.
LEFT_OUT = {
    *("ReadOutbox", "ReadEvaluations", "ReadAssignments", "ReadLeaves", "StreamEvents"),
    *("RecordKeyUses", "PreviewRule", "EvaluateRules", "ReadRebuildPages", "Judge"),
    *("MatchEvents", "EvaluatePast"),
}


def declared(name: str) -> dict[str, tuple[Any, tuple[type[Message], ...]]]:
    """Return kind and message types of each call that the client declares."""
    hints = get_type_hints(getattr(api, f"{name}Api"))
    return {call: (hint.__origin__, get_args(hint)) for call, hint in hints.items()}


@pytest.mark.parametrize("name", MODULES)
def test_client_declares_every_call_with_its_messages(name: str) -> None:
    module = importlib.import_module(f"onefold.{MODULES[name]}_pb2")
    service = module.DESCRIPTOR.services_by_name[f"{name}Service"]
    calls = declared(name)
    assert calls.keys() == {method.name for method in service.methods} - LEFT_OUT
    for method in service.methods:
        if method.name in calls:
            kind, types = calls[method.name]
            assert kind is (api.ServerStream if method.server_streaming else api.Unary)
            messages = [type_.DESCRIPTOR.full_name for type_ in types]
            assert messages == [method.input_type.full_name, method.output_type.full_name]
