"""YAML of users is read as the values that stand there."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from properties import examples

from services.cli import output
from services.kernel.errors import InvalidField
from services.kernel.printable import needs_quotes
from services.kernel.yaml_documents import MAX_BYTES, MAX_DEPTH, parse_document, parse_yaml

#: Ten aliases of ten aliases each: ten billion values in 300 bytes.
BOMB = "a: &a [x,x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"{name}: &{name} [{','.join([f'*{before}'] * 10)}]\n"
    for before, name in zip("abcdefgh", "bcdefghi", strict=True)
)


def error_of(text: str | bytes) -> str:
    with pytest.raises(InvalidField) as caught:
        parse_yaml(text.encode() if isinstance(text, str) else text)
    return caught.value.message


@pytest.mark.parametrize(
    ("scalar", "value"),
    [
        *(("NO", "NO"), ("on", "on"), ("yes", "yes"), ("off", "off"), ("y", "y")),
        *(("0777", "0777"), ("1:20", "1:20"), ("190:20:30", "190:20:30"), ("1_000", "1_000")),
        *(("2026-11-21", "2026-11-21"), (".inf", ".inf"), ("0x1f", "0x1f"), ("0o17", "0o17")),
        *(("true", True), ("FALSE", False), ("null", None), ("~", None), ("", None)),
        *(("0", 0), ("-12", -12), ("+3", 3), ("1.5", 1.5), ("-2e3", -2000.0), ("'7'", "7")),
        *(("=", "="), ("<<", "<<"), ('"\\u4e0a"', "上")),
    ],
)
def test_a_plain_scalar_is_read_as_json_reads_it_and_otherwise_as_a_text(
    scalar: str, value: object
) -> None:
    assert parse_yaml(f"key: {scalar}\n".encode()) == {"key": value}


def test_keys_are_texts_as_they_are_written() -> None:
    assert parse_yaml(b"on: 1\ntrue: 2\n7: 3\n") == {"on": 1, "true": 2, "7": 3}


@pytest.mark.parametrize("text", [BOMB, "a: &x 1\n", "a: [*x]\n", "<<: *base\n", "- &a [*a]\n"])
def test_anchors_and_aliases_are_refused_with_their_line(text: str) -> None:
    assert "line 1" in error_of(text)
    assert "write the value where it is used" in error_of(text)


def test_a_key_written_twice_is_refused_with_its_line() -> None:
    text = "sources:\n  - id: web\n    title: Web\n    id: app\n"
    assert error_of(text) == "line 4, column 5: the key 'id' is written twice"


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("a: !!python/object/apply:os.system [ls]\n", "tags are not read"),
        ("a: !!binary aGVsbG8=\n", "tags are not read"),
        ("[" * (MAX_DEPTH + 1), f"nested deeper than {MAX_DEPTH} levels"),
        ("[" * 500_000, "nested deeper"),
        ("- " * 200_000, "nested deeper"),
        ("? [a]\n: 1\n", "a key is a text"),
        ("a: 1\n---\nb: 2\n", "line 2"),
        ("a: [1\n", "this is not YAML"),
        ("a: \x07\n", "this is not YAML"),
        (b"a: 1\nb: \xff\n", "line 2: the file is not UTF-8"),
        ("a: " + "9" * 5_000, "the number is too large"),
        ("a: 1e999", "the number is too large"),
        (b"#" * (MAX_BYTES + 1), "split it"),
    ],
)
def test_a_document_that_is_not_plain_values_is_refused(text: str | bytes, problem: str) -> None:
    assert problem in error_of(text)


VALUES: Any = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.sampled_from(["NO", "on", "1e3", "0777", "1:20", "~", "", "\u202e", "a\u200b", "\x1b[2J"])
    | st.text(st.characters(exclude_categories=("Cs",)), max_size=20),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text("ab\u202e1\x07", max_size=4), inner, max_size=4)
    ),
    max_leaves=12,
)


@examples(400)
@given(value=VALUES)
def test_printed_yaml_is_harmless_and_is_read_as_the_same_value(value: object) -> None:
    document = output.format_yaml(value)
    assert all(c == "\n" or not needs_quotes(c) for c in document)
    assert parse_yaml(document.encode()) == value


@pytest.mark.parametrize(
    ("path", "line"),
    [
        *(("tags", 1), ("tags[0].id", 2), ("tags[0].rule.all[1].x", 6), ("tags[1]", 7)),
        *(("tags[0].rule.where.a.b", 4), ("tags[0].rule.where.a.b.c", 4), ("tags[9].id", 1)),
        *(("tags[0].rule.nothing", 3), ("unknown", 0), ("", 0), ("tags[x", 1)),
    ],
)
def test_line_of_a_path_is_that_of_the_innermost_part_that_it_reaches(path: str, line: int) -> None:
    text = "tags:\n- id: a\n  rule:\n    where: {a.b: 1}\n    all: [1,\n      {x: 2}]\n- 3\n"
    assert parse_document(text.encode()).line_of(path) == line


def test_empty_document_has_no_lines() -> None:
    assert parse_document(b"").line_of("a") == 0
