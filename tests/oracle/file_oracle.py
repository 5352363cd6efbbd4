"""Writes files of which every cell is known, and judges what a reader makes of them.

Each file is written from values, in one of many encodings and forms, with mistakes that people
make. A reader is right where it takes each row as it was meant or rejects its line, takes every
row without a mistake, and makes up no row. Nothing here shares code with the reader.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from decimal import Decimal
from random import Random
from typing import Any

NAMES = [
    "北京",
    "上海",
    "广州",
    "李雷",
    "韩梅梅",
    "一",
    "码",
    "Müller",
    "Noël Dupont",
    "Zoë",
    "Ana",
]
WESTERN = ["Müller", "Noël Dupont", "Zoë", "Ana", "Çelik", "Ñandú", "Straße", "plain"]
NOTES = [
    "",
    "a",
    'say "hi"',
    "x,y",
    ",x",
    "x,",
    '"',
    "two\nlines",
    "0",
    "false",
    "=1+1",
    "5' 3",
    "a;b",
]
NULLS = ["", " ", "\\N", "#N/A", "#REF!", "(null)"]
ENCODINGS = ["utf-8", "utf-8", "utf-8-sig", "utf-16", "gb18030", "windows-1252"]
_WIDE = str.maketrans("0123456789", "０１２３４５６７８９")


@dataclass
class KnownRow:
    """A row that was written."""

    line: int
    #: What an event may have, by part and name; a missing part is empty.
    meant: dict[str, Any]
    #: Whether the row has a mistake, so that it may be rejected, and whether it must be.
    may_fail: bool = False
    must_fail: bool = False


@dataclass
class KnownFile:
    """A file, its mapping, and what it means."""

    suffix: str
    mapping: dict[str, Any]
    raw: bytes = b""
    rows: list[KnownRow] = field(default_factory=list)
    #: Whether it may be rejected as a whole.
    may_fail: bool = False


def judge(file: KnownFile, outcome: dict[int, dict[str, Any] | None] | None) -> str:
    """Return what is wrong with an outcome, empty = nothing.

    `outcome` has the parts of each event, or None for a rejection, by line; None where the file is
    rejected.
    """
    if outcome is None:
        return "" if file.may_fail else "the file was rejected"
    known = {row.line: row for row in file.rows}
    for line, event in outcome.items():
        if event is not None and line not in known:
            return f"line {line} is no row, and became {event}"
    for line, row in known.items():
        if line not in outcome:
            return f"line {line} was dropped in silence"
        event = outcome[line]
        if event is None:
            if not (row.may_fail or row.must_fail):
                return f"line {line} was rejected"
        elif row.must_fail:
            return f"line {line} was taken as {event}"
        elif event != row.meant:
            return f"line {line} became {event}, and means {row.meant}"
    return ""


def make_file(random: Random) -> KnownFile:
    """Return a file of CSV, or of JSON lines."""
    return _json_file(random) if random.random() < 0.25 else _csv_file(random)


@dataclass
class _Style:
    """How a CSV file is written."""

    encoding: str
    delimiter: str
    end: str
    decimal: str
    thousands: str
    is_stated: bool
    zone: str


def _style(random: Random) -> _Style:
    decimal, thousands = random.choice([(".", ""), (".", ","), (",", "."), (",", ""), (",", " ")])
    is_stated = random.random() < 0.8
    if not is_stated and thousands == ".":
        thousands = ""  # 12.345 is a plain number where the mapping names no marks
    return _Style(
        encoding=random.choice(ENCODINGS),
        delimiter=random.choice([",", ",", ";", "\t"]),
        end=random.choice(["\n", "\r\n", "\r"]),
        decimal=decimal,
        thousands=thousands,
        is_stated=is_stated,
        zone=random.choice(["+08:00", "UTC", "", "-05:30"]),
    )


def _csv_file(random: Random) -> KnownFile:
    style = _style(random)
    columns = ["m", "phone", "amount", "count", "city", "note", "at", "extra"]
    random.shuffle(columns)
    mapping: dict[str, Any] = {
        "event": "paid",
        "identifiers": {"phone": {"column": "phone"}, "member_id": {"template": "shop1-{m}"}},
        "time": {"column": "at"},
        "properties": {
            "amount": {"column": "amount", "type": "number"},
            "count": {"column": "count", "type": "integer"},
            "city": {"column": "city"},
            "note": {"column": "note"},
        },
    }
    file = KnownFile(".csv", mapping)
    if style.delimiter != ",":
        mapping["delimiter"] = style.delimiter
    if style.is_stated and style.decimal != ".":
        mapping["decimal"] = style.decimal
    if style.is_stated and style.thousands:
        mapping["thousands"] = style.thousands
    if style.zone:
        mapping["zone"] = style.zone
    is_named = style.encoding not in ("gb18030", "windows-1252") or random.random() < 0.6
    if is_named and style.encoding in ("gb18030", "windows-1252"):
        mapping["encoding"] = style.encoding
    file.may_fail = not is_named
    lines, raw = _Lines(style), []
    for _ in range(random.choice([0, 0, 0, 2])):
        raw.append(lines.add("bill of 2026"))
        mapping["skip_lines"] = lines.number
    header = list(columns)
    if random.random() < 0.1:
        header[columns.index("extra")] = random.choice(["note", "extra", ""])
        file.may_fail |= header.count("note") > 1
    raw.append(lines.add(style.delimiter.join(header)))
    for _ in range(random.randrange(6)):
        raw.append(_csv_line(random, style, columns, lines, file, is_named=is_named))
    file.raw = b"".join(raw)
    if not is_named and _is_utf8(file.raw):
        mapping["encoding"] = style.encoding  # a few short words are UTF-8, too, by chance
    return file


def _is_utf8(raw: bytes) -> bool:
    try:
        raw.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


class _Lines:
    """Counts lines, and encodes them."""

    def __init__(self, style: _Style) -> None:
        self._style = style
        self.number = 0
        self.has_open_quote = False
        self._is_first = True

    def add(self, text: str, end: str | None = None) -> bytes:
        """Return the bytes of a row, which may have several lines."""
        self.number += 1 + text.count("\n")
        text = text.replace("\n", self._style.end) + (self._style.end if end is None else end)
        encoding = self._style.encoding
        first, self._is_first = self._is_first, False
        if encoding == "utf-16":
            return text.encode("utf-16" if first else "utf-16-le")
        return text.encode("utf-8" if encoding == "utf-8-sig" and not first else encoding)


def _csv_line(
    random: Random,
    style: _Style,
    columns: list[str],
    lines: _Lines,
    file: KnownFile,
    *,
    is_named: bool,
) -> bytes:
    if random.random() < 0.08:
        return lines.add(random.choice(["", "  ", style.delimiter * (len(columns) - 1)]))
    row = KnownRow(lines.number + 1, {}, may_fail=not is_named)
    cells = _csv_cells(random, style, row)
    texts = [_quoted(random, style, cells[column]) for column in columns]
    mistake = random.choice(["", "", "", "", "open", "byte", "short", "long", "garbage"])
    at = random.randrange(len(texts))
    if mistake == "open":
        texts[at] = '"oops' if at else '"1'
        row.may_fail = row.must_fail = True
        lines.has_open_quote = True
    elif mistake == "garbage":
        texts[at] = '"a"b'
        row.must_fail = True
        for earlier in file.rows if lines.has_open_quote else ():
            earlier.may_fail = True  # this line may be the end of a cell that opens before
    elif mistake == "short" and columns[-1] != "extra":
        texts.pop()
        row.must_fail = True
    elif mistake == "long":
        is_empty = random.random() < 0.5
        texts.append("" if is_empty else "more")
        row.must_fail |= not is_empty
    text = style.delimiter.join(texts)
    if mistake in ("open", "garbage"):
        text = text.replace("\n", " ")
    file.rows.append(row)
    raw = lines.add(text)
    if mistake == "byte" and style.encoding.startswith("utf-8"):
        row.must_fail = True
        file.may_fail |= True
        place = raw.find(style.delimiter.encode()) + 1
        raw = raw[:place] + b"\xe5\x8c" + raw[place:]
    return raw


def _csv_cells(random: Random, style: _Style, row: KnownRow) -> dict[str, str]:
    """Return the cells of a row by column, and note what they mean."""
    known: dict[str, Any] = {"identifiers": {}, "properties": {}, "time": 0}
    row.meant = known
    cells = {"extra": random.choice(["", "x", "9"])}
    number = random.choice(["0001", "7", "0", "false", "13800138000"])
    cells["phone"] = random.choice([number, f'="{number}"', f" {number} "])
    known["identifiers"]["phone"] = number
    if random.random() < 0.7:
        cells["m"] = random.choice(["0", "false", "42", "M-1"])
        known["identifiers"]["member_id"] = f"shop1-{cells['m']}"
    else:
        cells["m"] = random.choice([*NULLS, "NULL", "1.38E+10", "n/a"])
        if style.encoding != "windows-1252" and random.random() < 0.2:
            cells["m"] = "无"
    for column in ("amount", "count"):
        cells[column] = _number_cell(random, style, row, column)
    cells["city"] = random.choice(WESTERN if style.encoding == "windows-1252" else NAMES)
    if style.encoding == "gb18030" and random.random() < 0.3:
        cells["city"] = random.choice(["一", "码", "北京"])
    known["properties"]["city"] = cells["city"]
    cells["note"] = random.choice([*NOTES, *NULLS])
    if cells["note"].strip() and cells["note"] not in NULLS:
        known["properties"]["note"] = cells["note"].replace("\n", style.end)
    cells["at"] = _time_cell(random, style, row)
    return cells


def _number_cell(random: Random, style: _Style, row: KnownRow, column: str) -> str:
    """Return a number as the style writes it."""
    if random.random() < 0.15:
        return random.choice(NULLS)
    if random.random() < 0.1:
        row.must_fail = True
        wrong = ["x", "1_000", "1e400", "12.5.6", "1,2,3,", "nan", "¥5", "12%", "(5)", "1e-999"]
        return random.choice(wrong)
    places = 0 if column == "count" else random.choice([0, 1, 2])
    value = Decimal(random.choice([0, 5, 12, 999, 1234, 12345, 1234567, -8])).scaleb(-places)
    whole, _, fraction = f"{abs(value):f}".partition(".")
    grouped = whole
    if style.thousands and len(whole) > 3 and random.random() < 0.7:
        grouped = f"{int(whole):,}".replace(",", style.thousands)
    text = grouped + (style.decimal + fraction if fraction else "")
    is_plain = grouped == whole and not (fraction and style.decimal != ".")
    if not is_plain and not style.is_stated:
        row.must_fail = True
    row.meant["properties"][column] = int(value) if column == "count" else float(value)
    text = "-" + text if value < 0 else text
    is_wide = style.encoding != "windows-1252" and random.random() < 0.1
    return text.translate(_WIDE) if is_wide else text


def _time_cell(random: Random, style: _Style, row: KnownRow) -> str:
    if random.random() < 0.2:
        return random.choice(NULLS)
    local = datetime(
        2026, random.randrange(1, 13), random.randrange(1, 28), random.randrange(24), 5
    )
    text = local.isoformat(sep=random.choice("T "))
    zone = style.zone
    if random.random() < 0.3:
        zone = random.choice(["+02:00", "Z", "-11:00"])
        text += zone
    if not zone:
        row.must_fail = True
        return text
    offset = timedelta() if zone in ("Z", "UTC") else _offset(zone)
    instant = local.replace(tzinfo=timezone(offset))
    row.meant["time"] = int(instant.timestamp()) * 1_000_000
    return text


def _offset(zone: str) -> timedelta:
    hours, minutes = zone[1:].split(":")
    span = timedelta(hours=int(hours), minutes=int(minutes))
    return -span if zone[0] == "-" else span


def _quoted(random: Random, style: _Style, cell: str) -> str:
    needs = any(sign in cell for sign in (style.delimiter, "\n", "\r")) or cell.startswith('"')
    needs = needs or (cell.lstrip(" ").startswith('"')) or '"' in cell
    if cell.startswith('="') and random.random() < 0.5:
        return cell
    if needs or random.random() < 0.2:
        return '"' + cell.replace('"', '""') + '"'
    return cell


def _json_file(random: Random) -> KnownFile:
    mapping = {
        "event": "paid",
        "identifiers": {"member_id": {"column": "who.id"}, "phone": {"column": "phone"}},
        "time": {"column": "at", "format": random.choice(["epoch_s", "epoch_ms"])},
        "properties": {"amount": {"column": "amount"}, "city": {"column": "city"}},
    }
    file = KnownFile(".jsonl", mapping)
    encoding = random.choice(["utf-8", "utf-8-sig", "utf-16"])
    parts = []
    for number in range(1, random.randrange(2, 7)):
        row, text = _json_line(random, number, mapping["time"]["format"])
        file.rows.append(row)
        raw = (text + random.choice(["\n", "\r\n"])).encode(
            encoding if number == 1 else {"utf-16": "utf-16-le"}.get(encoding, "utf-8")
        )
        if encoding != "utf-16" and random.random() < 0.1:
            row.must_fail = True
            file.may_fail = True
            raw = raw.replace(b'"', b'"\xff', 1)
        parts.append(raw)
    file.raw = b"".join(parts)
    return file


def _json_line(random: Random, number: int, unit: str) -> tuple[KnownRow, str]:
    city, amount = random.choice(NAMES), random.choice([0, 12.5, -3, 1e300, 10**15, False])
    at = random.choice([1_795_221_000, 1_795_221_000 * 1_000_000, 0, -1])
    row = KnownRow(number, {"identifiers": {"phone": "13800138000"}, "time": 0, "properties": {}})
    row.meant["properties"] = {"amount": amount, "city": city}
    us = at * (1_000_000 if unit == "epoch_s" else 1_000)
    row.must_fail = us > 253_402_300_799_999_999
    row.meant["time"] = us or 1
    document: dict[str, Any] = {"phone": 13800138000, "amount": amount, "city": city, "at": at}
    if random.random() < 0.6:
        document["who"] = random.choice([{"id": "m-1"}, {"id": 7}, {"id": None}, {}, None, [1]])
        found = document["who"].get("id") if isinstance(document["who"], dict) else None
        if found is not None:
            row.meant["identifiers"]["member_id"] = str(found)
    text = json.dumps(document, ensure_ascii=random.random() < 0.5)
    mistakes: list[Callable[[str], str]] = [
        lambda t: t.replace(f'"at": {at}', '"at": 1e400'),
        lambda t: t[:-1] + ', "x": "a\\ud83d"}',
        lambda t: t[:-1] + ', "city": "other"}',
        lambda t: t[:-1] + ', "x": NaN}',
        lambda t: t[:-1],
        lambda t: f"[{t}]",
        lambda t: t[:-1] + ', "x": ' + "[" * 100_000 + "}",
    ]
    if random.random() < 0.3:
        text, row.must_fail = random.choice(mistakes)(text), True
    return row, text
