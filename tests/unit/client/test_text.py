"""Tests the text forms of identifiers and tokens."""

from __future__ import annotations

import pytest
from onefold.type.v1.token_pb2 import Token

from services.client.text import format_identifier, format_token, parse_identifier, parse_token
from services.kernel.errors import InvalidField


def test_identifier_is_written_with_its_namespace() -> None:
    assert format_identifier(parse_identifier("url:https://x.example")) == "url:https://x.example"


def test_identifier_without_namespace_raises_an_error() -> None:
    with pytest.raises(InvalidField, match="write NAMESPACE:VALUE"):
        parse_identifier("u-1")


def test_formatted_token_parses_to_the_same_token() -> None:
    assert format_token(parse_token("4.0.7")) == "4.0.7"


def test_sealed_token_has_a_text_form_of_its_own() -> None:
    token = Token(sealed=bytes(range(250)))
    assert parse_token(format_token(token)) == token


@pytest.mark.parametrize("text", ["now", "", "1.-2", "sealed:?"])
def test_text_that_is_no_token_raises_an_error(text: str) -> None:
    with pytest.raises(InvalidField, match="write a token as the commands print it"):
        parse_token(text)
