"""Tests definitions of workspaces, sources and keys, and their messages."""

from __future__ import annotations

import pytest
from onefold.ingest.v1.admin_service_pb2 import KEY_STATE_EXPIRED
from onefold.ingest.v1.admin_service_pb2 import KeyState as KeyStateMessage

from services.chassis.access.tables import KEY_DEFINED, SOURCE_DEFINED, WORKSPACE_DEFINED
from services.chassis.definitions import next_definition
from services.ingest.codec.definitions import (
    decode_definition,
    encode_definition,
    fact_to_proto,
    keys_to_proto,
    sources_to_proto,
    to_message,
)
from services.ingest.domain.definitions import (
    AccessDefinition,
    KeyDefinition,
    SourceDefinition,
    WorkspaceDefinition,
    newest,
)
from services.ingest.domain.keys import KeyState

RESTRICTED = KeyDefinition(
    "w",
    "key_1",
    b"h" * 32,
    1,
    "site",
    created_at_us=1,
    expires_at_us=2,
    allowed_origins=("https://a.example", "https://*.b.example"),
    allowed_addresses=("10.0.0.0/8",),
    bootstrap=True,
)
SITE = SourceDefinition("w", "site", "Site", "web", 3)


def next_source(current: SourceDefinition | None, desired: SourceDefinition) -> SourceDefinition:
    return next_definition(current, desired, lambda source: encode_definition(source, "key_1"))


def test_source_gets_the_next_version_where_its_content_differs() -> None:
    assert next_source(None, SITE._replace(version=0)) == SITE._replace(version=1)
    assert next_source(SITE, SITE._replace(version=0)) is SITE
    changed = next_source(SITE, SITE._replace(disabled=True, version=0))
    assert changed == SITE._replace(disabled=True, version=4)


def test_newest_definition_in_any_order_has_the_highest_version() -> None:
    key = KeyDefinition("w", "key_1", b"h", 1)
    definitions: list[AccessDefinition] = [
        *(SITE._replace(version=v, title=str(v)) for v in (2, 3, 1)),
        *(key._replace(version=2, disabled=True), key),
        *(WorkspaceDefinition("w"), SITE._replace(workspace_id="v")),
    ]
    found = newest(definitions)
    assert found == newest(reversed(definitions))
    assert len(found) == 4
    assert SITE._replace(title="3") in found
    assert key._replace(version=2, disabled=True) in found


@pytest.mark.parametrize(
    ("kind", "definition"),
    [
        (WORKSPACE_DEFINED, WorkspaceDefinition("w", "Title")),
        (SOURCE_DEFINED, SITE._replace(disabled=True)),
        (KEY_DEFINED, KeyDefinition("w", "key_1", b"h" * 32, 2, "", "T", 2, True)),
        (KEY_DEFINED, RESTRICTED),
    ],
)
def test_encoded_definition_decodes_to_itself(kind: str, definition: AccessDefinition) -> None:
    fact = encode_definition(definition, "key_1")
    row = {"workspace_id": "w", "kind": kind, "payload": fact.payload}
    assert decode_definition(fact_to_proto(row)) == definition
    assert kind == fact.kind == to_message(definition).DESCRIPTOR.full_name


def test_listed_key_has_no_hash() -> None:
    key = KeyDefinition("w", "key_1", b"h" * 32, 2)
    [listed] = keys_to_proto([(key, KeyState.EXPIRED, None)]).keys
    assert (listed.key.key_id, listed.key.key_hash) == ("key_1", b"")
    assert (listed.state, listed.last_used_on) == (KEY_STATE_EXPIRED, "")


def test_listed_key_has_the_day_of_its_last_use() -> None:
    key = KeyDefinition("w", "key_1", b"h" * 32, 2)
    days = [listed.last_used_on for listed in keys_to_proto([(key, 1, 0), (key, 1, 20_484)]).keys]
    assert days == ["1970-01-01", "2026-01-31"]


def test_key_states_equal_those_of_the_protos() -> None:
    contract = {name: number for name, number in KeyStateMessage.items() if number}
    assert contract == {f"KEY_STATE_{state.name}": state.value for state in KeyState}


def test_listed_source_has_an_etag_that_changes_with_its_version() -> None:
    etags = [s.etag for s in sources_to_proto([SITE, SITE.at_version(4)]).sources]
    assert all(etags)
    assert len(set(etags)) == 2
