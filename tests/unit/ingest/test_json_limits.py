"""Tests the limits of the JSON objects of an event."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.ingest.domain.events import Refusal
from services.ingest.domain.json_limits import (
    MAX_BYTES,
    MAX_DEPTH,
    MAX_KEYS,
    _is_suspicious,
    _walk,
    decode_documents,
)


def refusal_of(properties: bytes, traits: bytes, context: bytes) -> Refusal | None:
    outcome = decode_documents(properties, traits, context)
    return outcome if isinstance(outcome, Refusal) else None


def reason(document: bytes) -> str | None:
    refusal = refusal_of(document, b"", b"")
    return refusal.reason if refusal else None


def nested(depth: int, opened: bytes = b'{"a":', closed: bytes = b"}") -> bytes:
    return opened * (depth - 1) + b"{}" + closed * (depth - 1)


@pytest.mark.parametrize(
    "good",
    [
        b"",
        b"{}",
        b"  {\n}\n",
        '{"名字":"李雷 😀 ‏عربي"}'.encode(),
        b'{"a":"\\ud83d\\ude00"}',
        b'{"a":"\\\\u0000 is text"}',
        b'{"a":9223372036854775807,"b":-9223372036854775808,"c":1e308,"d":1e-999}',
        b'{"sku":"1e99999","uuid":"0e0000e0-0000-4000-8000-000000000000"}',
        b'{"a":1,"a":2}',
        nested(MAX_DEPTH),
        json.dumps({f"k{n}": n for n in range(MAX_KEYS)}).encode(),
        json.dumps({"a": [{"b": n} for n in range(400)]}).encode(),
    ],
)
def test_document_within_the_limits_is_accepted(good: bytes) -> None:
    assert reason(good) is None


@pytest.mark.parametrize(
    ("bad", "why"),
    [
        (b"{", "JSON_INVALID"),
        (b"\xef\xbb\xbf{}", "JSON_INVALID"),
        (b'{"a":"\xff"}', "JSON_INVALID"),
        (b'{"a":1}{', "JSON_INVALID"),
        (b"[]", "VALUE_INVALID"),
        (b'"text"', "VALUE_INVALID"),
        (b"null", "VALUE_INVALID"),
        (b'{"a":NaN}', "VALUE_INVALID"),
        (b'{"a":[1,-Infinity]}', "VALUE_INVALID"),
        (b'{"a":"\\u0000"}', "VALUE_INVALID"),
        (b'{"\\u0000":1}', "VALUE_INVALID"),
        (b'{"a":[{"b":"x\\u0000"}]}', "VALUE_INVALID"),
        (b'{"a":"\0"}', "VALUE_INVALID"),
        (b'{"a":"\\ud800"}', "VALUE_INVALID"),
        (b'{"a":"\\udc00 x"}', "VALUE_INVALID"),
        (b'{"a":1e999}', "VALUE_INVALID"),
        (b'{"a":-1E+400}', "VALUE_INVALID"),
        (b'{"a":9223372036854775809}', "VALUE_INVALID"),
        (b'{"a":' + b"9" * 5000 + b"}", "VALUE_INVALID"),
        (nested(MAX_DEPTH + 1), "PROPERTIES_TOO_LARGE"),
        (nested(3000), "PROPERTIES_TOO_LARGE"),
        (b'{"a":' + b"[" * 3000 + b"]" * 3000 + b"}", "PROPERTIES_TOO_LARGE"),
        (json.dumps({f"k{n}": n for n in range(MAX_KEYS + 1)}).encode(), "PROPERTIES_TOO_LARGE"),
        (b'{"a":"' + b"x" * MAX_BYTES + b'"}', "PROPERTIES_TOO_LARGE"),
    ],
)
def test_document_beyond_a_limit_is_refused(bad: bytes, why: str) -> None:
    assert reason(bad) == why


def test_refusal_names_the_field() -> None:
    refusal = refusal_of(b'{"a":1}', b"", b'{"a":1e999}')
    assert refusal is not None
    assert refusal.field == "context"


numbers = st.one_of(st.integers(-(2**70), 2**70), st.floats(allow_nan=False, allow_infinity=False))
values: st.SearchStrategy[Any] = st.recursive(
    st.one_of(st.none(), st.booleans(), numbers, st.text(max_size=8)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=4), inner, max_size=3)
    ),
    max_leaves=12,
)


@given(value=st.dictionaries(st.text(max_size=4), values, max_size=4), ascii_only=st.booleans())
def test_scan_suspects_every_document_that_the_walk_refuses(
    value: dict[str, Any], ascii_only: bool
) -> None:
    """The fast scan may raise false alarms, but never miss a document."""
    document = json.dumps(value, ensure_ascii=ascii_only).encode()
    assert _is_suspicious(document) or _walk("properties", document) is None


@given(
    st.one_of(st.binary(max_size=60), st.dictionaries(st.text(max_size=4), values, max_size=4)),
    st.binary(max_size=3),
)
def test_any_bytes_are_accepted_or_refused(content: bytes | dict[str, Any], more: bytes) -> None:
    document = content if isinstance(content, bytes) else json.dumps(content).encode()
    for each in (document, document + more):
        refusal = refusal_of(each, b"", b"")
        assert refusal is not None or not each or isinstance(json.loads(each), dict)
