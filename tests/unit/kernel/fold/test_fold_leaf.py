"""The state of a leaf: a function of the set of events, in one encoding."""

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
    keep_accumulators,
    view_of,
)
from services.kernel.fold.predicate_index import PredicateIndex
from services.kernel.rules.evaluate import evaluate_predicate
from services.kernel.rules.json_form import parse_rule
from services.kernel.rules.model import Rule

RULES = [
    parse_rule({"count": {"event": "viewed", "within": "7d", "at_least": 1}}),
    parse_rule({"distinct": {"event": "viewed", "property": "id", "at_least": 3}}),
    parse_rule({"trait": {"name": "city", "eq": "北京市"}}),
]
CATALOGUE = PredicateIndex.from_rules(RULES)
#: The seeds of orders, cuts and trees.
orders = st.randoms(use_true_random=False)


def folded(log: list[OracleEvent], catalogue: PredicateIndex = CATALOGUE) -> LeafState:
    state = LeafState()
    for event in log:
        state = decode(encode(state))
        fold_event(state, some.view_of(event), catalogue)
    return state


def identify(at_us: int, fact: int, **traits: Any) -> EventView:
    stated = msgspec.json.encode(traits)
    return EventView(IDENTIFY, "", at_us, fact.to_bytes(16, "big"), b"", stated)


def parts_of(log: list[OracleEvent], random: Any) -> list[list[OracleEvent]]:
    """The events in another order, cut anywhere."""
    shuffled = list(log)
    random.shuffle(shuffled)
    cuts = sorted(random.randrange(len(log) + 1) for _ in range(random.randrange(4)))
    return [shuffled[a:b] for a, b in zip([0, *cuts], [*cuts, len(log)], strict=True)]


@examples(150)
@given(st.lists(some.rules, max_size=3), some.logs(), orders)
def test_any_order_cut_and_tree_end_in_the_same_bytes(
    rules: list[Rule], log: list[OracleEvent], random: Any
) -> None:
    catalogue = PredicateIndex.from_rules(rules)
    states = [folded(part, catalogue) for part in parts_of(log, random)]
    while len(states) > 1:
        i = random.randrange(len(states) - 1)
        states[i : i + 2] = [combine(*random.sample(states[i : i + 2], 2))]
    assert encode(states[0]) == encode(folded(log, catalogue))


@examples(150)
@given(st.lists(some.rules, min_size=1, max_size=3), some.logs(), orders)
def test_however_events_lie_on_leaves_the_profile_is_the_same(
    rules: list[Rule], log: list[OracleEvent], random: Any
) -> None:
    catalogue, at_us = PredicateIndex.from_rules(rules), some.LATEST
    leaves = [folded(part, catalogue) for part in parts_of(log, random)]
    one, many = view_of([folded(log, catalogue)]), view_of(leaves)
    for predicate in (known.predicate for known in catalogue.predicates.values()):
        verdict = evaluate_predicate(predicate, many, at_us)
        assert verdict == evaluate_predicate(predicate, one, at_us)
        assert verdict.holds is oracle.rule_holds(predicate, log, at_us)
    assert many.traits() == one.traits()
    assert many.event_count == len(log)
    assert (many.first_seen_us, many.last_seen_us) == (one.first_seen_us, one.last_seen_us)


@examples(100)
@given(st.lists(some.rules, max_size=2), st.lists(some.rules, max_size=2), some.logs(), orders)
def test_a_new_rule_filled_in_from_the_past_is_as_if_it_had_always_been(
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
    assert encode(combine(live, keep_accumulators(past, missing))) == encode(folded(log, after))


@examples(100)
@given(some.logs(), st.data())
def test_a_changed_fact_is_another_state(log: list[OracleEvent], data: st.DataObject) -> None:
    log = [*log, OracleEvent("track", "viewed", 3, b"\xff" * 16, {"id": "a"})]
    catalogue = PredicateIndex.from_rules([parse_rule({"count": {"event": "viewed", "eq": 1}})])
    places = [i for i, event in enumerate(log) if event.type == "track" and event.name == "viewed"]
    place = data.draw(st.sampled_from(places))
    moved = data.draw(st.integers(1, 9)) + log[place].occurred_at_us
    changed = [*log]
    changed[place] = OracleEvent("track", "viewed", moved, log[place].fact_id)
    assert encode(folded(changed, catalogue)) != encode(folded(log, catalogue))


def test_changed_values_are_another_state() -> None:
    states = [LeafState() for _ in range(4)]
    fold_event(states[0], identify(1, 1, city="a"), CATALOGUE)
    fold_event(states[1], identify(1, 1, city="b"), CATALOGUE)
    fold_event(states[2], identify(1, 2, city="a"), CATALOGUE)
    fold_event(states[3], identify(2, 1, city="a"), CATALOGUE)
    assert len({encode(state) for state in states}) == 4


def test_the_last_writer_wins_and_facts_break_ties() -> None:
    state = LeafState()
    for event in (
        identify(5, 2, city="b", age=1),
        identify(5, 1, city="a"),
        identify(5, 3, city="c"),
        identify(4, 9, city="d", name="n"),
    ):
        fold_event(state, event, CATALOGUE)
    view = view_of([state])
    assert {name: stated[2] for name, stated in view.traits().items()} == {
        "age": b"1",
        "city": b'"c"',
        "name": b'"n"',
    }
    assert list(state.traits) == ["age", "city", "name"]
    assert view.trait("city") == "c"


def test_null_takes_a_trait_away_and_wins_over_what_was_before() -> None:
    state = LeafState()
    fold_event(state, identify(5, 1, city=None), CATALOGUE)
    fold_event(state, identify(4, 2, city="late"), CATALOGUE)
    view = view_of([state])
    assert view.trait("city") is None
    assert view.traits() == {}
    assert view.trait_value("city") == (5, (1).to_bytes(16, "big"), b"null")
    fold_event(state, identify(6, 3, city="back"), CATALOGUE)
    assert view_of([state]).trait("city") == "back"


def test_only_identify_states_traits() -> None:
    state = LeafState()
    fold_event(state, EventView(TRACK, "viewed", 1, bytes(16), b"", b'{"city":"a"}'), CATALOGUE)
    assert state.traits == {}


def test_values_stay_as_they_were_written() -> None:
    state = LeafState()
    written = b'{"a": [1, 2.50 ], "b":"\\u4eac", "c":1e999 ,"d":"\\ud800"}'
    fold_event(state, EventView(IDENTIFY, "", 1, bytes(16), b"", written[:-15] + b"}"), CATALOGUE)
    assert {name: stated[2] for name, stated in state.traits.items()} == {
        "a": b"[1, 2.50 ]",
        "b": b'"\\u4eac"',
        "c": b"1e999",
    }
    assert view_of([state]).trait("c") is None


def test_an_empty_state() -> None:
    view = view_of([])
    assert (view.first_seen_us, view.last_seen_us, view.event_count) == (NOT_YET_US, NEVER_US, 0)
    assert encode(combine(LeafState(), LeafState())) == encode(LeafState())
    assert decode(encode(LeafState())) == LeafState()


def test_states_can_be_taken_back() -> None:
    """What is on one leaf does not change by being read together with another."""
    a, b = LeafState(), LeafState()
    fold_event(a, EventView(TRACK, "viewed", 1, bytes(16), b'{"id":1}'), CATALOGUE)
    fold_event(b, EventView(TRACK, "viewed", 2, bytes(16), b'{"id":2}'), CATALOGUE)
    before = encode(a), encode(b)
    view = view_of([a, b])
    joined = [view.accumulator(id_) for id_ in CATALOGUE.accumulator_ids]
    assert [times.total() for times in joined if times] == [2, 2]
    assert (encode(a), encode(b)) == before


def test_a_series_without_a_rule_can_be_left_out() -> None:
    state = LeafState()
    fold_event(state, EventView(TRACK, "viewed", 1, bytes(16), b'{"id":1}'), CATALOGUE)
    (first, *_) = state.accumulators
    assert list(keep_accumulators(state, {first}).accumulators) == [first]
    assert len(state.accumulators) == 2


def test_bytes_that_are_no_state_are_refused() -> None:
    for data in (b"", b"\x90", msgspec.msgpack.encode([2, 0, 0, 0, {}, {}])):
        with pytest.raises(msgspec.DecodeError):
            decode(data)


def test_the_encoding_does_not_change() -> None:
    """Golden bytes: what is stored must be read by the next release, and digests compared."""
    state = LeafState()
    fold_event(state, EventView(TRACK, "viewed", 2, bytes(16), b'{"id":"c1"}'), CATALOGUE)
    fold_event(state, EventView(TRACK, "viewed", 1, bytes(16), b'{"id":7}'), CATALOGUE)
    fold_event(state, identify(3, 5, city="北京市"), CATALOGUE)
    assert encode(state) == bytes.fromhex(
        "96 01 01 03 03"  # version, first seen, last seen, number of events
        "81 a463697479 93 03 c410 00000000000000000000000000000005 c40b 22e58c97e4baace5b88222"
        "82 cf692e37fd2b678913 93 00 c410 0100000000000000 0200000000000000 80"
        "   cfc9b611f9e2eff8b0 93 01 82 a26e37 01 a3736331 02 c2"
    )


def joined_by(at_us: int, fact: int, person: bytes, **traits: Any) -> EventView:
    """The account's copy of a group event."""
    stated = msgspec.json.encode(traits)
    return EventView(
        GROUP, "", at_us, fact.to_bytes(16, "big"), b"", stated, member_leaf=person * 16
    )


def test_a_group_event_tells_the_account_its_member_and_its_traits() -> None:
    state = LeafState()
    assert fold_event(state, joined_by(3, 1, b"b", city="北京市"), CATALOGUE) == frozenset()
    assert fold_event(state, joined_by(5, 2, b"a", plan="pro"), CATALOGUE) == frozenset()
    assert fold_event(state, joined_by(4, 3, b"b", plan="free"), CATALOGUE) == frozenset()
    view = view_of([decode(encode(state))])
    assert view.is_account
    assert view.members == [b"a" * 16, b"b" * 16]
    assert (view.trait("city"), view.trait("plan"), view.event_count) == ("北京市", "pro", 3)


def test_a_group_event_tells_the_person_the_account_and_none_of_its_traits() -> None:
    state = LeafState()
    told = EventView(GROUP, "", 3, bytes(16), b"", b'{"city":"x"}', account_leaf=b"g" * 16)
    assert fold_event(state, told, CATALOGUE) == frozenset()
    view = view_of([LeafState(), decode(encode(state))])
    assert not view.is_account
    assert (view.accounts, view.traits(), view.event_count) == ([b"g" * 16], {}, 1)


@given(st.lists(st.integers(0, 5), max_size=12), orders)
def test_members_and_accounts_are_the_same_in_any_order_and_tree(
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
        fold_event(plain, event, CATALOGUE)
    random.shuffle(events)
    cut = random.randrange(len(events) + 1)
    parts = [LeafState(), LeafState()]
    for at, event in enumerate(events):
        fold_event(parts[at < cut], event, CATALOGUE)
    assert encode(combine(decode(encode(parts[0])), parts[1])) == encode(plain)


def test_the_encoding_of_an_account_does_not_change() -> None:
    """Golden bytes; those of a leaf that no group event names are as they were before."""
    state = LeafState()
    fold_event(state, joined_by(3, 5, b"m", plan="pro"), CATALOGUE)
    assert encode(state) == bytes.fromhex(
        "98 01 03 03 01"
        "81 a4706c616e 93 03 c410 00000000000000000000000000000005 c405 2270726f22"
        "80 c400 c410" + "6d" * 16
    )
    assert encode(LeafState())[:1] == b"\x96"
