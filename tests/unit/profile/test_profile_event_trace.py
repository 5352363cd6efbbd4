"""A change has the own time of the event that made it, however many events are folded at once."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from onefold.profile.v1.profile_stream_pb2 import ProfileChange
from oracle.mutants import mutated
from properties import examples

from services.kernel.fold.events import IDENTIFY, TRACK, EventView
from services.kernel.fold.leaf import LeafState, decode, encode, fold_event, view_of
from services.kernel.fold.predicate_index import PredicateIndex
from services.kernel.ids import IdentifierId, LeafId, ProfileId, WorkspaceId
from services.kernel.rules.model import All, Not, Rule
from services.kernel.rules.values import Operator
from services.kernel.time import DAY_US, HOUR_US, SECOND_US
from services.profile.codec.bus import change_to_proto
from services.profile.domain import evaluation, event_trace
from services.profile.domain.evaluation import (
    ALL_PREDICATES,
    Evaluation,
    EvaluationScope,
    ProfileState,
    evaluate_all,
    scopes_by_profile,
)
from services.profile.domain.event_trace import (
    APART_US,
    EventTrace,
    TracedLeaves,
    leaves_apart,
    own_times,
)
from services.profile.domain.facts import AttributedFact, ProfileAssignment, Reassignment
from services.profile.domain.leaves import LeafFold, fold_events
from services.segment.codec.bus import evaluation_from_proto
from services.segment.domain import membership
from services.segment.domain.membership import ActiveSegments, membership_changes
from services.segment.domain.model import SegmentDefinition
from tests.rule_builders import count_of, events_named, trait_is

W = WorkspaceId("school")
P = ProfileId(b"p" * 16)
LEAVES = (LeafId(b"a" * 16), LeafId(b"b" * 16))
NOW_US = 2_000 * DAY_US
BOUGHT = count_of(events_named("bought"), 0, Operator.GE, 1)
OFTEN = count_of(events_named("bought"), 0, Operator.GE, 3)
ONCE = count_of(events_named("bought"), 0, Operator.EQ, 1)
LATELY = count_of(events_named("viewed"), 30 * DAY_US, Operator.GE, 2)
LOCAL = trait_is("city", Operator.EQ, "北京市")
INDEX = PredicateIndex([BOUGHT, OFTEN, ONCE, LATELY, LOCAL])
RULES: dict[str, Rule] = {
    "bought": BOUGHT,
    "often": OFTEN,
    "once": ONCE,
    "lately": LATELY,
    "local": LOCAL,
    "absent": Not(LATELY),
    "both": All((BOUGHT, LATELY)),
}
SEGMENTS = ActiveSegments([SegmentDefinition(W, id_, 1, "", rule) for id_, rule in RULES.items()])


def fact(offset: int, at_us: int, name: str = "bought", leaf: int = 0) -> AttributedFact:
    fact_id = offset.to_bytes(16, "big")
    event = EventView(TRACK, name, at_us, fact_id)
    if name in ("北京市", "上海市"):
        event = EventView(IDENTIFY, "", at_us, fact_id, traits=f'{{"city":"{name}"}}'.encode())
    return AttributedFact(offset, NOW_US, W, LEAVES[leaf], P, event, None)


class Person:
    """Folds facts of one person as the projection does, in memory."""

    def __init__(self) -> None:
        self.leaves: dict[LeafId, bytes] = {}
        self.evaluation: Evaluation | None = None
        self.members = frozenset[str]()
        #: The own time of the last change of each segment.
        self.times: dict[str, int | None] = {}

    def fold(self, facts: Sequence[AttributedFact]) -> ProfileChange | None:
        known = {leaf: decode(raw) for leaf, raw in self.leaves.items()}
        apart = leaves_apart(facts)
        folded = fold_events(facts, dict(known), {W: INDEX}, apart)
        states: dict[LeafId, LeafState] = {**known, **folded.states}
        leaves: TracedLeaves = [(folded.traces.get(leaf), s, leaf) for leaf, s in states.items()]
        traced = leaves if folded.traces else ()
        self.leaves |= {leaf: encode(state) for leaf, state in folded.states.items()}
        profile = ProfileState(P, W, self.evaluation, view_of(states.values()), traced=traced)
        scopes = {P: self._scope(folded)}
        changes = evaluate_all(scopes, [profile], {W: INDEX}, NOW_US).changed
        if not changes:
            return None
        self.evaluation = changes[0]._replace(version=1)
        message = change_to_proto(changes[0])
        read = evaluation_from_proto(ProfileChange.FromString(message.SerializeToString()))
        for change in membership_changes([read], {P: self.members}, SEGMENTS):
            self.members ^= {change.segment_id}
            self.times[change.segment_id] = change.occurred_at_us
        return message

    def _scope(self, folded: LeafFold) -> EvaluationScope:
        scope = EvaluationScope(frozenset())
        for own in folded.scopes.values():
            scope = scope.union(own)
        return scope


def folded_together(facts: Sequence[AttributedFact]) -> Person:
    person = Person()
    person.fold(facts)
    return person


@st.composite
def histories(draw: st.DrawFn) -> list[AttributedFact]:
    # Hours apart, as events within a minute count as simultaneous.
    ages = draw(st.lists(st.integers(0, 60 * 24), min_size=2, max_size=12, unique=True))
    names = st.sampled_from(["bought", "viewed", "viewed", "北京市", "上海市", "other"])
    return [
        fact(offset, NOW_US - age * HOUR_US, draw(names), draw(st.integers(0, 1)))
        for offset, age in enumerate(ages)
    ]


@examples(200)
@given(histories(), st.integers(0, 12))
def test_change_of_a_batch_has_the_time_that_it_has_event_by_event(
    facts: list[AttributedFact], first: int
) -> None:
    """The events before are folded already, so the batch can also undo what was true."""
    together, one_by_one = Person(), Person()
    for person in (together, one_by_one):
        if facts[:first]:
            person.fold(facts[:first])
        person.times.clear()
    before = together.members
    if facts[first:]:
        together.fold(facts[first:])
    for each in facts[first:]:
        one_by_one.fold([each])
    assert together.members == one_by_one.members
    changed = before ^ together.members
    assert together.times == {id_: one_by_one.times[id_] for id_ in changed}


MUTANTS: dict[str, tuple[Any, str, str]] = {
    "the last event made every change": (
        *(evaluation._traced, "occurred_at_us = states.pop().occurred_at_us", "states.pop()"),
    ),
    "a person has one leaf": (
        *(EventTrace.views, "(*self.others, *states.values())", "tuple(states.values())[:1]"),
    ),
    "leaves begin with the batch": (EventTrace.views, "in self.before.items()", "in ()"),
    "only the last event matters": (
        EventTrace.views,
        "*earlier, last = found",
        "earlier, last = [], found[-1]",
    ),
    "events that change nothing are not folded": (EventTrace.views, "[begin : number + 1]", "[:0]"),
    "what was once true is true": (membership._event_times, "remaining -= then ^ after", "pass"),
    "a new person is in no segment": (evaluation._traced, "None if is_back else base", "base"),
}


@pytest.mark.parametrize("mutant", MUTANTS)
def test_mutant_of_the_trace_differs_from_event_by_event(mutant: str) -> None:
    with mutated(*MUTANTS[mutant]), pytest.raises(AssertionError):
        _try_seeds(test_change_of_a_batch_has_the_time_that_it_has_event_by_event)


def _try_seeds(property_: Any) -> None:
    names = ["bought", "viewed", "viewed", "北京市", "上海市", "other"]
    for seed in range(300):
        random = Random(seed)
        ages = random.sample(range(60 * 24), random.randint(2, 12))
        facts = [
            fact(offset, NOW_US - age * HOUR_US, random.choice(names), random.randint(0, 1))
            for offset, age in enumerate(ages)
        ]
        property_.hypothesis.inner_test(facts, random.randint(0, 6))


def test_import_of_history_makes_a_rule_true_when_its_event_took_place() -> None:
    years = [fact(number, NOW_US - age * DAY_US) for number, age in enumerate((1_500, 900, 400, 0))]
    times = folded_together(years).times
    assert times["bought"] == NOW_US - 1_500 * DAY_US
    assert times["often"] == NOW_US - 400 * DAY_US
    assert "once" not in times, "what does not last is no change"


def test_live_events_are_not_traced_and_have_the_greatest_time() -> None:
    facts = [fact(number, NOW_US - number * SECOND_US) for number in range(3)]
    assert not leaves_apart(facts)
    person = Person()
    message = person.fold(facts)
    assert message is not None
    assert (message.occurred_at_us, list(message.by_event)) == (NOW_US, [])


def test_only_profiles_whose_own_events_lie_apart_are_traced() -> None:
    other = ProfileId(b"q" * 16)
    facts = [
        fact(1, NOW_US),
        fact(2, NOW_US - APART_US),
        *(fact(n, NOW_US - n * DAY_US, leaf=1)._replace(profile_id=other) for n in (3, 4)),
    ]
    assert leaves_apart(facts) == {LEAVES[1]}
    assert leaves_apart(facts[:2]) == leaves_apart([]) == frozenset()
    assert own_times(facts) == {P: NOW_US, other: NOW_US - 3 * DAY_US}


def test_batch_with_one_event_that_matters_is_not_folded_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    folded: list[EventView] = []

    def fold_again(state: LeafState, event: EventView, index: PredicateIndex) -> frozenset[int]:
        folded.append(event)
        return fold_event(state, event, index)

    monkeypatch.setattr(event_trace, "fold_event", fold_again)
    person = Person()
    person.fold([fact(0, NOW_US - 9 * DAY_US, "other")])
    person.fold([fact(n, NOW_US - (9 - n) * DAY_US, "other") for n in (1, 2, 3)])
    person.fold([fact(n, NOW_US - (9 - n) * DAY_US, "viewed") for n in (4, 5)])
    assert len(folded) == 1, "the events up to the last but one of those that matter"
    folded.clear()
    person.fold([fact(6, NOW_US - 3 * DAY_US), fact(7, NOW_US - 2 * DAY_US, "other")])
    assert person.times["bought"] == NOW_US - 3 * DAY_US
    assert not folded


def test_leaves_that_become_one_person_in_a_batch_are_traced_together() -> None:
    """The event of long ago names the profile that its leaf had until a later event joined both."""
    other = ProfileId(LEAVES[1])
    facts = [fact(1, NOW_US - 900 * DAY_US, leaf=1)._replace(profile_id=other), fact(2, NOW_US)]
    joined = ProfileAssignment(W, IdentifierId(LEAVES[1]), P, 2, None)
    assert leaves_apart(facts) == frozenset()
    assert leaves_apart(facts, [joined]) == set(LEAVES)


def test_state_that_equals_the_last_one_is_published_once() -> None:
    days = (4, 3, 2, 1)
    message = Person().fold(
        [fact(number, NOW_US - day * DAY_US) for number, day in enumerate(days)]
    )
    assert message is not None
    states = [(tuple(s.true_predicates), s.occurred_at_us) for s in message.by_event]
    assert len(states) == 1, "after the first event; the second changes nothing"
    assert states[0][1] == NOW_US - 4 * DAY_US
    assert message.occurred_at_us == NOW_US - 2 * DAY_US


@pytest.mark.parametrize("own_us", [None, 5])
def test_merge_has_the_own_time_of_the_event_that_brought_it_and_a_decision_has_none(
    own_us: int | None,
) -> None:
    moved = ProfileAssignment(W, IdentifierId(LEAVES[1]), P, 2, None)
    gone = ProfileId(LEAVES[1])
    times = {} if own_us is None else {P: own_us}
    scopes = scopes_by_profile({}, {}, {}, [Reassignment(gone, moved)], {}, times)
    assert scopes == dict.fromkeys((P, gone), EvaluationScope(None, occurred_at_us=own_us))
    before = Evaluation(gone, W, 1, frozenset({1}), None, 3)
    emptied = ProfileState(gone, W, before, None, P)
    [tombstone] = evaluate_all(scopes, [emptied], {}, NOW_US).changed
    assert tombstone.occurred_at_us == own_us


def test_whole_evaluation_without_an_event_has_no_own_time() -> None:
    person = folded_together([fact(1, NOW_US - DAY_US)])
    states = [decode(raw) for raw in person.leaves.values()]
    before = Evaluation(P, W, 1, frozenset(), None, 3)
    profile = ProfileState(P, W, before, view_of(states))
    [changed] = evaluate_all({P: ALL_PREDICATES}, [profile], {W: INDEX}, NOW_US).changed
    assert (changed.occurred_at_us, changed.by_event) == (None, ())
    assert not change_to_proto(changed).HasField("occurred_at_us")
