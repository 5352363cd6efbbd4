"""Writes outside text so that a terminal shows it and does nothing else.

Names, values and errors come from customers and sources. A terminal would carry out their escape
sequences, and would hide or reorder characters between the others. Such characters are replaced by
their visible escapes, as Python and JSON write them; the other characters stay as they are.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable

#: Control, format and surrogate characters, separators of lines and paragraphs.
_HIDDEN = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
#: Letters without a glyph.
_FILLERS = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u3164\uffa0")
_SHORT = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}
_JOINER = "\u200d"
#: Presentation as an emoji, and the colours of skin: they belong to the emoji before them.
_MODIFIERS = "\ufe0f\U0001f3fb\U0001f3fc\U0001f3fd\U0001f3fe\U0001f3ff"


def printable(text: str) -> str:
    r"""Return a text as one line in which every character is visible.

    Control characters, line ends, marks that change the direction of text, zero-width characters
    and lone surrogates become `\x1b`, `\n`, `\u202e`. A zero-width joiner stays between two emoji.
    """
    if text.isascii() and text.isprintable():
        return text
    return "".join(
        letter if _is_visible(letter) or _joins_emoji(text, at) else _escape(letter)
        for at, letter in enumerate(text)
    )


def printable_json(document: str) -> str:
    r"""Return a JSON document of the same value without characters that a terminal may carry out.

    The spaces and line ends between its values stay.
    """
    return _replaced(document, _json_escape)


def printable_yaml(document: str) -> str:
    """Return a YAML document in whose quoted texts such characters are escaped.

    Every text that holds one must be in double quotes, as `needs_quotes` says.
    """
    return _replaced(document, _escape)


def needs_quotes(text: str) -> bool:
    """Return whether a text has characters that are written as escapes."""
    return not all(map(_is_visible, text))


def _replaced(document: str, escape: Callable[[str], str]) -> str:
    if document.isascii() and "\x7f" not in document:
        return document  # in both formats the other control characters are escaped already
    return "".join(c if c == "\n" or _is_visible(c) else escape(c) for c in document)


def _is_visible(letter: str) -> bool:
    return unicodedata.category(letter) not in _HIDDEN and letter not in _FILLERS


def _joins_emoji(text: str, at: int) -> bool:
    """Return whether the character is a joiner between two emoji."""
    if text[at] != _JOINER:
        return False
    before = text[max(0, at - 3) : at].rstrip(_MODIFIERS)
    return _is_emoji(before[-1:]) and _is_emoji(text[at + 1 : at + 2])


def _is_emoji(letter: str) -> bool:
    return letter != "" and unicodedata.category(letter) == "So"


def _escape(letter: str) -> str:
    if letter in _SHORT:
        return _SHORT[letter]
    number = ord(letter)
    if number <= 0xFF:
        return f"\\x{number:02x}"
    return f"\\u{number:04x}" if number <= 0xFFFF else f"\\U{number:08x}"


def _json_escape(letter: str) -> str:
    units = letter.encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[i : i + 2].hex()}" for i in range(0, len(units), 2))
