"""Tests that a file in doubt is rejected by its line, or as a whole, and never read as another."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

import pytest

from services.cli.commands.imports import (
    ImportReport,
    RejectedLine,
    RowNamer,
    import_file,
    load_mapping,
    summary_of,
)
from services.cli.files.cells import BadCell
from services.cli.files.lines import MAX_LINE, split_lines
from services.cli.files.mapping import read_mapping
from services.cli.files.rows import RowFile
from services.kernel.errors import InvalidField

MAPPING: dict[str, Any] = {"event": "e", "identifiers": {"phone": {"column": "m"}}}


def outcomes(folder: Path, raw: bytes, suffix: str = ".csv", **more: Any) -> Iterator[Any]:
    """Yield the line and the properties of each event, or the reason of its rejection."""
    mapping = read_mapping({**MAPPING, **more})
    file = folder / f"f{suffix}"
    file.write_bytes(raw)
    for row in RowFile(file, mapping):
        if row.row is None:
            yield row.number, row.reason
            continue
        try:
            event = mapping.to_event(row.row, lambda: "default")
        except BadCell as bad:
            yield row.number, bad.reason
        else:
            identifiers = {i.namespace: i.value for i in event.identifiers}
            yield row.number, identifiers | json.loads(event.properties or b"{}")


CITY = {"properties": {"city": {"column": "city"}}}
NOTE = {"properties": {"note": {"column": "note"}}}


def test_one_stray_byte_rejects_its_line_and_changes_no_other(tmp_path: Path) -> None:
    raw = "m,city\n1,北京\n2,上海\n3,".encode() + b"\xe5\x8c" + "\n4,广州\n".encode()
    assert list(outcomes(tmp_path, raw, **CITY)) == [
        (2, {"phone": "1", "city": "北京"}),
        (3, {"phone": "2", "city": "上海"}),
        (4, "LINE_INVALID"),
        (5, {"phone": "4", "city": "广州"}),
    ]


def test_letters_of_windows_are_rejected_and_read_where_the_mapping_names_them(
    tmp_path: Path,
) -> None:
    raw = "m,city\n1,Müller\n2,Noël Dupont\n".encode("cp1252")
    assert list(outcomes(tmp_path, raw, **CITY)) == [(2, "LINE_INVALID"), (3, "LINE_INVALID")]
    read = list(outcomes(tmp_path, raw, **CITY, encoding="windows-1252"))
    assert [event["city"] for _, event in read] == ["Müller", "Noël Dupont"]


@pytest.mark.parametrize("encoding", ["gb18030", "gbk", "big5", "utf-16-le", "utf-16-be"])
def test_named_encoding_is_used(tmp_path: Path, encoding: str) -> None:
    raw = "m,city\n1,北京\n2,上海\n".encode(encoding)
    read = list(outcomes(tmp_path, raw, **CITY, encoding=encoding))
    assert [event["city"] for _, event in read] == ["北京", "上海"]


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-32"])
@pytest.mark.parametrize("named", [None, "gb18030"])
def test_mark_decides_whatever_the_mapping_says(
    tmp_path: Path, encoding: str, named: str | None
) -> None:
    more = {"encoding": named} if named else {}
    raw = "m,city\r\n1,北京\r\n".encode(encoding)
    assert list(outcomes(tmp_path, raw, **CITY, **more)) == [(2, {"phone": "1", "city": "北京"})]


@pytest.mark.parametrize("named", ["gb18030", "cp1252", "latin-1"])
def test_file_in_utf_8_is_rejected_where_the_mapping_names_another_encoding(
    tmp_path: Path, named: str
) -> None:
    raw = "m,city\n1,北京\n2,上海\n".encode() + b"3,\xe5\x8c\n"
    with pytest.raises(InvalidField, match="the file is UTF-8: remove `encoding`"):
        list(outcomes(tmp_path, raw, **CITY, encoding=named))


def test_file_in_utf_16_without_a_mark_is_rejected_with_what_to_write(tmp_path: Path) -> None:
    raw = "m,city\n1,York\n".encode("utf-16-le")
    with pytest.raises(InvalidField, match="write `encoding: utf-16-le`"):
        list(outcomes(tmp_path, raw, **CITY))
    assert list(outcomes(tmp_path, raw, **CITY, encoding="utf-16-le")) == [
        (2, {"phone": "1", "city": "York"})
    ]


def test_line_that_is_utf_8_by_chance_does_not_slip_through(tmp_path: Path) -> None:
    raw = "m,city\n1,一\n2,北京\n".encode("gb18030")
    with pytest.raises(InvalidField, match=r"line 3 .*`encoding: gb18030`"):
        list(outcomes(tmp_path, raw, **CITY))


@pytest.mark.parametrize("names", [["Müller", "Noël"], ["Москва", "Казань"], ["Αθήνα", "Πάτρα"]])
def test_stray_byte_among_words_of_two_byte_letters_rejects_its_line(
    tmp_path: Path, names: list[str]
) -> None:
    raw = f"m,city\n1,{names[0]}\n2,".encode() + b"\xc3" + f"\n3,{names[1]}\n".encode()
    read = dict(outcomes(tmp_path, raw, **CITY))
    assert read[3] == "LINE_INVALID"
    assert [read[2]["city"], read[4]["city"]] == names


def test_named_utf_8_rejects_lines_and_not_the_file(tmp_path: Path) -> None:
    raw = "m,city\n1,一\n2,北京\n".encode("gb18030")
    read = dict(outcomes(tmp_path, raw, **CITY, encoding="utf-8"))
    assert read[3] == "LINE_INVALID"


def test_control_characters_of_latin_1_are_letters_of_windows(tmp_path: Path) -> None:
    raw = "m,city\n1,5 €\n".encode("cp1252")
    assert list(outcomes(tmp_path, raw, **CITY, encoding="latin-1")) == [(2, "LINE_INVALID")]


@pytest.mark.parametrize(
    "named", ["rot13", "base64", "unicode_escape", "auto", "\0", "ünicode", ""]
)
def test_encoding_that_is_none_of_files_is_rejected(named: str) -> None:
    with pytest.raises(InvalidField) as caught:
        read_mapping({**MAPPING, "encoding": named})
    assert caught.value.field == "encoding"


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ('1,a\n2,"oops\n3,c\n4,d\n', {2: "a", 3: None, 4: "c", 5: "d"}),
        ('1,a\n2,"oops\n3,"c"\n4,",d"\n', {2: "a", 3: None, 4: "c", 5: ",d"}),
        ('1,"a"b\n2,c\n', {2: None, 3: "c"}),
        ('1,"a\nb"\n2,c\n', {2: "a\nb", 4: "c"}),
        ('1,"a\nb"c\n2,d\n', {2: None, 3: None, 4: "d"}),
        ('1,"a\nb",x,y\n2,c\n', {2: None, 3: None, 4: "c"}),
        ('1,"a\n2,b\n3,c"\n4,d\n', {2: None, 3: None, 4: None, 5: "d"}),
        ('1,5" pipe\n2,"a ""b"""\n', {2: '5" pipe', 3: 'a "b"'}),
        ('1,"a\r\nb"\r\n2,c\r\n', {2: "a\r\nb", 4: "c"}),
        ('1,a\r2,"b"\r', {2: "a", 3: "b"}),
        ("1,a,\n2,b,,\n3,c,x\n4\n", {2: "a", 3: "b", 4: None, 5: None}),
        ("\n1,a\n , \n,\n2,b", {3: "a", 6: "b"}),
    ],
)
def test_quotes_and_widths_reject_their_lines_alone(
    tmp_path: Path, text: str, lines: dict[int, str | None]
) -> None:
    read = outcomes(tmp_path, f"m,note\n{text}".encode(), **NOTE)
    assert {n: e["note"] if isinstance(e, dict) else None for n, e in read} == lines


@pytest.mark.parametrize(
    ("cell", "value"),
    [
        ('="0001"', "0001"),
        ('"=""0001"""', "0001"),
        ("'13800138000", "13800138000"),
        ("`1234", "1234"),
        ("'tis", "'tis"),
        ('="0001', None),
        (" 0001\t", "0001"),
        ("=1+1", "=1+1"),
    ],
)
def test_spreadsheet_wrapping_is_removed(tmp_path: Path, cell: str, value: str | None) -> None:
    [(_, read)] = outcomes(tmp_path, f"m\n{cell}\n".encode())
    assert (read["phone"] if isinstance(read, dict) else None) == value


def test_columns_of_one_name_are_rejected_where_the_mapping_uses_them(tmp_path: Path) -> None:
    raw = b"m,note,note\n1,a,b\n"
    assert list(outcomes(tmp_path, raw)) == [(2, {"phone": "1"})]
    with pytest.raises(InvalidField, match="2 columns 'note'"):
        list(outcomes(tmp_path, raw, **NOTE))
    named = {**NOTE, "columns": ["m", "note", "note 2"]}
    assert list(outcomes(tmp_path, raw, **named)) == [(2, {"phone": "1", "note": "a"})]


def test_lines_above_the_header_are_skipped_and_the_error_names_the_header(tmp_path: Path) -> None:
    raw = "支付宝账单\n共2笔,,\nm,note\n1,a\n".encode()
    with pytest.raises(InvalidField, match="line 3 has them: write `header_row: 3`"):
        list(outcomes(tmp_path, raw, **NOTE))
    for more in ({"header_row": 3}, {"skip_lines": 2}):
        assert list(outcomes(tmp_path, raw, **NOTE, **more)) == [(4, {"phone": "1", "note": "a"})]
    headless = {"header_row": 0, "columns": ["m", "note"]}
    assert list(outcomes(tmp_path, b"1,a\n", **NOTE, **headless)) == [
        (1, {"phone": "1", "note": "a"})
    ]


def test_another_delimiter_is_named_by_the_error(tmp_path: Path) -> None:
    with pytest.raises(InvalidField, match="write `delimiter: ';'`"):
        list(outcomes(tmp_path, b"m;note\n1;a\n", **NOTE))


def test_line_that_names_the_separator_is_obeyed(tmp_path: Path) -> None:
    raw = b"sep=;\r\nm;note\r\n1;a\r\n"
    assert list(outcomes(tmp_path, raw, **NOTE)) == [(3, {"phone": "1", "note": "a"})]


async def test_rejections_are_not_written_over_the_file_itself(tmp_path: Path) -> None:
    file, mapping = tmp_path / "f.csv", tmp_path / "m.yaml"
    file.write_text("m\n1\n")
    mapping.write_text("event: e\nidentifiers: {phone: {column: m}}")
    with pytest.raises(InvalidField, match="name another one"):
        await import_file(file, mapping, "127.0.0.1:1", "key", rejections=file)
    assert file.read_text() == "m\n1\n"


NUMBERS = [
    ("12,50", {}, None),
    ("1.234,56", {}, None),
    ("1,234", {}, None),
    ("1 234", {}, None),
    ("12.50", {}, 12.5),
    ("１２．５", {}, 12.5),
    ("\u221212", {}, -12.0),
    ("1e3", {}, 1000.0),
    ("1e400", {}, None),
    ("1e-999", {}, None),
    ("9" * 5_000, {}, None),
    ("9007199254740993", {}, 9007199254740993),
    ("1_000", {}, None),
    ("0x10", {}, None),
    ("NaN", {}, None),
    ("Infinity", {}, None),
    ("12,50", {"decimal": ","}, 12.5),
    ("1.234,56", {"decimal": ","}, None),
    ("1.234,56", {"decimal": ",", "thousands": "."}, 1234.56),
    ("12.50", {"decimal": ",", "thousands": "."}, None),
    ("1,234,567.5", {"thousands": ","}, 1234567.5),
    ("1,23", {"thousands": ","}, None),
    ("1\u202f234,5", {"decimal": ",", "thousands": " "}, 1234.5),
]


@pytest.mark.parametrize(("text", "marks", "value"), NUMBERS)
@pytest.mark.parametrize("place", ["cell", "mapping"])
def test_number_is_read_by_the_marks_of_the_mapping_or_rejected(
    tmp_path: Path, text: str, marks: dict[str, str], value: float | None, place: str
) -> None:
    cell = {"column": "x", "type": "number", **(marks if place == "cell" else {})}
    more = {"properties": {"x": cell}, **(marks if place == "mapping" else {})}
    [(_, read)] = outcomes(tmp_path, f'm,x\n1,"{text}"\n'.encode(), **more)
    assert (read["x"] if isinstance(read, dict) else None) == value


@pytest.mark.parametrize(
    ("text", "value"),
    [("1,5", None), ("1.5", None), ("3.0", 3), ("9" * 19, None), ("-8", -8), ("٣", None)],
)
def test_whole_number_is_not_made_of_a_fraction(
    tmp_path: Path, text: str, value: int | None
) -> None:
    more = {"properties": {"x": {"column": "x", "type": "integer"}}}
    [(_, read)] = outcomes(tmp_path, f'm,x\n1,"{text}"\n'.encode(), **more)
    assert (read["x"] if isinstance(read, dict) else None) == value


@pytest.mark.parametrize(
    "line",
    [
        '{"m": "1", "amount": 1e400}',
        '{"m": "1", "amount": -1E999}',
        '{"m": "1", "amount": NaN}',
        '{"m": "a\\ud83d"}',
        '{"m": "1", "x": {"y": ["\\udfff"]}}',
        '{"m": "1", "m": "2"}',
        '{"m": "1", "x": {"y": 1, "y": 2}}',
        '{"m": "1", "x": ' + "[" * 200_000,
        '{"m": "1", "x": ' + "9" * 5_000 + "}",
        "[1]",
        "{",
    ],
)
def test_bad_json_line_is_rejected_and_the_others_are_taken(tmp_path: Path, line: str) -> None:
    raw = f'{{"m": "1"}}\n{line}\r\n{{"m": "2"}}'.encode()
    more = {"properties": {"amount": {"column": "amount"}}}
    read = list(outcomes(tmp_path, raw, ".jsonl", **more))
    assert read[0] == (1, {"phone": "1"})
    assert read[1] == (2, "JSON_INVALID")
    assert read[2] == (3, {"phone": "2"})


TEMPLATES = [
    ("", {}),
    ("  ", {}),
    ("#N/A", {}),
    ("NULL", {}),
    ("无", {}),
    ("1.38E+10", {}),
    ("0", {"member_id": "shop1-0"}),
    ("false", {"member_id": "shop1-false"}),
    ("7", {"member_id": "shop1-7"}),
]


@pytest.mark.parametrize(("cell", "identifiers"), TEMPLATES)
def test_template_with_an_empty_hole_says_nothing(
    tmp_path: Path, cell: str, identifiers: dict[str, str]
) -> None:
    named = {"phone": {"column": "m"}, "member_id": {"template": "shop1-{member}"}}
    [(_, read)] = outcomes(tmp_path, f"m,member\n1,{cell}\n".encode(), identifiers=named)
    assert read == {"phone": "1", **identifiers}


def test_template_in_json_has_false_and_zero_as_values(tmp_path: Path) -> None:
    more = {"properties": {"x": {"template": "{a}-{b}"}, "y": {"template": "{a}-{c}"}}}
    [(_, read)] = outcomes(tmp_path, b'{"m":"1","a":0,"b":false,"c":null}', ".jsonl", **more)
    assert read == {"phone": "1", "x": "0-false"}


def test_template_with_a_type_has_that_type(tmp_path: Path) -> None:
    more = {"properties": {"amount": {"template": "{yuan}.{jiao}", "type": "number"}}}
    [(_, read)] = outcomes(tmp_path, b"m,yuan,jiao\n1,12,5\n", **more)
    assert read["amount"] == 12.5


@pytest.mark.parametrize("word", ["#N/A", "\\N", "NULL", "无", "1.38E+10", ""])
def test_message_id_that_is_a_word_for_nothing_is_that_of_the_row(word: str) -> None:
    mapping = read_mapping({**MAPPING, "message_id": {"column": "no"}})
    event = mapping.to_event({"m": "1", "no": word}, lambda: "row-1")
    assert event.message_id == "row-1"


def test_words_for_nothing_are_those_of_the_mapping(tmp_path: Path) -> None:
    raw = b"m,note\n1,\\N\n2,keine\n"
    assert [event for _, event in outcomes(tmp_path, raw, **NOTE)] == [
        {"phone": "1"},
        {"phone": "2", "note": "keine"},
    ]
    assert [event for _, event in outcomes(tmp_path, raw, **NOTE, nulls=["keine"])] == [
        {"phone": "1", "note": "\\N"},
        {"phone": "2"},
    ]


@pytest.mark.parametrize(
    ("unit", "cell", "reason"),
    [
        ("epoch_s", "1795221000000000", "TIME_INVALID"),
        ("epoch_s", "1" * 400, "TIME_INVALID"),
        ("epoch_us", "1e18", "TIME_INVALID"),
        ("epoch_ms", "nan", "TIME_INVALID"),
        ("epoch_s", "1795221000.5", None),
        ("epoch_s", "１７９５２２１０００", None),
    ],
)
def test_time_in_another_unit_rejects_its_line(
    tmp_path: Path, unit: str, cell: str, reason: str | None
) -> None:
    time = {"column": "at", "format": unit}
    read = list(outcomes(tmp_path, f"m,at\n1,{cell}\n2,1795221000\n".encode(), time=time))
    assert read[0] == (2, reason or {"phone": "1"})
    assert read[1] == (3, {"phone": "2"})


def test_time_without_a_zone_is_rejected_unless_the_mapping_names_one(tmp_path: Path) -> None:
    raw = b"m,at\n1,2026-11-20 20:00:00\n"
    assert list(outcomes(tmp_path, raw, time={"column": "at"})) == [(2, "TIME_INVALID")]
    for more in ({"zone": "Asia/Shanghai"}, {"time": {"column": "at", "zone": "+08:00"}}):
        mapping = read_mapping({**MAPPING, "time": {"column": "at"}, **more})
        event = mapping.to_event({"m": "1", "at": "2026-11-20 20:00:00"}, lambda: "")
        assert event.occurred_at_us == 1_795_176_000_000_000


def test_time_that_clocks_skip_is_rejected(tmp_path: Path) -> None:
    time = {"column": "at", "zone": "Europe/Berlin"}
    raw = b"m,at\n1,2026-03-29 02:30:00\n2,2026-03-29 03:30:00\n"
    assert list(outcomes(tmp_path, raw, time=time)) == [(2, "TIME_INVALID"), (3, {"phone": "2"})]


USELESS: list[tuple[dict[str, Any], str]] = [
    ({"properties": {"x": {"column": "x", "zone": "UTC"}}}, "properties.x.zone"),
    ({"properties": {"x": {"column": "x", "format": "epoch_s"}}}, "properties.x.format"),
    ({"properties": {"x": {"column": "x", "decimal": ","}}}, "properties.x.decimal"),
    ({"properties": {"x": {"value": 1, "type": "text"}}}, "properties.x"),
    ({"properties": {"x": {"column": "x", "template": "{x}"}}}, "properties.x"),
    ({"properties": {"x": {"template": "x"}}}, "properties.x.template"),
    ({"properties": {"x": {"template": "{x"}}}, "properties.x.template"),
    ({"decimal": ","}, "decimal"),
    ({"thousands": ","}, "thousands"),
    ({"zone": "UTC"}, "zone"),
    ({"time": {"column": "at", "format": "epoch_s", "zone": "UTC"}}, "time.zone"),
    ({"time": {"column": "at", "format": "%Y"}}, "time.zone"),
    ({"time": {"column": "at", "format": "%d %d", "zone": "UTC"}}, "time.format"),
    ({"time": {"column": "at", "format": "%Q", "zone": "UTC"}}, "time.format"),
    ({"time": {"column": "at", "zone": "+99:00"}}, "time.zone"),
    ({"skip_lines": 1, "header_row": 2}, "skip_lines"),
    ({"header_row": 0}, "header_row"),
    ({"identifiers": {"Phone": {"column": "m"}}}, "identifiers.Phone"),
    ({"identifiers": {"phone": [1]}}, "identifiers.phone"),
    ({"identifiers": {"phone": {"column": "m", "type": "number"}}}, "identifiers.phone.type"),
    ({"nulls": "x"}, "nulls"),
]


@pytest.mark.parametrize(("more", "field"), USELESS)
def test_word_of_a_mapping_that_does_nothing_is_rejected(more: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidField) as caught:
        read_mapping({**MAPPING, **more})
    assert caught.value.field == field


def test_no_content_of_a_mapping_ends_in_another_error(tmp_path: Path) -> None:
    """Random values at random places: each is a mapping, or an InvalidField."""
    random = Random(7)
    values: list[Any] = [
        *(
            None,
            True,
            0,
            -1,
            10**30,
            1.5,
            "",
            "x",
            "{x}",
            "\0",
            "\\N",
            [],
            {},
            [1],
            {"column": "x"},
        ),
        *({"column": 1}, {"template": "{a}{b}"}, {"value": "\ud83d"}, "a" * 100_000, "%Y%"),
    ]
    keys = [
        *("type", "event", "message_id", "time", "identifiers", "properties", "traits", "context"),
        *("channel", "group_id", "encoding", "delimiter", "skip_lines", "header_row", "columns"),
        *(
            "decimal",
            "thousands",
            "zone",
            "nulls",
            "column",
            "format",
            "template",
            "value",
            "phone",
        ),
    ]
    (tmp_path / "f.csv").write_bytes(b"x,m\n1,2\n")
    made = 0
    for _ in range(4_000):
        document: dict[str, Any] = {"event": "e", "identifiers": {"phone": {"column": "x"}}}
        for _ in range(random.randrange(3)):
            value = random.choice(values)
            if random.random() < 0.5:
                value = {random.choice(keys): value, "column": "x"}
            if random.random() < 0.3:
                value = {"a": value}
            document[random.choice(keys)] = value
        try:
            mapping = read_mapping(document)
            made += 1
            for row in RowFile(tmp_path / "f.csv", mapping):
                if row.row is not None:
                    mapping.to_event(row.row, lambda: "default")
        except (InvalidField, BadCell):
            continue
    assert made > 500


@pytest.mark.parametrize("content", [b"", b"\xff", b"[", b"a: [1, 2", b"event: e", b"- 1", b"1: 2"])
def test_file_of_a_mapping_that_is_none_raises_an_error_with_its_name(
    tmp_path: Path, content: bytes
) -> None:
    (tmp_path / "m.yaml").write_bytes(content)
    with pytest.raises(InvalidField, match=r"m\.yaml"):
        load_mapping(tmp_path / "m.yaml")


def test_row_is_named_by_what_the_mapping_uses_of_it() -> None:
    mapping = read_mapping({**MAPPING, **NOTE})
    first, again = RowNamer(mapping), RowNamer(mapping)
    row = {"m": "1", "note": "a"}
    names = [first.message_id(row), first.message_id(row), first.message_id({**row, "note": "b"})]
    exported = {"new": "x", **row}
    assert [again.message_id(exported), again.message_id(exported)] == names[:2]
    assert len(set(names)) == 3


def test_lines_are_split_at_each_end_and_a_long_one_is_skipped() -> None:
    parts = [b"a\r", b"\nb\rc\n", b"\xe2\x80\xa8d", b"", b"\r"]
    assert list(split_lines(parts)) == [b"a\r\n", b"b\r", b"c\n", b"\xe2\x80\xa8d\r"]
    long = [b"a\n", *[b"x" * (1 << 20)] * 6, b"\nb\n"]
    assert list(split_lines(long)) == [b"a\n", None, b"b\n"]
    assert list(split_lines([b"x" * (MAX_LINE + 1)])) == [None]


def test_report_counts_what_it_does_not_list() -> None:
    written: list[RejectedLine] = []
    report = ImportReport(encoding="utf-8, by default", on_rejected=written.append)
    for line in range(1_500):
        report.reject(RejectedLine(line, "VALUE_INVALID", "amount", "it is not a number"))
    report.unusable["phone", "it is a placeholder"] = 3
    report.unusable_identifiers = 5
    report.unseen_columns = ("phoen",)
    lines = list(summary_of(report))
    assert lines[:6] == [
        "encoding: utf-8, by default",
        "0 new events, 0 already in the log, 1,500 lines rejected",
        "  1,500 lines: VALUE_INVALID",
        "  5 identifiers of these events identify no one, or are no valid ones",
        "  3 cells of phone identify no one: it is a placeholder",
        "  no row has a value in 'phoen', which the mapping uses",
    ]
    assert lines[-1].startswith("and 500 lines more: a second run with `--rejections FILE`")
    assert len(written) == 1_500


def test_identifiers_that_identify_no_one_are_counted() -> None:
    named = {
        "phone": {"column": "m"},
        "member_id": {"template": "s-{no}"},
        "user_id": {"column": "u"},
    }
    mapping = read_mapping({**MAPPING, "identifiers": named})
    row = {"m": "13800138001", "no": "#N/A", "u": "null"}
    event = mapping.to_event(row, lambda: "")
    assert [n for n, _ in mapping.unusable_identifiers(row, event)] == ["member_id", "user_id"]
