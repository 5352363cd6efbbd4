"""Accounts: which lies above which, and their members taken together."""

from __future__ import annotations

from itertools import permutations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.kernel.fold.events import GROUP, IDENTIFY, TRACK, EventView
from services.kernel.fold.leaf import LeafState, fold_event, view_of
from services.kernel.fold.predicate_index import PredicateIndex
from services.kernel.identifiers import account_leaf
from services.kernel.ids import FactId, LeafId, ProfileId, WorkspaceId
from services.kernel.rules.model import CountPredicate, EventFilter, Rule, TraitPredicate
from services.kernel.rules.values import Operator
from services.profile.domain.accounts import RolledUp, Stated, Tree, series_of, stated_parent
from services.profile.domain.decisions import Person, decide
from services.profile.domain.evaluation import EVERYTHING
from services.profile.store.accounts import account_row

W = WorkspaceId("w")
A, B, C, D = (ProfileId(bytes([n]) * 16) for n in b"abcd")
BOUGHT = CountPredicate(EventFilter("bought"), 0, Operator.GE, 3)
LOCAL = TraitPredicate("city", Operator.EQ, "北京市")


def fact(number: int) -> FactId:
    return FactId(number.to_bytes(16, "big"))


def grouped(number: int, member: bytes = b"m", **traits: object) -> EventView:
    """The account's copy of a group event."""
    stated = msgspec.json.encode(traits)
    return EventView(GROUP, "", number, fact(number), b"", stated, member_leaf=member * 16)


def account(*events: EventView) -> LeafState:
    state = LeafState()
    for event in events:
        fold_event(state, event, PredicateIndex())
    return state


class TestParents:
    def test_the_last_word_counts_whatever_came_first(self) -> None:
        told = [
            grouped(1, parent_account_id="hq"),
            grouped(3, parent_account_id=" group "),
            grouped(2, parent_account_id="other"),
        ]
        above = account_leaf(W, "group")
        for order in permutations(told):
            assert stated_parent(W, account(*order)) == (3, fact(3), above)

    def test_null_takes_it_away(self) -> None:
        told = account(grouped(1, parent_account_id="hq"), grouped(2, parent_account_id=None))
        assert stated_parent(W, told) == (2, fact(2), None)

    def test_what_names_no_account_is_none(self) -> None:
        assert stated_parent(W, account(grouped(1, parent_account_id=7))) == (1, fact(1), None)
        assert stated_parent(W, account(grouped(1))) is None

    def test_the_row_says_what_the_state_says(self) -> None:
        state = account(grouped(4, parent_account_id="hq"))
        row = account_row(LeafId(A), W, state)
        assert row == (A, W, (4, fact(4), account_leaf(W, "hq")))


def stated(at_us: int, number: int, above: ProfileId | None) -> Stated:
    return Stated(at_us, fact(number), above)


class TestTree:
    def test_a_chain(self) -> None:
        tree = Tree({A: stated(1, 1, B), B: stated(2, 2, C), C: stated(3, 3, None)})
        assert [tree.parent(x) for x in (A, B, C, D)] == [B, C, None, None]
        assert [tree.refused(x) for x in (A, B, C, D)] == [None] * 4

    @pytest.mark.parametrize("last", range(3))
    def test_of_three_in_a_circle_the_last_statement_is_refused(self, last: int) -> None:
        names = (A, B, C)
        above = dict(zip(names, (B, C, A), strict=True))
        times = {name: 9 if at == last else at for at, name in enumerate(names)}
        for order in permutations(names):
            tree = Tree({name: stated(times[name], 1, above[name]) for name in order})
            refused = {name: tree.refused(name) for name in names if tree.refused(name)}
            assert refused == {names[last]: above[names[last]]}
            kept = {name: tree.parent(name) for name in names if name != names[last]}
            assert kept == {name: above[name] for name in kept}

    def test_at_one_instant_the_fact_decides(self) -> None:
        tree = Tree({A: stated(5, 2, B), B: stated(5, 1, A)})
        assert (tree.parent(A), tree.refused(A)) == (None, B)
        assert (tree.parent(B), tree.refused(B)) == (A, None)

    def test_itself(self) -> None:
        """As two accounts turn out to be one of which each was above the other."""
        tree = Tree({A: stated(5, 2, A)})
        assert (tree.parent(A), tree.refused(A)) == (None, A)

    def test_who_lies_below_a_circle_is_not_in_it(self) -> None:
        tree = Tree({D: stated(9, 9, A), A: stated(1, 1, B), B: stated(2, 2, A)})
        assert (tree.parent(D), tree.refused(D)) == (A, None)
        assert (tree.parent(A), tree.refused(B)) == (B, A)

    @given(st.dictionaries(st.integers(0, 6), st.tuples(st.integers(0, 3), st.integers(0, 6))))
    def test_nobody_is_ever_above_themselves(self, told: dict[int, tuple[int, int]]) -> None:
        names = [ProfileId(bytes([n]) * 16) for n in range(7)]
        tree = Tree({names[n]: stated(at, n, names[up]) for n, (at, up) in told.items()})
        refused = 0
        for name in names:
            seen, at = set(), name
            while at is not None and at not in seen:
                seen.add(at)
                at = tree.parent(at)
            assert at is None
            refused += tree.refused(name) is not None
        assert refused == circles({n: up for n, (_, up) in told.items()})


def circles(above: dict[int, int]) -> int:
    """How many circles there are: the slow way."""
    found = set()
    for start in above:
        at, path = start, []
        while at in above and at not in path:
            path.append(at)
            at = above[at]
        if at in path:
            found.add(frozenset(path[path.index(at) :]))
    return len(found)


def person(*events: tuple[int, str, int, bytes], rules: list[Rule]) -> LeafState:
    state, catalogue = LeafState(), PredicateIndex.from_rules(rules)
    for type_, name, number, traits in events:
        fold_event(state, EventView(type_, name, number, fact(number), b"", traits), catalogue)
    return state


class TestRollUp:
    def test_members_are_taken_as_if_they_were_one(self) -> None:
        rules: list[Rule] = [BOUGHT, LOCAL]
        lives = [
            [(TRACK, "bought", 5, b""), (TRACK, "bought", 9, b"")],
            [(IDENTIFY, "", 2, '{"city":"北京市","secret":1}'.encode())],
            [(TRACK, "bought", 3, b""), (IDENTIFY, "", 1, b'{"city":"x"}')],
        ]
        for order in permutations(lives):
            rolled_up = RolledUp(rules, at_us=10)
            for life in order:
                rolled_up.take([person(*life, rules=rules)])
            told = [
                (holds, [a.actual for a in answers]) for _, holds, answers in rolled_up.answers()
            ]
            assert told == [(True, [3]), (True, ["北京市"])]
            state = rolled_up.state
            assert (state.first_seen_us, state.last_seen_us, state.event_count) == (1, 9, 5)

    def test_only_what_is_asked_is_kept(self) -> None:
        rolled_up = RolledUp([LOCAL], at_us=10)
        life = [(TRACK, "bought", 5, b""), (IDENTIFY, "", 6, b'{"city":"x","secret":1}')]
        rolled_up.take([person(*life, rules=[BOUGHT])])
        assert (list(rolled_up.state.traits), rolled_up.state.accumulators) == (["city"], {})

    def test_the_series_of_rules(self) -> None:
        assert series_of(LOCAL) == frozenset()
        assert len(series_of(BOUGHT)) == 1


class TestRulesAreForPersons:
    def test_an_account_stands_nowhere(self) -> None:
        """Though what is asked would hold of it."""
        catalogue = PredicateIndex.from_rules(
            [LOCAL, CountPredicate(EventFilter("bought"), 0, Operator.LT, 1)]
        )
        state = account(grouped(1, city="北京市"))
        people = [Person(A, W, None, view_of([state])), Person(B, W, None, view_of([LeafState()]))]
        asked = {A: EVERYTHING, B: EVERYTHING}
        decided = decide(asked, people, {W: catalogue}, 5)
        assert [standing.profile_id for standing in decided.news] == [B]
        assert not decided.dues

    def test_a_leaf_of_a_person_makes_a_person(self) -> None:
        assert view_of([account(grouped(1))]).is_account
        assert not view_of([account(grouped(1)), LeafState()]).is_account
        assert not view_of([]).is_account
