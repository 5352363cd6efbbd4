"""Translates workspaces, sources and keys between the domain, facts and responses."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import date, timedelta
from typing import Any, TypeVar

from onefold.ingest.v1 import admin_service_pb2 as pb
from onefold.ingest.v1.ingest_facts_pb2 import (
    FieldClassesDefined,
    KeyDefined,
    SourceDefined,
    WorkspaceDefined,
)
from onefold.log.v1.log_pb2 import Fact

from services.chassis.codec.fields import token_to_proto
from services.chassis.definitions import Defined, DefinitionFact, etag_of
from services.ingest.domain.definitions import (
    AccessDefinition,
    FieldClassesDefinition,
    KeyDefinition,
    SourceDefinition,
    WorkspaceDefinition,
)

D = TypeVar("D", bound=AccessDefinition)
_EPOCH = date(1970, 1, 1)

#: The message of each type of definition. Its fields have the names of the definition's fields,
#: except for the workspace, which the fact names.
_MESSAGES: dict[type[AccessDefinition], Any] = {
    WorkspaceDefinition: WorkspaceDefined,
    SourceDefinition: SourceDefined,
    KeyDefinition: KeyDefined,
    FieldClassesDefinition: FieldClassesDefined,
}
_TYPES = {message.DESCRIPTOR.full_name: type_ for type_, message in _MESSAGES.items()}


def fact_to_proto(row: Mapping[str, Any]) -> Fact:
    """Return a row of the log; its columns have the names of the fact's fields."""
    return Fact(**row)


def decode_definition(fact: Fact) -> AccessDefinition:
    """Return the definition that a fact holds."""
    type_ = _TYPES[fact.kind]
    return from_message(type_, fact.workspace_id, _MESSAGES[type_].FromString(fact.payload))


def encode_definition(definition: AccessDefinition, actor: str) -> DefinitionFact:
    """Return the fact that a definition becomes. `actor`: the id of a key or a service's name."""
    return DefinitionFact.from_message(
        to_message(definition),
        workspace_id=definition.workspace_id,
        key=definition.key,
        version=definition.version,
        actor=actor,
    )


def from_message(type_: type[D], workspace_id: str, message: Any) -> D:
    """Return the definition of a type in its message."""
    return type_(workspace_id, *[_value(getattr(message, field)) for field in type_._fields[1:]])


def _value(value: Any) -> Any:
    """Return the value of a field; a repeated field becomes a tuple, a map one of sorted pairs."""
    if isinstance(value, Mapping):
        return tuple(sorted(value.items()))
    return value if isinstance(value, str | bytes | int) else tuple(value)


def to_message(definition: AccessDefinition) -> Any:
    """Return the message of a definition."""
    fields = definition._asdict()
    del fields["workspace_id"]
    if isinstance(definition, FieldClassesDefinition):
        fields |= {name: dict(fields[name]) for name in ("identifiers", "names")}
    return _MESSAGES[type(definition)](**fields)


def field_classes_to_proto(
    defined: Defined[FieldClassesDefinition],
) -> pb.DefineFieldClassesResponse:
    """Return the response to a definition of field classes."""
    return pb.DefineFieldClassesResponse(
        classes=to_message(defined.definition),
        changed=defined.changed,
        token=token_to_proto(defined.token),
        etag=defined.etag,
    )


def defined_to_proto(defined: Defined[SourceDefinition]) -> pb.DefineSourceResponse:
    """Return the response to a definition of a source."""
    return pb.DefineSourceResponse(
        source=to_message(defined.definition),
        changed=defined.changed,
        token=token_to_proto(defined.token),
        etag=defined.etag,
    )


def sources_to_proto(sources: list[SourceDefinition]) -> pb.ListSourcesResponse:
    """Return the response with the sources of a workspace, each with its etag."""
    summaries = [pb.SourceSummary(source=to_message(s), etag=etag_of(s.version)) for s in sources]
    return pb.ListSourcesResponse(sources=summaries)


def keys_to_proto(keys: Iterable[tuple[KeyDefinition, int, int | None]]) -> pb.ListKeysResponse:
    """Return the response with the keys of a workspace, without their hashes.

    Each has its state and the day of its last use, in days since 1970-01-01; None = never.
    """
    return pb.ListKeysResponse(keys=[_key_to_proto(*listed) for listed in keys])


def _key_to_proto(key: KeyDefinition, state: int, last_used_day: int | None) -> pb.KeySummary:
    used = "" if last_used_day is None else (_EPOCH + timedelta(days=last_used_day)).isoformat()
    return pb.KeySummary(
        key=to_message(key._replace(key_hash=b"")), state=pb.KeyState.Name(state), last_used_on=used
    )
