"""Reads how a person came from an event: the campaign, and the id of the click on an ad.

The context names the campaign as SDKs of the Segment specification read it. Otherwise it is in the
properties, or in the query of the address of the page.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final
from urllib.parse import parse_qsl

import msgspec

MAX_VALUE: Final = 200
#: Of a longer query the rest is not read, and a query of more parameters is not read at all.
_MAX_QUERY: Final = 8_192
_MAX_PARAMETERS: Final = 200
#: The members of a touch, by the parameter that has them.
_CAMPAIGN: Final = {
    "utm_source": "source",
    "utm_medium": "medium",
    "utm_campaign": "name",
    "utm_term": "term",
    "utm_content": "content",
}
#: The parameters of ad platforms, in the order in which one is chosen.
_CLICK_IDS: Final = (
    *("gclid", "wbraid", "gbraid", "dclid", "msclkid", "fbclid", "ttclid", "twclid", "li_fat_id"),
    *("bd_vid", "gdt_vid", "qz_gdt"),
)
#: Parameters that mean an ad click in an address, and anything else in properties.
_CLICK_IDS_OF_ADDRESSES: Final = (*_CLICK_IDS, "clickid", "click_id")
_PROPERTIES: Final = frozenset((*_CAMPAIGN, *_CLICK_IDS))
#: Whether a query may have a parameter of a touch.
_IN_QUERY: Final = re.compile("|".join((*_CAMPAIGN, *_CLICK_IDS_OF_ADDRESSES)))

_encode = msgspec.json.Encoder(order="deterministic").encode


def touch_of(properties: Any, context: Any) -> bytes:
    """Return how the person came, as a JSON object of texts; empty if the event does not say.

    `properties` and `context` are the decoded documents of the event. Equal touches have equal
    bytes. A value is cut after MAX_VALUE characters.
    """
    if not properties and not context:
        return b""
    touch: dict[str, str] = {}
    campaign = context.get("campaign")
    if type(campaign) is dict:
        _add(touch, {member: campaign.get(member) for member in _CAMPAIGN.values()})
    for place in (properties, context):
        if not _PROPERTIES.isdisjoint(place):
            _add(touch, _members(place, _CLICK_IDS))
    for query in _queries(properties, context):
        _add(touch, _members(_parameters(query), _CLICK_IDS_OF_ADDRESSES))
    return _encode(touch) if touch else b""


def _add(touch: dict[str, str], members: Mapping[str, Any]) -> None:
    """Add the members that have a value and that the touch lacks."""
    for member, value in members.items():
        text = _text(value)
        if text:
            touch.setdefault(member, text)


def _text(value: Any) -> str:
    if type(value) is int:
        value = str(value)
    return value.strip()[:MAX_VALUE] if type(value) is str else ""


def _members(parameters: Mapping[str, Any], click_ids: tuple[str, ...]) -> dict[str, Any]:
    members = {member: parameters.get(name) for name, member in _CAMPAIGN.items()}
    for name in click_ids:
        click_id = _text(parameters.get(name))
        if click_id:
            return members | {"click_id": click_id, "click_id_type": name}
    return members


def _queries(properties: Any, context: Any) -> Iterator[str]:
    """Yield the queries of the page's address that may have a parameter of a touch."""
    for place in (context.get("page"), properties):
        if type(place) is not dict:
            continue
        for address in (place.get("url"), place.get("search")):
            if type(address) is str and _may_have_touch(address):
                _, mark, query = address.partition("?")
                yield (query if mark else address).partition("#")[0][:_MAX_QUERY]


def _may_have_touch(address: str) -> bool:
    # Each parameter has one of these parts, which are found faster than by the expression.
    if "utm_" not in address and "id=" not in address and "_gdt=" not in address:
        return False
    return _IN_QUERY.search(address) is not None


def _parameters(query: str) -> dict[str, str]:
    """Return the parameters of a query, of a repeated one the first."""
    try:
        pairs = parse_qsl(query, max_num_fields=_MAX_PARAMETERS, errors="ignore")
    except ValueError:  # too many
        return {}
    return {name: value.replace("\0", "") for name, value in reversed(pairs)}
