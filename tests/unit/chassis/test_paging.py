"""Page sizes have bounds, and page tokens name the place where the next page begins."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from services.chassis.codec.fields import PageToken, page_size_of
from services.kernel.errors import InvalidField

TOKEN = PageToken("q16s")


@pytest.mark.parametrize(("requested", "size"), [(0, 50), (1, 1), (1_000, 1_000)])
def test_page_size_within_the_bounds_is_taken(requested: int, size: int) -> None:
    assert page_size_of(SimpleNamespace(page_size=requested)) == size


def test_page_size_above_the_maximum_raises_invalid_field() -> None:
    with pytest.raises(InvalidField, match="at most 1000") as caught:
        page_size_of(SimpleNamespace(page_size=1_001))
    assert caught.value.field == "page_size"


@given(st.integers(-(2**63), 2**63 - 1), st.binary(min_size=16, max_size=16))
def test_page_token_decoded_returns_the_encoded_key(at_us: int, id_: bytes) -> None:
    text = TOKEN.encode(at_us, id_)
    assert TOKEN.decode(text) == (at_us, id_)
    assert text.isascii()
    assert text.replace("-", "").replace("_", "").isalnum()


def test_empty_page_token_decodes_to_the_beginning() -> None:
    assert TOKEN.decode("") is None


@given(st.text(min_size=1))
@example("A" * 31)
@example("?" * 32)
@example("é" * 32)
@example(PageToken("16s").encode(bytes(16)))
def test_text_that_is_no_page_token_raises_invalid_field(text: str) -> None:
    key, field = None, ""
    try:
        key = TOKEN.decode(text)
    except InvalidField as error:
        field = error.field
    if key is None:
        assert field == "page_token"
    else:
        assert TOKEN.decode(TOKEN.encode(*key)) == key
