"""Splits a file into lines, each of which is decoded on its own."""

from __future__ import annotations

import codecs
import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

#: The longest line, bytes.
MAX_LINE = 4 << 20
#: Why a line with a NUL is rejected: every other byte of Latin text in UTF-16 is one.
NUL = "the line has a NUL character: remove it, or write `encoding: utf-16-le` into the mapping"
_READ_SIZE = 1 << 20
_STRAY = "onefold-stray"
_C1 = re.compile("[\x80-\x9f]")


class Line(NamedTuple):
    """One line of a file."""

    #: Counted from 1.
    number: int
    #: Without its end. Characters that cannot be decoded are replaced.
    text: str
    #: `\\n`, `\\r\\n`, `\\r`, or empty at the end of the file.
    end: str = ""
    #: Why the line cannot be used; empty = it can.
    error: str = ""


def decode_lines(lines: Iterable[bytes | None], encoding: str, error: str) -> Iterator[Line]:
    """Decode each line; one with a stray byte gets `error` and leaves the others as they are.

    A wide encoding has been replaced by UTF-8 by then. A mark at the start of a line is removed:
    it is left where files were joined.
    """
    decode = _decoder("utf-8" if _is_wide(encoding) else encoding)
    for number, line in enumerate(lines, 1):
        if line is None:
            yield Line(number, "", "", f"the line has more than {MAX_LINE:,} bytes")
            continue
        text, is_whole = decode(line)
        content = text.rstrip("\r\n") if text[-1:] in "\r\n" else text
        end = text[len(content) :]
        content = content.removeprefix("\ufeff")
        problem = error
        if is_whole:
            problem = NUL if "\0" in content else ""
        yield Line(number, content, end, problem)


def read_bytes(file: Path, encoding: str) -> Iterator[bytes]:
    """Yield the bytes of a file; those of a wide encoding as UTF-8. Raises OSError."""
    transcode = _transcoder(encoding) if _is_wide(encoding) else None
    with file.open("rb") as raw:
        while part := raw.read(_READ_SIZE):
            yield transcode(part, False) if transcode else part
    if transcode:
        yield transcode(b"", True)


def split_lines(parts: Iterable[bytes]) -> Iterator[bytes | None]:
    """Yield the lines with their ends; None for one of more than MAX_LINE bytes."""
    rest, is_skipping = b"", False
    for part in parts:
        lines = (rest + part).splitlines(keepends=True)
        # An end of `\r` may be the first half of `\r\n`.
        rest = lines.pop() if lines and not lines[-1].endswith(b"\n") else b""
        for line in lines:
            yield None if is_skipping or len(line) > MAX_LINE else line
            is_skipping = False
        if len(rest) > MAX_LINE and not rest.endswith(b"\r"):
            rest, is_skipping = b"", True
    if rest or is_skipping:
        yield None if is_skipping or len(rest) > MAX_LINE else rest


def _is_wide(encoding: str) -> bool:
    return encoding.startswith(("utf-16", "utf-32"))


def _decoder(encoding: str) -> Callable[[bytes], tuple[str, bool]]:
    # What Latin encodings call control characters are letters of Windows.
    has_c1 = encoding.startswith("iso8859")

    def decode(line: bytes) -> tuple[str, bool]:
        try:
            text = line.decode(encoding)
        except UnicodeDecodeError:
            return line.decode(encoding, "replace"), False
        return text, not (has_c1 and _C1.search(text))

    return decode


def _transcoder(encoding: str) -> Callable[[bytes, bool], bytes]:
    decoder = codecs.getincrementaldecoder(encoding)(errors=_STRAY)
    return lambda part, final: decoder.decode(part, final).encode("utf-8", "surrogatepass")


def _mark_stray(error: UnicodeError) -> tuple[str, int]:
    """Replace what cannot be decoded by half a character, which is no UTF-8."""
    if not isinstance(error, UnicodeDecodeError):
        raise error
    return "\udcff", error.end


codecs.register_error(_STRAY, _mark_stray)
