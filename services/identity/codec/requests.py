"""Decodes the identifiers and profile ids of requests."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from onefold.type.v1.identifier_pb2 import Identifier as IdentifierMessage

from services.kernel.errors import InvalidField
from services.kernel.identifiers.model import Identifier, validation_error
from services.kernel.identifiers.normalize import expected_format, normalize
from services.kernel.ids import WorkspaceId, parse_id
from services.kernel.index_key import IndexKey


class Caller(NamedTuple):
    """The key that a call came with, and how its identifiers are read."""

    workspace_id: WorkspaceId
    #: The default region of the workspace.
    region: str
    key_id: str
    #: The key that ids of identifiers are derived with.
    index_key: IndexKey


def decode_identifier(message: IdentifierMessage, caller: Caller, field: str) -> Identifier:
    """Return an identifier in canonical form. Raises InvalidField."""
    if not message.namespace and not message.value:
        raise InvalidField(f"{field} is required: a namespace and a value", field=field)
    if error := validation_error(message.namespace, message.value):
        raise InvalidField(error, field=field)
    identifier = normalize(message.namespace, message.value, caller.region)
    if identifier is None:
        expected = expected_format(message.namespace, caller.region)
        raise InvalidField(
            f"this {message.namespace} is invalid or a placeholder; send {expected}", field=field
        )
    return identifier


def decode_identifier_ids(messages: Iterable[IdentifierMessage], caller: Caller) -> Iterator[bytes]:
    """Yield the ids of the identifiers of a lookup; empty for placeholders. Raises InvalidField."""
    for index, message in enumerate(messages):
        if error := validation_error(message.namespace, message.value):
            raise InvalidField(error, field=f"identifiers[{index}]")
        identifier = normalize(message.namespace, message.value, caller.region)
        yield identifier.id_in(caller.workspace_id, caller.index_key) if identifier else b""


def decode_profile_ids(texts: Iterable[str]) -> Iterator[bytes]:
    """Yield the profile ids of a lookup. Raises InvalidField."""
    for index, text in enumerate(texts):
        yield parse_id(text, f"profile_ids[{index}]")
