"""Touches, corrections by people and scores of models fold in any order into one state."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from properties import examples

from services.kernel.errors import RuleError
from services.kernel.fold import trait_limit
from services.kernel.fold.additions import first_touch, last_touch, scores_of
from services.kernel.fold.events import CORRECTION, IDENTIFY, SCORE, TRACK, EventView
from services.kernel.fold.leaf import LeafState, ProfileView, combine, decode, encode, fold_event
from services.kernel.fold.leaf import view_of as profile_of
from services.kernel.fold.predicate_index import PredicateIndex
from services.kernel.fold.traits import CORRECTED
from services.kernel.rules.evaluate import evaluate_predicate
from services.kernel.rules.features import Trait
from services.kernel.rules.forms.json_form import parse_rule
from services.kernel.rules.ids import predicate_id
from services.kernel.rules.model import Predicate
from services.kernel.rules.values import Operator
from services.kernel.trust import Party, SourceTrust

EMPTY = PredicateIndex()


def fact(number: int) -> bytes:
    return number.to_bytes(16, "big")


def touched(at_us: int, number: int, **members: str) -> EventView:
    touch = msgspec.json.encode(members, order="deterministic")
    return EventView(TRACK, "viewed", at_us, fact(number), touch=touch)


def stated(at_us: int, number: int, party: Party = Party.FIRST, **traits: Any) -> EventView:
    trust, source_id = SourceTrust.SYSTEM_OF_RECORD, f"source-{party:d}"
    return EventView(
        IDENTIFY,
        "",
        at_us,
        fact(number),
        traits=msgspec.json.encode(traits),
        trust=trust,
        party=party,
        source_id=source_id,
    )


def corrected(at_us: int, number: int, trait: str, value: bytes) -> EventView:
    """Return a correction; no value withdraws the corrections."""
    record = (at_us, fact(number), value, "key_ann", f"reason {number}")
    return EventView(CORRECTION, trait, at_us, fact(number), record=record)


def scored(at_us: int, number: int, model: str, score: float, version: str = "1") -> EventView:
    record = (at_us, fact(number), score, version)
    return EventView(SCORE, model, at_us, fact(number), record=record)


def folded(events: list[EventView], index: PredicateIndex = EMPTY) -> LeafState:
    state = LeafState()
    for event in events:
        state = decode(encode(state))
        fold_event(state, event, index)
    return state


def view_of(*events: EventView) -> ProfileView:
    return profile_of([folded(list(events))])


_names = st.sampled_from(["city", "age"])
_times = st.integers(1, 4)
_values = st.sampled_from([b'"a"', b' "a" ', b"1.0", b"null", b""])
_facts = st.one_of(
    st.builds(lambda at, source: (touched, at, {"source": source}), _times, st.sampled_from("ab")),
    st.builds(lambda at, n, v: (stated, at, {n: v}), _times, _names, st.sampled_from([1, None])),
    st.builds(lambda at, n, v: (corrected, at, {"trait": n, "value": v}), _times, _names, _values),
    st.builds(
        lambda at, m, s: (scored, at, {"model": m, "score": s}),
        _times,
        st.sampled_from(["churn", "buy"]),
        st.sampled_from([0.0, 0.5, -1.25]),
    ),
)


@examples(200)
@given(st.lists(_facts, max_size=10), st.randoms(use_true_random=False))
def test_facts_in_any_order_repetition_split_and_tree_end_in_the_same_bytes(
    drawn: list[Any], random: Any
) -> None:
    events = [make(at, number, **fields) for number, (make, at, fields) in enumerate(drawn)]
    expected = folded(events)
    shuffled = random.sample(events, len(events))
    assert encode(folded(shuffled)) == encode(expected)
    records = [event for event in events if event.type >= CORRECTION]
    assert encode(folded([*shuffled, *records])) == encode(expected), "records count once"
    cut = random.randrange(len(events) + 1)
    parts = [folded(shuffled[:cut]), folded(shuffled[cut:])]
    assert encode(combine(*parts)) == encode(expected)
    one, many = profile_of([expected]), profile_of(parts)
    assert many.traits() == one.traits()
    for name in ("city", "first_touch", "last_touch.source", "score.churn", "score.buy"):
        assert many.trait(name) == one.trait(name)


@examples(200)
@given(st.lists(_facts, max_size=8), st.randoms(use_true_random=False))
def test_every_predicate_whose_result_changes_is_among_those_that_a_fact_affects(
    drawn: list[Any], random: Any
) -> None:
    names = ("city", "age", "first_touch", "last_touch.source", "score.churn", "score.buy")
    tests = [Predicate(Trait(name), Operator.EQ, v) for name in names for v in ("a", 1, 0.5)]
    tests += [Predicate(Trait(name), Operator.EXISTS) for name in names]
    index, state = PredicateIndex(tests), LeafState()
    events = [make(at, number, **fields) for number, (make, at, fields) in enumerate(drawn)]
    for event in random.sample(events, len(events)):
        before = [evaluate_predicate(test, profile_of([state]), 9).holds for test in tests]
        affected = fold_event(state, event, index)
        after = [evaluate_predicate(test, profile_of([state]), 9).holds for test in tests]
        changed = {predicate_id(t) for t, a, b in zip(tests, before, after, strict=True) if a != b}
        assert changed <= affected


def test_first_and_last_touch_are_those_of_the_events_by_time_and_then_by_fact() -> None:
    events = [
        touched(5, 2, source="b"),
        touched(5, 1, source="a", click_id="7"),
        touched(9, 3, source="c"),
        touched(9, 4, medium="cpc"),
        EventView(TRACK, "bought", 99, fact(5)),
    ]
    view = view_of(*events)
    assert first_touch(view.additions) == (5, fact(1), b'{"click_id":"7","source":"a"}')
    assert last_touch(view.additions) == (9, fact(4), b'{"medium":"cpc"}')
    assert view.trait("first_touch.source") == "a"
    assert view.trait("first_touch.click_id") == "7"
    assert view.trait("first_touch") == {"click_id": "7", "source": "a"}
    assert view.trait("last_touch.medium") == "cpc"
    assert view.trait("last_touch.source") is None
    assert view.event_count == 5


def test_person_without_a_campaign_has_no_touch() -> None:
    view = view_of(EventView(TRACK, "viewed", 1, fact(1)))
    assert (view.trait("first_touch"), view.trait("last_touch.source")) == (None, None)


def test_stated_trait_with_a_reserved_name_hides_no_touch_and_no_score() -> None:
    names = {"first_touch": {"source": "forged"}, "last_touch.source": "forged"}
    view = view_of(
        stated(1, 1, **names, score={"churn": 9, "own": 1}, **{"score.churn": 9}),
        touched(2, 2, source="real"),
        scored(3, 3, "churn", 0.25),
    )
    assert view.trait("first_touch") == {"source": "real"}
    assert view.trait("last_touch.source") == "real"
    assert view.trait("score.churn") == 0.25
    assert view.trait("score.own") is None
    assert view.trait("score") == {"churn": 9, "own": 1}, "the name alone is a trait like others"
    unscored = view_of(stated(1, 1, **names, **{"score.churn": 9}))
    assert (unscored.trait("last_touch.source"), unscored.trait("score.churn")) == (None, None)


@pytest.mark.parametrize("name", ["first_touch", "last_touch.source", "score.churn"])
@pytest.mark.parametrize("fields", [{"parties": (Party.FIRST,)}, {"sources": ("crm",)}])
def test_touch_and_score_have_no_source_that_a_rule_could_select(name: str, fields: Any) -> None:
    with pytest.raises(RuleError, match="no source states"):
        Trait(name, **fields)


def test_correction_wins_over_every_source_until_it_is_withdrawn() -> None:
    statement = stated(90, 1, city="of the crm")
    view = view_of(corrected(5, 2, "city", b' "Bonn" '), statement)
    assert view.trait("city") == "Bonn"
    won = view.traits()["city"]
    assert (won.trust, won.value, won.source_id, won.fact_id) == (CORRECTED, b'"Bonn"', "", fact(2))
    view = view_of(corrected(5, 2, "city", b'"Bonn"'), corrected(6, 3, "city", b""), statement)
    assert view.trait("city") == "of the crm"
    assert view.traits()["city"].source_id == "source-1"


def test_correction_to_null_makes_a_trait_absent_and_one_of_no_stated_trait_gives_it() -> None:
    view = view_of(
        stated(1, 1, city="a"), corrected(2, 2, "city", b"null"), corrected(2, 3, "name", b'"Ann"')
    )
    assert {name: won.value for name, won in view.traits().items()} == {"name": b'"Ann"'}
    assert view.trait("city") is None


def test_last_correction_of_a_profile_counts_also_after_a_merge() -> None:
    leaves = [
        folded([corrected(5, 1, "city", b'"old"')]),
        folded([corrected(7, 2, "city", b'"new"'), stated(9, 3, city="stated")]),
    ]
    assert profile_of(leaves).trait("city") == "new"
    assert profile_of(leaves[:1]).trait("city") == "old", "each has its own after a split"


def test_correction_counts_for_the_first_party_and_for_no_source() -> None:
    view = view_of(stated(1, 1, Party.THIRD, city="sold"), corrected(2, 2, "city", b'"Bonn"'))
    assert view.trait("city", (Party.FIRST,)) == "Bonn"
    assert view.trait("city", (Party.THIRD,)) == "sold"
    assert view.trait("city", (), ("source-3",)) is None
    assert view.trait("city", (Party.THIRD,), ("source-3",)) == "sold"


def test_trait_from_sources_counts_only_if_one_of_them_states_the_winner() -> None:
    view = view_of(
        stated(1, 1, Party.FIRST, city="ours", o={"p": 1}),
        stated(2, 2, Party.SECOND, city="theirs", job="x"),
    )
    assert view.trait("city", (), ("source-1",)) == "ours"
    assert view.trait("city", (), ("source-2",)) is None, "another statement wins"
    assert view.trait("city", (Party.SECOND,), ("source-2", "x")) == "theirs"
    assert view.trait("o.p", (), ("source-1",)) == 1
    assert view.trait("o.p", (), ("source-2",)) is None
    assert view.traits()["job"][4:] == ("source-2", Party.SECOND)


def test_last_score_of_each_model_counts_by_the_time_it_is_of() -> None:
    view = view_of(
        scored(9, 1, "churn", 0.9, "2"), scored(5, 2, "churn", 0.1, "3"), scored(1, 3, "buy", 1.0)
    )
    assert scores_of(view.additions) == {
        "buy": (1, fact(3), 1.0, "1"),
        "churn": (9, fact(1), 0.9, "2"),
    }
    band = parse_rule({"trait": {"name": "score.churn", "at_least": 0.8}})
    assert isinstance(band, Predicate)
    assert evaluate_predicate(band, view, 10).holds


def test_corrections_and_scores_are_no_events_of_a_person() -> None:
    view = view_of(corrected(5, 1, "city", b'"a"'), scored(6, 2, "churn", 0.5))
    empty = profile_of([LeafState()])
    assert view.event_count == 0
    assert (view.first_seen_us, view.last_seen_us) == (empty.first_seen_us, empty.last_seen_us)
    assert not view.is_account


def test_account_with_a_leaf_that_has_no_events_stays_an_account() -> None:
    account, other = LeafState(members=b"m" * 16, event_count=1), LeafState()
    fold_event(other, scored(1, 1, "churn", 0.5), EMPTY)
    assert profile_of([account, other]).is_account


def test_corrections_and_scores_beyond_the_limit_are_dropped_in_any_order(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(trait_limit, "MAX_TRAITS", 2)
    events = [corrected(n, n, f"t{n}", b"1") for n in range(4)]
    events += [scored(n, n, f"m{n}", 1.0) for n in range(4)]
    state = folded(events)
    assert encode(folded(events[::-1])) == encode(state)
    assert encode(combine(folded(events[:5]), folded(events[5:]))) == encode(state)
    assert state.dropped_traits
    assert state.additions is not None
    assert list(state.additions.corrections) == ["t2", "t3"]
    assert list(state.additions.scores) == ["m2", "m3"]


def test_additions_have_their_golden_bytes() -> None:
    state = folded(
        [touched(2, 1, source="a"), corrected(3, 2, "city", b'"B"'), scored(4, 3, "m", 0.5, "v1")]
    )
    touch = "93 02 c410 00000000000000000000000000000001 c40e 7b22736f75726365223a2261227d"
    assert encode(state) == bytes.fromhex(
        "9d 01 02 02 01 80 80 c400 c400 c2 80 a0 80"
        "94" + touch + touch + "81 a463697479 95 03 c410 00000000000000000000000000000002"
        "c403 224222 a7 6b65795f616e6e a8 726561736f6e2032"
        "81 a16d 94 04 c410 00000000000000000000000000000003 cb 3fe0000000000000 a27631"
    )
