"""Tests the mapping of a file's rows to events."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from onefold.type.v1.event_pb2 import EVENT_TYPE_IDENTIFY, EVENT_TYPE_TRACK, Event

from services.cli.files.cells import BadCell
from services.cli.files.mapping import FileMapping, read_mapping
from services.cli.files.rows import RowFile
from services.kernel.errors import InvalidField
from services.kernel.time import parse_rfc3339
from services.kernel.yaml_documents import parse_yaml

MINIMAL = {"event": "Seen", "identifiers": {"phone": {"column": "phone"}}}


def mapping(**more: Any) -> FileMapping:
    return read_mapping({**MINIMAL, **more})


def event(row: dict[str, Any], **more: Any) -> Event:
    return mapping(**more).to_event({"phone": "13800138000", **row}, lambda: "default")


def test_minimal_mapping_gives_a_track_event() -> None:
    made = event({})
    assert (made.type, made.name, made.message_id) == (EVENT_TYPE_TRACK, "Seen", "default")
    assert [(i.namespace, i.value) for i in made.identifiers] == [("phone", "13800138000")]
    assert (made.properties, made.occurred_at_us) == (b"", 0)


def test_complete_mapping_gives_every_part_of_the_event() -> None:
    document = parse_yaml(
        """
        type: {column: kind}
        event: {column: what}
        message_id: {template: "crm-{no}"}
        time: {column: when, format: "%Y/%m/%d %H:%M", zone: "+08:00"}
        channel: offline
        group_id: {column: branch}
        identifiers: {phone: {column: phone}, email: {column: mail}}
        properties:
          amount: {column: amount, type: integer, thousands: ","}
          rate: {column: rate, type: number}
          paid: {column: paid, type: boolean}
          tags: {column: tags, type: json}
          due: {column: due, type: time, zone: "+08:00"}
          note: {column: note}
          origin: crm
        traits: {name: {column: name}}
        context: {shop: {value: {city: 上海}}}
        """.encode()
    )
    row = {
        "kind": "identify",
        "what": "",
        "no": "7",
        "when": "2026/11/21 08:30",
        "branch": "b1",
        "phone": "13800138000",
        "mail": "",
        "amount": "1,999",
        "rate": "0.5",
        "paid": "是",
        "tags": '["a"]',
        "due": "2026-11-22 00:00:00",
        "note": " ",
        "name": "李雷",
    }
    made = read_mapping(document).to_event(row, lambda: "default")
    assert (made.type, made.message_id, made.channel) == (EVENT_TYPE_IDENTIFY, "crm-7", "offline")
    assert made.occurred_at_us == parse_rfc3339("2026-11-21T00:30:00Z")
    assert made.group_id == "b1"
    assert [i.namespace for i in made.identifiers] == ["phone"]
    assert json.loads(made.properties) == {
        "amount": 1999,
        "rate": 0.5,
        "paid": True,
        "tags": ["a"],
        "origin": "crm",
        "due": "2026-11-21T16:00:00.000000Z",
    }
    assert json.loads(made.traits) == {"name": "李雷"}
    assert json.loads(made.context) == {"shop": {"city": "上海"}}


@pytest.mark.parametrize(
    ("time_format", "text"),
    [
        (None, "2026-11-21T08:30:00+08:00"),
        (None, "2026-11-21 08:30:00"),
        ("epoch_s", "1795221000"),
        ("epoch_s", "1795221000.0"),
        ("epoch_ms", "1795221000000"),
        ("epoch_us", "1795221000000000"),
        ("%d.%m.%Y %H:%M", "21.11.2026 08:30"),
    ],
)
def test_time_in_each_format_is_the_same_instant(time_format: str | None, text: str) -> None:
    time = {"column": "at"} | ({"format": time_format} if time_format else {})
    if not str(time_format).startswith("epoch"):
        time["zone"] = "Asia/Shanghai"
    made = event({"at": text}, time=time)
    assert made.occurred_at_us == parse_rfc3339("2026-11-21T00:30:00Z")


@pytest.mark.parametrize(
    ("cell", "value", "reason"),
    [
        ({"column": "x", "type": "integer"}, "1.5", "VALUE_INVALID"),
        ({"column": "x", "type": "integer"}, "many", "VALUE_INVALID"),
        ({"column": "x", "type": "integer"}, True, "VALUE_INVALID"),
        ({"column": "x", "type": "number"}, "nan", "VALUE_INVALID"),
        ({"column": "x", "type": "boolean"}, "perhaps", "VALUE_INVALID"),
        ({"column": "x", "type": "json"}, "{", "VALUE_INVALID"),
        ({"column": "x", "type": "json"}, "[NaN]", "VALUE_INVALID"),
        ({"column": "x", "type": "time"}, "today", "TIME_INVALID"),
        ({"column": "x", "type": "time"}, "2026-11-20", "TIME_INVALID"),
        ({"column": "x", "type": "text"}, [1], "VALUE_INVALID"),
    ],
)
def test_bad_cell_raises_its_reason_without_the_value(
    cell: dict[str, str], value: Any, reason: str
) -> None:
    with pytest.raises(BadCell) as caught:
        event({"x": value}, properties={"x": cell})
    assert caught.value.reason == reason
    assert str(value) not in caught.value.message or len(str(value)) < 3


def test_instant_of_1970_differs_from_a_missing_time() -> None:
    assert event({"at": "1970-01-01T00:00:00Z"}, time={"column": "at"}).occurred_at_us == 1
    assert event({"at": ""}, time={"column": "at"}).occurred_at_us == 0


def test_bad_identifier_and_bad_type_raise_their_reasons() -> None:
    with pytest.raises(BadCell) as caught:
        event({"phone": {"a": 1}})
    assert (caught.value.reason, caught.value.field) == ("IDENTIFIER_INVALID", "identifiers.phone")
    with pytest.raises(BadCell) as caught:
        event({"kind": "buy"}, type={"column": "kind"})
    assert caught.value.reason == "NOT_AN_EVENT"


def test_column_with_a_dot_reads_a_nested_value() -> None:
    made = event(
        {"a": {"b": 5}, "a.c": 6}, properties={"b": {"column": "a.b"}, "c": {"column": "a.c"}}
    )
    assert json.loads(made.properties) == {"b": 5, "c": 6}


@pytest.mark.parametrize(
    ("document", "field"),
    [
        ([], ""),
        ({}, "identifiers"),
        ({"identifiers": {}}, "identifiers"),
        ({"identifiers": {"phone": "x"}}, "event"),
        ({**MINIMAL, "type": "buy"}, "type"),
        ({**MINIMAL, "colour": 1}, ""),
        ({**MINIMAL, "properties": {"a": {"column": "a", "kind": "x"}}}, "properties.a"),
        ({**MINIMAL, "properties": {"a": {"column": "a", "type": "money"}}}, "properties.a.type"),
        ({**MINIMAL, "properties": {"a": {"type": "text"}}}, "properties.a.column"),
        ({**MINIMAL, "time": "when"}, "time"),
        ({**MINIMAL, "time": {"column": "t", "zone": "Mars/Olympus"}}, "time.zone"),
        ({**MINIMAL, "delimiter": "--"}, "delimiter"),
    ],
)
def test_bad_mapping_raises_an_error_with_its_path(document: Any, field: str) -> None:
    with pytest.raises(InvalidField) as caught:
        read_mapping(document)
    assert caught.value.field == field


def test_columns_are_those_of_all_cells() -> None:
    assert mapping(message_id={"template": "{a}-{b}"}).columns == ("a", "b", "phone")


def test_csv_lines_have_their_numbers_and_errors(tmp_path: Path) -> None:
    file = tmp_path / "f.csv"
    file.write_bytes(b'phone,note\n1,"two\nlines"\n\n2,a,b\n3,"x\n4,y"\n5,\xff\n')
    seen = [
        (line.number, line.row and line.row["phone"])
        for line in RowFile(file, mapping(encoding="utf-8"))
    ]
    assert seen == [(2, "1"), (5, None), (6, "3"), (8, None)]


def test_json_lines_have_their_numbers_and_errors(tmp_path: Path) -> None:
    file = tmp_path / "f.jsonl"
    file.write_bytes(b'{"phone":"1"}\n\n[1]\n{\n{"a":NaN}\n{"phone":"2"}')
    seen = [(line.number, line.row is not None) for line in RowFile(file, mapping())]
    assert seen == [(1, True), (3, False), (4, False), (5, False), (6, True)]


@pytest.mark.parametrize("name", ["f.xlsx", "f", "missing.csv"])
def test_unreadable_file_raises_an_error(tmp_path: Path, name: str) -> None:
    if not name.startswith("missing"):
        (tmp_path / name).write_bytes(b"x")
    with pytest.raises(InvalidField):
        list(RowFile(tmp_path / name, mapping()))


def test_missing_column_raises_an_error_with_the_columns_of_the_file(tmp_path: Path) -> None:
    (tmp_path / "f.csv").write_text("mobile\n1\n")
    with pytest.raises(InvalidField, match="no column 'phone'; its columns are mobile"):
        list(RowFile(tmp_path / "f.csv", mapping()))
