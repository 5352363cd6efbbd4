"""Finds the encoding of a file: its mark, else what the mapping says, else UTF-8."""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from services.cli.files.lines import read_bytes, split_lines
from services.kernel.errors import InvalidField

#: The marks at the start of a file, the longer ones first.
_MARKS = (
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
    (b"\x84\x31\x95\x33", "gb18030"),
)
#: The encodings of files, by Python's name; a superset or a byte order replaces some of them.
_REPLACED = {
    "gb2312": "gb18030",
    "gbk": "gb18030",
    "utf-8-sig": "utf-8",
    "utf-16": "utf-16-le",
    "utf-32": "utf-32-le",
    "shift_jis": "cp932",
    "euc_kr": "cp949",
}
_SINGLE_BYTE = frozenset(
    {
        *(f"cp{number}" for number in range(1250, 1259)),
        *(f"iso8859-{number}" for number in range(1, 17)),
        *("cp437", "cp850", "cp852", "cp858", "cp866", "cp874", "koi8-r", "koi8-u"),
        *("mac-roman", "mac-cyrillic", "tis-620", "ascii"),
    }
)
_KNOWN = _SINGLE_BYTE | {
    *("utf-8", "utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be"),
    *("gb18030", "big5", "big5hkscs", "cp950", "cp932", "euc_jp", "cp949", "johab"),
}
#: Letters beside those that they have in words: Latin ones, or three of another alphabet.
_WORD = re.compile("[A-Za-z][\u00c0-\u024f]|[\u00c0-\u024f][a-z]|[\u0370-\u07ff]{3}")
#: A line that is UTF-8 beyond chance outweighs so many lines that are not.
_STRONG = 10
_ADVICE = (
    "save the file as UTF-8, or write its encoding into the mapping, such as `encoding: gb18030` "
    "or `encoding: windows-1252`"
)


class FileEncoding(NamedTuple):
    """The encoding of a file, by Python's name."""

    name: str
    #: What decided it, as a part of a sentence.
    origin: str

    def __str__(self) -> str:
        return f"{self.name}, by {self.origin}"


class Utf8Evidence(NamedTuple):
    """The numbers of lines with other characters than ASCII."""

    #: UTF-8 with characters of three or four bytes, or with words: hardly ever so by chance.
    strong: int = 0
    #: Other UTF-8: single characters of two bytes, as which short text of GB 18030 can be read.
    weak: int = 0
    invalid: int = 0
    #: The number of the first invalid line; 0 = there is none.
    first_invalid: int = 0


def find_encoding(file: Path, named: str) -> FileEncoding:
    """Return the encoding of a file; `named` is that of the mapping, empty = it names none.

    Raises InvalidField where the file contradicts the mapping, or is not UTF-8 though the mapping
    names no encoding, so that the letters of a line could be others; and OSError.
    """
    stated = resolve_encoding(named) if named else ""
    with file.open("rb") as opened:
        start = opened.read(4)
    for mark, name in _MARKS:
        if start.startswith(mark):
            return FileEncoding(name, "the mark at its start")
    if stated.startswith(("utf-16", "utf-32")):
        return FileEncoding(stated, "the mapping")
    evidence = find_evidence(split_lines(read_bytes(file, "utf-8")))
    if stated and stated != "utf-8":
        if contradicts(stated, evidence):
            raise InvalidField(
                f"the mapping says `encoding: {named}`, but the file is UTF-8: remove `encoding`",
                field="encoding",
            )
        return FileEncoding(stated, "the mapping")
    if not stated and is_doubtful(evidence):
        raise InvalidField(
            f"the file is not UTF-8: line {evidence.first_invalid} is not, and others may be so by "
            f"chance; {_ADVICE}; with `encoding: utf-8` only the lines that are not are rejected",
            field="encoding",
        )
    return FileEncoding("utf-8", "the mapping" if stated else "default")


def undecodable(encoding: FileEncoding) -> str:
    """Return why a line with a stray byte is rejected, and what to do."""
    if encoding.name == "utf-8":
        return f"the line is not UTF-8: {_ADVICE}"
    return f"the line is not in the encoding of the file, which is {encoding}"


def resolve_encoding(name: str) -> str:
    """Return Python's name of an encoding of files. Raises InvalidField."""
    try:
        found = codecs.lookup(name.strip()).name
    except (LookupError, ValueError):
        found = ""
    found = _REPLACED.get(found, found)
    if found not in _KNOWN:
        raise InvalidField(
            f"{name!r} is not an encoding of files; write one such as utf-8, gb18030, big5, "
            "windows-1252 or utf-16-le",
            field="encoding",
        )
    return found


def find_evidence(lines: Iterable[bytes | None]) -> Utf8Evidence:
    """Count the lines of a file by what they say for UTF-8."""
    strong = weak = invalid = first_invalid = 0
    for number, line in enumerate(lines, 1):
        if line is None or line.isascii():
            continue
        try:
            text = line.decode("utf-8")
        except UnicodeDecodeError:
            invalid += 1
            first_invalid = first_invalid or number
        else:
            is_strong = max(text) >= "\u0800" or _WORD.search(text) is not None
            strong += is_strong
            weak += not is_strong
    return Utf8Evidence(strong, weak, invalid, first_invalid)


def contradicts(stated: str, evidence: Utf8Evidence) -> bool:
    """Return whether most lines are UTF-8, and not of the encoding that is stated."""
    weak = evidence.weak if stated in _SINGLE_BYTE else 0
    return evidence.strong + weak > evidence.invalid


def is_doubtful(evidence: Utf8Evidence) -> bool:
    """Return whether the lines that are UTF-8 may be so by chance."""
    if not evidence.strong:
        return bool(evidence.weak and evidence.invalid)
    return evidence.invalid >= _STRONG * evidence.strong + evidence.weak
