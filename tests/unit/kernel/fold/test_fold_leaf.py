"""The state of a leaf is a function of the set of events, with one encoding."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from oracle import rules_oracle as oracle
from oracle import rules_strategies as some
from oracle.rules_oracle import OracleEvent
from properties import examples

from services.kernel.fold.events import GROUP, IDENTIFY, TRACK, EventView
from services.kernel.fold.leaf import (
    NEVER_US,
    NOT_YET_US,
    LeafState,
    combine,
    decode,
    encode,
    fold_accumulators,
    fold_event,
    view_of,
)
from services.kernel.fold.predicate_index import PredicateIndex
from services.kernel.rules.evaluate import evaluate_predicate
from services.kernel.rules.forms.json_form import parse_rule
from services.kernel.rules.model import Rule
from services.kernel.trust import Party, SourceTrust

RULES = [
    parse_rule({"count": {"event": "viewed", "within": "7d", "at_least": 1}}),
    parse_rule({"distinct": {"event": "viewed", "property": "id", "at_least": 3}}),
    parse_rule({"trait": {"name": "city", "eq": "北京市"}}),
]
INDEX = PredicateIndex.from_rules(RULES)
#: The seeds of orders, splits and trees.
orders = st.randoms(use_true_random=False)


def folded(log: list[OracleEvent], index: PredicateIndex = INDEX) -> LeafState:
    state = LeafState()
    for event in log:
        state = decode(encode(state))
        fold_event(state, some.view_of(event), index)
    return state


def identify(at_us: int, fact: int, trust: int = 0, **traits: Any) -> EventView:
    stated = msgspec.json.encode(traits)
    return EventView(IDENTIFY, "", at_us, fact.to_bytes(16, "big"), b"", stated, trust=trust)


def parts_of(log: list[OracleEvent], random: Any) -> list[list[OracleEvent]]:
    """Return the events in another order, split anywhere."""
    shuffled = list(log)
    random.shuffle(shuffled)
    cuts = sorted(random.randrange(len(log) + 1) for _ in range(random.randrange(4)))
    return [shuffled[a:b] for a, b in zip([0, *cuts], [*cuts, len(log)], strict=True)]


@examples(150)
@given(st.lists(some.rules, max_size=3), some.logs(), orders)
def test_events_in_any_order_split_and_tree_end_in_the_same_bytes(
    rules: list[Rule], log: list[OracleEvent], random: Any
) -> None:
    index = PredicateIndex.from_rules(rules)
    states = [folded(part, index) for part in parts_of(log, random)]
    while len(states) > 1:
        i = random.randrange(len(states) - 1)
        states[i : i + 2] = [combine(*random.sample(states[i : i + 2], 2))]
    assert encode(states[0]) == encode(folded(log, index))


@examples(150)
@given(st.lists(some.rules, min_size=1, max_size=3), some.logs(), orders)
def test_events_on_any_leaves_give_the_same_profile(
    rules: list[Rule], log: list[OracleEvent], random: Any
) -> None:
    index, as_of_us = PredicateIndex.from_rules(rules), some.LATEST
    leaves = [folded(part, index) for part in parts_of(log, random)]
    one, many = view_of([folded(log, index)]), view_of(leaves)
    for predicate in (c.predicate for c in index.predicates.values()):
        result = evaluate_predicate(predicate, many, as_of_us)
        assert result == evaluate_predicate(predicate, one, as_of_us)
        assert result.holds is oracle.rule_holds(predicate, log, as_of_us)
    assert many.traits() == one.traits()
    assert many.event_count == sum(not event.is_record for event in log)
    assert (many.first_seen_us, many.last_seen_us) == (one.first_seen_us, one.last_seen_us)


@examples(100)
@given(st.lists(some.rules, max_size=2), st.lists(some.rules, max_size=2), some.logs(), orders)
def test_backfilled_rule_equals_one_defined_before_the_first_event(
    old: list[Rule], new: list[Rule], log: list[OracleEvent], random: Any
) -> None:
    before, after = PredicateIndex.from_rules(old), PredicateIndex.from_rules([*old, *new])
    fresh = PredicateIndex.from_rules(new)
    defined = random.randrange(len(log) + 1)
    live, past = LeafState(), LeafState()
    for i, event in enumerate(log):
        fold_event(live, some.view_of(event), before if i < defined else after)
    missing = after.accumulator_ids - before.accumulator_ids
    for event in log[:defined]:
        fold_accumulators(past, some.view_of(event), fresh)
    only_missing = {id_: a for id_, a in past.accumulators.items() if id_ in missing}
    past = msgspec.structs.replace(past, accumulators=only_missing)
    assert encode(combine(live, past)) == encode(folded(log, after))


@examples(100)
@given(some.logs(), st.data())
def test_changed_fact_gives_another_state(log: list[OracleEvent], data: st.DataObject) -> None:
    log = [*log, OracleEvent("track", "viewed", 3, b"\xff" * 16, {"id": "a"})]
    index = PredicateIndex.from_rules([parse_rule({"count": {"event": "viewed", "eq": 1}})])
    views = [i for i, event in enumerate(log) if event.type == "track" and event.name == "viewed"]
    index_ = data.draw(st.sampled_from(views))
    moved = data.draw(st.integers(1, 9)) + log[index_].occurred_at_us
    changed = [*log]
    changed[index_] = OracleEvent("track", "viewed", moved, log[index_].fact_id)
    assert encode(folded(changed, index)) != encode(folded(log, index))


def test_changed_trait_time_fact_or_trust_gives_another_state() -> None:
    states = [LeafState() for _ in range(5)]
    fold_event(states[4], identify(1, 1, SourceTrust.PUBLIC, city="a"), INDEX)
    fold_event(states[0], identify(1, 1, city="a"), INDEX)
    fold_event(states[1], identify(1, 1, city="b"), INDEX)
    fold_event(states[2], identify(1, 2, city="a"), INDEX)
    fold_event(states[3], identify(2, 1, city="a"), INDEX)
    assert len({encode(state) for state in states}) == 5


@given(orders)
def test_trait_is_that_of_the_most_trusted_source_and_of_these_the_last_one(random: Any) -> None:
    events = [
        identify(1, 1, SourceTrust.SYSTEM_OF_RECORD, level="gold", city="a"),
        identify(2, 2, SourceTrust.SYSTEM_OF_RECORD, city="b"),
        identify(8, 3, SourceTrust.SERVER, level="silver", name="of the back end"),
        identify(9, 4, SourceTrust.PUBLIC, level="forged", city="forged", name="forged", vip=True),
    ]
    random.shuffle(events)
    cut = random.randrange(len(events) + 1)
    leaves = [LeafState(), LeafState()]
    for i, event in enumerate(events * 2):
        fold_event(leaves[(i % len(events)) < cut], event, INDEX)
    for view in (view_of(leaves), view_of([combine(*leaves)])):
        expected = {"level": "gold", "city": "b", "name": "of the back end", "vip": True}
        assert {name: view.trait(name) for name in view.traits()} == expected


def test_trait_that_a_system_of_record_removed_is_not_stated_again_by_less_trusted_ones() -> None:
    state = LeafState()
    fold_event(state, identify(5, 1, SourceTrust.SYSTEM_OF_RECORD, city=None), INDEX)
    fold_event(state, identify(9, 2, SourceTrust.PUBLIC, city="a"), INDEX)
    assert view_of([state]).traits() == {}


def test_last_stated_trait_wins_and_fact_ids_break_ties() -> None:
    state = LeafState()
    for event in (
        identify(5, 2, city="b", age=1),
        identify(5, 1, city="a"),
        identify(5, 3, city="c"),
        identify(4, 9, city="d", name="n"),
    ):
        fold_event(state, event, INDEX)
    view = view_of([state])
    assert {name: value[3] for name, value in view.traits().items()} == {
        "age": b"1",
        "city": b'"c"',
        "name": b'"n"',
    }
    assert list(state.traits) == ["age", "city", "name"]
    assert view.trait("city") == "c"


def test_null_removes_a_trait_and_wins_over_older_values() -> None:
    state = LeafState()
    fold_event(state, identify(5, 1, city=None), INDEX)
    fold_event(state, identify(4, 2, city="late"), INDEX)
    view = view_of([state])
    assert view.trait("city") is None
    assert view.traits() == {}
    expected = (0, 5, (1).to_bytes(16, "big"), b"null", "", Party.FIRST)
    assert view.trait_value("city") == expected
    fold_event(state, identify(6, 3, city="back"), INDEX)
    assert view_of([state]).trait("city") == "back"


def test_traits_of_a_track_event_are_ignored() -> None:
    state = LeafState()
    fold_event(state, EventView(TRACK, "viewed", 1, bytes(16), b"", b'{"city":"a"}'), INDEX)
    assert state.traits == {}


def test_trait_values_are_stored_in_canonical_form() -> None:
    state = LeafState()
    raw = b'{"a": [1, 2.50 ], "b":"\\u4eac", "c":1e999 ,"d":"\\ud800"}'
    fold_event(state, EventView(IDENTIFY, "", 1, bytes(16), b"", raw[:-15] + b"}"), INDEX)
    assert {name: value[3] for name, value in state.traits.items()} == {
        "a": b"[1,2.5]",
        "b": '"京"'.encode(),
        "c": b"1e999",
    }
    assert view_of([state]).trait("c") is None


def test_empty_state_has_its_bounds_and_bytes() -> None:
    view = view_of([])
    assert (view.first_seen_us, view.last_seen_us, view.event_count) == (NOT_YET_US, NEVER_US, 0)
    assert encode(combine(LeafState(), LeafState())) == encode(LeafState())
    assert decode(encode(LeafState())) == LeafState()


def test_reading_leaves_together_does_not_change_them() -> None:
    a, b = LeafState(), LeafState()
    fold_event(a, EventView(TRACK, "viewed", 1, bytes(16), b'{"id":1}'), INDEX)
    fold_event(b, EventView(TRACK, "viewed", 2, bytes(16), b'{"id":2}'), INDEX)
    before = encode(a), encode(b)
    view = view_of([a, b])
    joined = [view.accumulator(id_) for id_ in INDEX.accumulator_ids]
    assert [times.total() for times in joined if times] == [2, 2]
    assert (encode(a), encode(b)) == before


def test_bytes_that_are_no_state_raise_decode_error() -> None:
    for data in (b"", b"\x90", msgspec.msgpack.encode([2, 0, 0, 0, {}, {}])):
        with pytest.raises(msgspec.DecodeError):
            decode(data)


def test_state_has_its_golden_bytes() -> None:
    """The next release must read stored states, and digests of them must stay equal."""
    state = LeafState()
    fold_event(state, EventView(TRACK, "viewed", 2, bytes(16), b'{"id":"c1"}'), INDEX)
    fold_event(state, EventView(TRACK, "viewed", 1, bytes(16), b'{"id":7}'), INDEX)
    stated = identify(3, 5, SourceTrust.SERVER, city="北京市")
    fold_event(state, msgspec.structs.replace(stated, source_id="crm"), INDEX)
    assert encode(state) == bytes.fromhex(
        "96 01 01 03 03"  # version, first seen, last seen, number of events
        "81 a463697479 95 02 03 c410 00000000000000000000000000000005 c40b 22e58c97e4baace5b88222"
        "   a3 63726d"  # the source
        "82 cf3e2d2e7e3936dd8a 93 01 82 a26e37 01 a3736331 02 c2"
        "   cf90be176c6179a2d3 94 00 c410 0100000000000000 0200000000000000 80 00"
    )


def joined_by(at_us: int, fact: int, person: bytes, **traits: Any) -> EventView:
    """Return the account's copy of a group event."""
    stated = msgspec.json.encode(traits)
    return EventView(
        GROUP, "", at_us, fact.to_bytes(16, "big"), b"", stated, member_leaf=person * 16
    )


def test_group_event_on_the_account_adds_the_member_and_traits() -> None:
    state = LeafState()
    assert fold_event(state, joined_by(3, 1, b"b", city="北京市"), INDEX) == frozenset()
    assert fold_event(state, joined_by(5, 2, b"a", plan="pro"), INDEX) == frozenset()
    assert fold_event(state, joined_by(4, 3, b"b", plan="free"), INDEX) == frozenset()
    view = view_of([decode(encode(state))])
    assert view.is_account
    assert view.members == [b"a" * 16, b"b" * 16]
    assert (view.trait("city"), view.trait("plan"), view.event_count) == ("北京市", "pro", 3)


def test_group_event_on_the_person_adds_the_account_and_no_traits() -> None:
    state = LeafState()
    event = EventView(GROUP, "", 3, bytes(16), b"", b'{"city":"x"}', account_leaf=b"g" * 16)
    assert fold_event(state, event, INDEX) == frozenset()
    view = view_of([LeafState(), decode(encode(state))])
    assert not view.is_account
    assert (view.accounts, view.traits(), view.event_count) == ([b"g" * 16], {}, 1)


@given(st.lists(st.integers(0, 5), max_size=12), orders)
def test_group_events_in_any_order_and_tree_end_in_the_same_bytes(
    numbers: list[int], random: Any
) -> None:
    events = [
        joined_by(n % 3, n, bytes([n % 4]), plan=n)
        if n % 2
        else EventView(GROUP, "", n, bytes(16), account_leaf=bytes([n]) * 16)
        for n in numbers
    ]
    plain = LeafState()
    for event in events:
        fold_event(plain, event, INDEX)
    random.shuffle(events)
    cut = random.randrange(len(events) + 1)
    parts = [LeafState(), LeafState()]
    for i, event in enumerate(events):
        fold_event(parts[i < cut], event, INDEX)
    assert encode(combine(decode(encode(parts[0])), parts[1])) == encode(plain)


def test_account_state_has_its_golden_bytes() -> None:
    """A leaf without group events has the encoding without sets of leaf ids."""
    state = LeafState()
    fold_event(state, joined_by(3, 5, b"m", plan="pro"), INDEX)
    assert encode(state) == bytes.fromhex(
        "9d 01 03 03 01"
        "81 a4706c616e 95 00 03 c410 00000000000000000000000000000005 c405 2270726f22 a0"
        "80 c400 c410" + "6d" * 16 + "c2 80 a0 80 c0"
    )
    assert encode(LeafState())[:1] == b"\x96"
