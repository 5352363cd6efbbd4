"""Removes invisible characters from values, and recognises numbers that a spreadsheet has changed.

Phones, chats and spreadsheets put marks of direction, zero-width characters and special spaces
into what people copy. They are no part of an identifier.
"""

from __future__ import annotations

import re
import unicodedata

#: Soft hyphens, marks of direction, zero-width spaces, invisible operators, fillers.
_HIDDEN = dict.fromkeys(
    (
        *(0x00AD, 0x034F, 0x061C, 0x115F, 0x1160, 0x17B4, 0x17B5, 0x180E, 0x200B, 0x200E, 0x200F),
        *range(0x202A, 0x202F),
        *range(0x2060, 0x2070),
        *(0x3164, 0xFEFF, 0xFFA0),
        *range(0xFFF9, 0xFFFC),
    )
)
#: Joiners and selectors of variants change how their neighbours look, in some scripts and in emoji;
#: beside a character of ASCII they change nothing.
_IDLE_JOINERS = re.compile(
    r"(?<![^\x00-\x7f])[\u200c\u200d]++|(?<![\u200c\u200d])[\u200c\u200d]++(?![^\x00-\x7f])"
    r"|(?<=[\x00-\x7f])[\ufe00-\ufe0f]+"
)
_NO_JOINERS = str.maketrans("", "", "\u200c\u200d")
#: A number with decimals, as a floating-point column writes a long integer.
_DECIMALS = re.compile(r"([ ()/-]*\+?[0-9][0-9 ()/-]{6,})\.([0-9]{1,2}|0{3,})[ ()/-]*")
#: 1.38E+10, of which only the first digits are known.
_SCIENTIFIC = re.compile(
    r"[+-]?[0-9](?:[.,][0-9]{1,20}e\+?|e\+)[0-9]{1,3}", re.IGNORECASE | re.ASCII
)


def tidy(value: str) -> str | None:
    """Return a value without outer spaces, hidden characters, and the differences that Unicode
    calls compatible, such as width; None where it has control characters inside."""
    if value.isascii():
        tidied = value.strip()
        return tidied if tidied.isprintable() else None
    tidied = unicodedata.normalize("NFKC", value.translate(_HIDDEN))
    if _IDLE_JOINERS.search(tidied):
        tidied = unicodedata.normalize("NFKC", _IDLE_JOINERS.sub("", tidied))
    tidied = tidied.translate(_HIDDEN).strip()
    return tidied if tidied.translate(_NO_JOINERS).isprintable() else None


def without_decimals(value: str) -> str | None:
    """Return a value as it is, or the integer of one such as `4930123456.0`.

    None where the integer is not certain: then its digits would be another identifier.
    """
    written = _DECIMALS.fullmatch(value)
    if written is None:
        return value
    return written[1] if written[2] in {"0", "00"} else None


def is_scientific(value: str) -> bool:
    """Return whether a value is a number with an exponent, whose last digits are lost."""
    return _SCIENTIFIC.fullmatch(value) is not None
