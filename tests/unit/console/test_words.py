"""Tests that every value which the console's screens write as a word has one in Chinese."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

SOURCES = Path(__file__).parents[3] / "services/console/web/src"
#: A value and its prefix, such as `word(row.state, "DELIVERY_STATE_", i18n.language)`.
CALL = re.compile(r'word\([^;]*?"([A-Z_]+_)"')
ENUM = re.compile(r'^ +"[a-z0-9.]+\.v1\.\w+": ("[A-Z_]+"(?: \| "[A-Z0-9_]+")+);$', re.MULTILINE)
PREFIXES = sorted(
    {prefix for file in SOURCES.rglob("*.tsx") for prefix in CALL.findall(file.read_text("utf-8"))}
)


def values_of(prefix: str) -> set[str]:
    """Return the values of the enum with a prefix, without the one that says nothing."""
    schema = (SOURCES / "api/schema.d.ts").read_text("utf-8")
    enums = [set(re.findall(r'"(\w+)"', values)) for values in ENUM.findall(schema)]
    nothing = f"{prefix}UNSPECIFIED"
    return set().union(*(values - {nothing} for values in enums if nothing in values))


@pytest.mark.parametrize("prefix", PREFIXES)
def test_every_value_that_is_written_as_a_word_has_one_in_chinese(prefix: str) -> None:
    words = set(re.findall(r"^  (\w+): ", (SOURCES / "words.ts").read_text("utf-8"), re.MULTILINE))
    assert any(word.startswith(prefix) for word in words)
    assert values_of(prefix) <= words
