"""How a person came is read from the context, the properties and the address of the page."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.ingest.domain.touches import _IN_QUERY, MAX_VALUE, touch_of


def touch(properties: Any = None, context: Any = None) -> dict[str, str]:
    found = touch_of(properties or {}, context or {})
    return json.loads(found) if found else {}


def test_campaign_of_the_context_is_read() -> None:
    campaign = {"source": "baidu", "medium": "cpc", "name": "spring", "term": "ai", "content": "a"}
    assert touch(context={"campaign": campaign | {"other": "x"}}) == campaign


@pytest.mark.parametrize("key", ["url", "search"])
@pytest.mark.parametrize("start", ["https://shop.example/p?", "https://shop.example/#/p?", "?", ""])
def test_query_of_an_address_is_read_as_its_parameters_say(key: str, start: str) -> None:
    query = f"{start}x=1&utm_source=baidu&utm_campaign=%E6%98%A5%E5%AD%A3+2026&bd_vid=99"
    expected = {"source": "baidu", "name": "春季 2026", "click_id": "99", "click_id_type": "bd_vid"}
    assert touch(context={"page": {key: query}}) == expected
    assert touch({key: query}) == expected


def test_fragment_of_an_address_is_no_part_of_its_query() -> None:
    assert touch({"url": "https://shop.example/?gclid=1#end"})["click_id"] == "1"


@pytest.mark.parametrize(
    "name",
    [
        *("gclid", "wbraid", "gbraid", "msclkid", "fbclid", "ttclid"),
        *("bd_vid", "gdt_vid", "qz_gdt", "clickid", "click_id"),
    ],
)
def test_click_id_of_each_platform_is_read(name: str) -> None:
    expected = {"click_id": "a1", "click_id_type": name}
    assert touch({"url": f"https://shop.example/?{name}=a1"}) == expected


def test_properties_name_campaign_and_click_and_not_any_click() -> None:
    assert touch({"utm_medium": "cpc", "gclid": 7}) == {
        "medium": "cpc",
        "click_id": "7",
        "click_id_type": "gclid",
    }
    assert touch({"click_id": "button", "clickid": "button"}) == {}


def test_first_place_that_has_a_member_gives_it() -> None:
    found = touch(
        {"utm_source": "properties", "utm_term": "properties", "gclid": "p"},
        {
            "campaign": {"source": "context"},
            "page": {"search": "?utm_source=page&utm_content=page&fbclid=page"},
        },
    )
    assert found == {
        "source": "context",
        "term": "properties",
        "content": "page",
        "click_id": "p",
        "click_id_type": "gclid",
    }


def test_repeated_parameter_counts_once_and_a_blank_value_not_at_all() -> None:
    assert touch({"url": "?utm_source=a&utm_source=b&utm_term=%20"}) == {"source": "a"}


def test_value_that_is_too_long_is_cut() -> None:
    assert touch({"utm_source": "x" * 500}) == {"source": "x" * MAX_VALUE}


@pytest.mark.parametrize(
    "context",
    [
        *({}, {"campaign": None}, {"campaign": "baidu"}, {"campaign": {"source": ["a"]}}),
        *({"page": "?utm_source=a"}, {"page": {"url": 5}}, {"page": {"url": "utm_source"}}),
        {"page": {"search": "?" + "utm_source=a&" * 300}},
    ],
)
def test_context_without_a_usable_value_is_no_touch(context: Any) -> None:
    assert touch_of({}, context) == b""


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=9),
    lambda part: st.lists(part, max_size=3) | st.dictionaries(st.text(max_size=5), part),
    max_leaves=5,
)
_keys = st.sampled_from(["campaign", "page", "url", "search", "utm_source", "gclid", "source"])
_documents = st.dictionaries(_keys, _json | st.dictionaries(_keys, _json))


@given(_documents, _documents)
def test_touch_of_any_documents_is_an_object_of_texts_in_one_form(
    properties: Any, context: Any
) -> None:
    found = touch_of(properties, context)
    again = touch_of(dict(reversed(properties.items())), dict(reversed(context.items())))
    assert found == again
    members = json.loads(found) if found else {}
    assert all(type(value) is str and 0 < len(value) <= MAX_VALUE for value in members.values())


@pytest.mark.parametrize("name", sorted(_IN_QUERY.pattern.split("|")))
def test_every_parameter_alone_in_an_address_is_found(name: str) -> None:
    assert touch({"url": f"https://shop.example/?{name}=a"}), name
