"""Definitions, the clock, and the treaty's words for what became of events."""

from __future__ import annotations

import re
import stat
from pathlib import Path

import pytest
from onefold.type.v1.errors_pb2 import ErrorReason

from services.chassis.access.keys import hash_key
from services.chassis.access.principal import Role
from services.ingest.bootstrap import read_or_make_key
from services.ingest.codec import events as wire
from services.ingest.commands.intake import Rejection, Taken
from services.ingest.domain.definitions import (
    KEY_DEFINED,
    SOURCE_DEFINED,
    WORKSPACE_DEFINED,
    Definition,
    KeyDefinition,
    SourceDefinition,
    WorkspaceDefinition,
    newest,
    next_source,
)
from services.ingest.domain.model import Refusal
from services.ingest.log.log_clock import LogClock
from services.ingest.ports import Told
from services.kernel.tokens import Token

SITE = SourceDefinition("w", "site", "Site", "web", 3)


class TestDefinitions:
    def test_the_next_version_of_a_source(self) -> None:
        assert next_source(None, SITE._replace(version=0)) == SITE._replace(version=1)
        assert next_source(SITE, SITE._replace(version=0)) is None
        changed = next_source(SITE, SITE._replace(disabled=True, version=0))
        assert changed == SITE._replace(disabled=True, version=4)

    def test_the_newest_holds_in_any_order(self) -> None:
        key = KeyDefinition("w", "key_1", b"h", 1)
        told: list[Definition] = [
            *(SITE._replace(version=v, title=str(v)) for v in (2, 3, 1)),
            *(key._replace(version=2, disabled=True), key),
            *(WorkspaceDefinition("w"), SITE._replace(workspace_id="v")),
        ]
        held = newest(told)
        assert held == newest(reversed(told))
        assert len(held) == 4
        assert SITE._replace(title="3") in held
        assert key._replace(version=2, disabled=True) in held

    @pytest.mark.parametrize(
        ("kind", "definition"),
        [
            (WORKSPACE_DEFINED, WorkspaceDefinition("w", "Title")),
            (SOURCE_DEFINED, SITE._replace(disabled=True)),
            (KEY_DEFINED, KeyDefinition("w", "key_1", b"h" * 32, 2, "", "T", 2, True)),
        ],
    )
    def test_there_and_back(self, kind: str, definition: Definition) -> None:
        payload = wire.write_definition(definition)
        assert wire.read_definition(Told("w", kind, payload)) == definition
        assert kind == wire.definition_message(definition).DESCRIPTOR.full_name

    def test_a_key_for_people_has_no_hash(self) -> None:
        assert not wire.key_message(KeyDefinition("w", "key_1", b"h" * 32, 2)).key_hash


class TestWire:
    def test_every_reason_is_in_the_treaty(self) -> None:
        source = Path(wire.__file__).parent
        text = "".join(f.read_text() for f in [*source.glob("*.py"), *source.glob("domain/*.py")])
        named = set(re.findall(r'Refusal\(\s*"([A-Z_]+)"', text))
        assert len(named) >= 11
        assert named <= {n.removeprefix("ERROR_REASON_") for n in dict(ErrorReason.items())}

    def test_what_became_of_a_batch(self) -> None:
        refusal = Refusal("NO_IDENTIFIER", "identifiers", "add one")
        taken = Taken(2, 1, (Rejection(3, refusal, b"q" * 16),), Token((1, 2)))
        message = wire.taken_message(taken)
        assert (message.accepted, message.duplicates) == (2, 1)
        assert message.rejections[0].field == "events[3].identifiers"
        assert list(message.token.offsets) == [1, 2]
        told = wire.taken_json(taken)
        assert told["success"] is True
        assert told["token"] == "1.2"

    @pytest.mark.parametrize(
        ("field", "named"),
        [
            ("message_id", "messageId"),
            ("identifiers[1]", "userId"),
            ("occurred_at_us", "timestamp"),
            ("properties", "properties"),
            ("", ""),
        ],
    )
    def test_fields_in_the_words_of_the_specification(self, field: str, named: str) -> None:
        assert wire.field_json(field) == named


class TestClock:
    def test_it_learns_how_far_the_log_is_ahead(self) -> None:
        clock = LogClock(machine_us=lambda: 1_000)
        assert clock.now_us() == 1_000
        clock.learn(900)
        assert clock.now_us() == 1_000
        clock.learn(9_000)
        clock.learn(5_000)
        assert clock.now_us() == 9_000

    def test_it_looks_at_the_newest_fact(self) -> None:
        newest_us = 0
        clock = LogClock(lambda: newest_us, lambda: 1_000)
        assert clock.now_us() == 1_000
        newest_us = 4_000
        assert clock.now_us() == 4_000


class TestFirstKey:
    def test_made_once_and_for_our_eyes(self, tmp_path: Path) -> None:
        key = read_or_make_key(tmp_path / "data")
        file = tmp_path / "data" / "admin.key"
        assert key == file.read_text().strip()
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        assert read_or_make_key(tmp_path / "data") == key
        assert [f.name for f in (tmp_path / "data").iterdir()] == ["admin.key"]

    def test_nowhere(self) -> None:
        assert read_or_make_key(None) is None

    def test_the_role_is_the_treatys(self) -> None:
        assert (Role.SOURCE, Role.SERVICE, Role.ADMIN) == (1, 2, 3)
        assert len(hash_key("k")) == 32
