"""Bytes that are stored never change: ids, digests, canonical rules and states of leaves."""

from __future__ import annotations

import pytest

from services.kernel.digest import digest_of, row_digest, to_hex
from services.kernel.fold.events import GROUP, IDENTIFY, TRACK, EventView
from services.kernel.fold.leaf import LeafState, decode, encode, fold_event
from services.kernel.fold.predicate_index import PredicateIndex
from services.kernel.identifiers.model import Identifier
from services.kernel.identifiers.priority import leaf_of
from services.kernel.ids import definition_fact_id, hash_id, shard_of
from services.kernel.rules.forms.json_form import dump_rule, parse_rule
from services.kernel.rules.values import canonical_json
from tests.index_key import INDEX_KEY

RULES = [
    {
        "count": {
            "event": "viewed",
            "where": {"price": {"at_least": 3}},
            "within": "7d",
            "at_least": 1,
        }
    },
    {"distinct": {"event": "viewed", "property": "id", "at_least": 3}},
]
STATE = (
    "960105ce001e84800382a3616765950205c41000000000000000000000000000000000c40133a0a46369747995"
    "0205c41000000000000000000000000000000000c40622426f6e6e22a082cf3e2d2e7e3936dd8a930182a27361"
    "ce000f4240a27362ce001e8480c2cf6b3a53779e9684289400c40840420f00000000008000"
)
STATE_WITH_ACCOUNT = (
    "9d0105ce001e84800482a3616765950205c41000000000000000000000000000000000c40133a0a46369747995"
    "0205c41000000000000000000000000000000000c40622426f6e6e22a082cf3e2d2e7e3936dd8a930182a27361"
    "ce000f4240a27362ce001e8480c2cf6b3a53779e9684289400c40840420f00000000008000c410414141414141"
    "41414141414141414141c400c280a080c0"
)


def test_leaf_state_has_its_golden_bytes() -> None:
    index = PredicateIndex.from_rules(map(parse_rule, RULES))
    state = LeafState()
    for number, properties in ((1, b'{"price": 5, "id": "a"}'), (2, b'{"price": 1, "id": "b"}')):
        event = EventView(TRACK, "viewed", number * 1_000_000, bytes([number]) * 16, properties)
        fold_event(state, event, index)
    traits = b'{"city": "Bonn", "age": 3.0}'
    fold_event(state, EventView(IDENTIFY, "", 5, bytes(16), b"", traits, trust=2), index)
    assert encode(state).hex() == STATE
    fold_event(state, EventView(GROUP, "", 7, b"g" * 16, account_leaf=b"A" * 16), index)
    assert encode(state).hex() == STATE_WITH_ACCOUNT
    assert decode(bytes.fromhex(STATE_WITH_ACCOUNT)) == state


def test_rule_has_its_golden_json() -> None:
    rule = parse_rule(
        {
            "all": [
                {"not": {"last_seen": {"event": "bought", "longer_than": "90d"}}},
                {
                    "any": [
                        {"count": {"event": "viewed", "lt": 2}},
                        {"trait": {"name": "age", "in": [3, 1, True]}},
                    ]
                },
            ]
        }
    )
    assert canonical_json(dump_rule(rule)) == (
        '{"all":[{"not":{"last_seen":{"event":"bought","longer_than":"90d"}}},'
        '{"any":[{"count":{"event":"viewed","lt":2}},'
        '{"trait":{"in":[1,3,true],"name":"age"}}]}]}'
    )


def test_fact_ids_have_their_golden_values() -> None:
    assert (
        INDEX_KEY.event_fact_id("w", "s", "m", bytes(16)).hex()
        == "e8e0aef9850ee7439a7890834826ace6"
    )
    kind = "onefold.profile.v1.TagDefined"
    fact_id = definition_fact_id("w", kind, "vip", 3)
    assert fact_id.hex() == "7035d9d3dd0e72b98132b482fe2ff851"


def test_hashed_ids_have_their_golden_values() -> None:
    assert hash_id("a", b"b").hex() == "08b1e8b75c8635d39c23d0ebbd825af4"
    assert shard_of(b"\x01" * 16, 3) == 2


def test_digest_has_its_golden_value() -> None:
    rows = [row_digest("a", b"b" * 300), row_digest(b"leaf", "")]
    assert to_hex(digest_of(rows, 7)) == "cefda33bd81ac9b83bb6f390f84ffe81"


@pytest.mark.parametrize("extra", [[], [Identifier("idfa", "x")]])
def test_leaf_has_its_golden_value(extra: list[Identifier]) -> None:
    named = [Identifier("phone", "+8613912345678"), Identifier("email", "a@b.cn"), *extra]
    assert leaf_of("w", named, INDEX_KEY).hex() == "32f1fbf943f90e4411865ad7b09112ed"
