"""Translates definitions of workspaces, sources and keys between facts and values."""

from __future__ import annotations

from typing import Any

from onefold.ingest.v1.ingest_facts_pb2 import KeyDefined, SourceDefined, WorkspaceDefined
from onefold.log.v1.log_pb2 import Fact

from services.chassis.definitions import DefinitionFact
from services.ingest.domain.definitions import (
    SOURCE_DEFINED,
    WORKSPACE_DEFINED,
    AccessDefinition,
    KeyDefinition,
    SourceDefinition,
    WorkspaceDefinition,
)


def decode_definition(workspace_id: str, kind: str, payload: bytes) -> AccessDefinition:
    """Return the definition that a fact holds."""
    if kind == WORKSPACE_DEFINED:
        message = WorkspaceDefined.FromString(payload)
        return WorkspaceDefinition(workspace_id, message.title, message.default_region)
    if kind == SOURCE_DEFINED:
        return source_from_proto(workspace_id, SourceDefined.FromString(payload))
    key = KeyDefined.FromString(payload)
    return KeyDefinition(
        workspace_id=workspace_id,
        key_id=key.key_id,
        key_hash=key.key_hash,
        role=key.role,
        source_id=key.source_id,
        title=key.title,
        version=key.version,
        disabled=key.disabled,
    )


def encode_definition(definition: AccessDefinition, actor: str) -> DefinitionFact:
    """Return the fact that a definition becomes. `actor`: the id of a key or a service's name."""
    return DefinitionFact.from_message(
        definition_to_proto(definition),
        workspace_id=definition.workspace_id,
        key=definition.key,
        version=definition.version,
        actor=actor,
    )


def fact_to_proto(workspace_id: str, kind: str, payload: bytes) -> Fact:
    """Return a definition's fact, as far as the tables of access need it."""
    return Fact(workspace_id=workspace_id, kind=kind, payload=payload)


def definition_to_proto(
    definition: AccessDefinition,
) -> WorkspaceDefined | SourceDefined | KeyDefined:
    """Return the message of a definition."""
    if isinstance(definition, WorkspaceDefinition):
        return WorkspaceDefined(title=definition.title, default_region=definition.default_region)
    if isinstance(definition, SourceDefinition):
        return source_to_proto(definition)
    fields: dict[str, Any] = definition._asdict()
    del fields["workspace_id"]
    return KeyDefined(**fields)


def source_from_proto(workspace_id: str, message: SourceDefined) -> SourceDefinition:
    """Return the definition of a source."""
    return SourceDefinition(
        workspace_id=workspace_id,
        source_id=message.source_id,
        title=message.title,
        channel=message.channel,
        version=message.version,
        disabled=message.disabled,
    )


def source_to_proto(source: SourceDefinition) -> SourceDefined:
    """Return the message of a source."""
    fields: dict[str, Any] = source._asdict()
    del fields["workspace_id"]
    return SourceDefined(**fields)
