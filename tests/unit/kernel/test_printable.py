"""Outside text is shown as written, and a terminal carries out nothing of it."""

from __future__ import annotations

import json
import sys
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st
from properties import examples

from services.kernel.printable import printable, printable_json

#: What a terminal carries out or hides: control, format and surrogate characters, separators.
HIDDEN = {"Cc", "Cf", "Cs", "Zl", "Zp"}


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b]52;c;cm0gLXJm\x07", "\\x1b]52;c;cm0gLXJm\\x07"),
        ("\x1b[2J\x9b31m", "\\x1b[2J\\x9b31m"),
        ("a\r\nb\tc\0\x7f", "a\\r\\nb\\tc\\x00\\x7f"),
        ("\u202egnp.exe\u2066x\u2069", "\\u202egnp.exe\\u2066x\\u2069"),
        ("a\u200bb\ufeff\u2028\u2029\u00ad", "a\\u200bb\\ufeff\\u2028\\u2029\\xad"),
        ("\ud800", "\\ud800"),
        ("\U000e0041\u3164", "\\U000e0041\\u3164"),
        ("a\u200db", "a\\u200db"),
        ("\u200d👩", "\\u200d👩"),
    ],
)
def test_a_character_that_is_carried_out_or_hidden_is_escaped(text: str, shown: str) -> None:
    assert printable(text) == shown


@pytest.mark.parametrize(
    "text",
    [
        *("上海市 高意向试听用户", "[bold]x[/x] [link=http://x]y[/link]", ":smile: C:\\temp\\new"),
        *("👩‍👩‍👧‍👦 🏳️‍🌈 👩🏽‍🚀 ❤️‍🔥 🧔‍♂️", "e\u0301 नमस्ते العربية", "100 % – “x”\u3000y\u00a0z"),
    ],
)
def test_a_readable_text_stays_as_it_is(text: str) -> None:
    assert printable(text) == text


@examples(500)
@given(text=st.text() | st.text(st.characters(categories=("Cc", "Cf", "Cs", "So"))))
def test_shown_text_has_no_hidden_character_but_joiners_of_emoji(text: str) -> None:
    hidden = {c for c in printable(text) if unicodedata.category(c) in HIDDEN}
    assert hidden <= {"\u200d"}
    assert printable(printable(text)) == printable(text)


def test_every_hidden_character_of_unicode_is_escaped() -> None:
    for number in range(sys.maxunicode + 1):
        if unicodedata.category(chr(number)) in HIDDEN:
            assert printable(f"a{chr(number)}b").isprintable(), hex(number)


@examples(300)
@given(
    value=st.recursive(
        st.text(st.characters(exclude_categories=("Cs",))) | st.integers(),
        lambda inner: (
            st.lists(inner)
            | st.dictionaries(st.text(st.characters(exclude_categories=("Cs",))), inner)
        ),
    ),
    indent=st.sampled_from([None, 2]),
)
def test_json_keeps_its_value_and_loses_hidden_characters(
    value: object, indent: int | None
) -> None:
    document = printable_json(json.dumps(value, ensure_ascii=False, indent=indent))
    assert json.loads(document) == value
    assert all(c == "\n" or unicodedata.category(c) not in HIDDEN for c in document)
