"""Brings texts into one form of width, blanks and invisible characters."""

from __future__ import annotations

import re
import unicodedata
from typing import Final

_BLANKS: Final = re.compile(r"\s+")
#: Dashes and signs that NFKC does not replace with the minus of ASCII.
_SIGNS: Final = str.maketrans({"\u2212": "-", "\u2010": "-", "\u2011": "-", "\u2013": "-"})


def plain_text(value: str) -> str:
    """Return a text in NFKC: one blank between words, none around, no control or format character.

    Full-width digits, letters and signs become those of ASCII.
    """
    if value.isascii() and value.isprintable() and "  " not in value:
        return value.strip()
    text = unicodedata.normalize("NFKC", value)
    text = "".join(c for c in text if unicodedata.category(c) not in ("Cc", "Cf") or c.isspace())
    return _BLANKS.sub(" ", unicodedata.normalize("NFKC", text).translate(_SIGNS)).strip()


def has_other_digits(text: str) -> bool:
    """Return whether a text has raised or circled digits or fractions: NFKC makes `10²` `102`."""
    return not text.isascii() and any(unicodedata.category(c) == "No" for c in text)
