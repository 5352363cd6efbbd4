"""Encodes sources and keys for the responses of AdminService."""

from __future__ import annotations

from typing import Any

from onefold.ingest.v1.admin_service_pb2 import (
    DefineSourceResponse,
    ListKeysResponse,
    ListSourcesResponse,
    SourceSummary,
)
from onefold.ingest.v1.ingest_facts_pb2 import KeyDefined

from services.chassis.codec.tokens import token_to_proto
from services.chassis.definitions import Defined, etag_of
from services.ingest.codec.definitions import source_to_proto
from services.ingest.domain.definitions import KeyDefinition, SourceDefinition


def defined_to_proto(defined: Defined[SourceDefinition]) -> DefineSourceResponse:
    """Return the response to a definition of a source."""
    return DefineSourceResponse(
        source=source_to_proto(defined.definition),
        changed=defined.changed,
        token=token_to_proto(defined.token),
        etag=defined.etag,
    )


def sources_to_proto(sources: list[SourceDefinition]) -> ListSourcesResponse:
    """Return the response with the sources of a workspace, each with its etag."""
    summaries = [
        SourceSummary(source=source_to_proto(source), etag=etag_of(source.version))
        for source in sources
    ]
    return ListSourcesResponse(sources=summaries)


def keys_to_proto(keys: list[KeyDefinition]) -> ListKeysResponse:
    """Return the response with the keys of a workspace."""
    return ListKeysResponse(keys=[key_to_proto(key) for key in keys])


def key_to_proto(key: KeyDefinition) -> KeyDefined:
    """Return the message of a key without its hash."""
    fields: dict[str, Any] = key._asdict()
    del fields["workspace_id"], fields["key_hash"]
    return KeyDefined(**fields)
