"""Tests accounts: the tree of parents, and members rolled up into one state."""

from __future__ import annotations

from itertools import permutations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.kernel.fold.events import GROUP, IDENTIFY, TRACK, EventView
from services.kernel.fold.leaf import LeafState, fold_event, view_of
from services.kernel.fold.predicate_index import PredicateIndex
from services.kernel.identifiers.priority import account_leaf
from services.kernel.ids import FactId, LeafId, ProfileId, WorkspaceId
from services.kernel.rules.model import Rule
from services.kernel.rules.values import Operator
from services.kernel.trust import SourceTrust
from services.profile.domain.accounts import (
    AccountTree,
    RollUp,
    StatedParent,
    accumulators_of,
    stated_parent,
)
from services.profile.domain.evaluation import ALL_PREDICATES, ProfileState, evaluate_all
from services.profile.domain.objects import encode_traits
from services.profile.store.profiles import account_row
from tests.index_key import INDEX_KEY
from tests.rule_builders import count_of, events_named, trait_is

W = WorkspaceId("w")
A, B, C, D = (ProfileId(bytes([n]) * 16) for n in b"abcd")
BOUGHT = count_of(events_named("bought"), 0, Operator.GE, 3)
LOCAL = trait_is("city", Operator.EQ, "北京市")


def fact(number: int) -> FactId:
    return FactId(number.to_bytes(16, "big"))


def group_event(number: int, member: bytes = b"m", trust: int = 0, **traits: object) -> EventView:
    """Return the account's copy of a group event."""
    raw = msgspec.json.encode(traits)
    return EventView(
        *(GROUP, "", number, fact(number), b"", raw),
        member_leaf=member * 16,
        trust=trust,
        object_type="account",
    )


def account(*events: EventView) -> LeafState:
    state = LeafState()
    for event in events:
        fold_event(state, event, PredicateIndex())
    return state


class TestStatedParent:
    def test_parent_in_any_order_of_events_is_the_last_one_stated(self) -> None:
        events = [
            group_event(1, parent_account_id="hq"),
            group_event(3, parent_account_id=" group "),
            group_event(2, parent_account_id="other"),
        ]
        parent = account_leaf(W, "group", INDEX_KEY)
        for order in permutations(events):
            assert stated_parent(W, account(*order), INDEX_KEY) == (3, fact(3), parent, 0)

    def test_null_removes_the_parent(self) -> None:
        state = account(
            group_event(1, parent_account_id="hq"), group_event(2, parent_account_id=None)
        )
        assert stated_parent(W, state, INDEX_KEY) == (2, fact(2), None, 0)

    def test_parent_is_that_of_the_most_trusted_source_and_not_the_last_one(self) -> None:
        events = [
            group_event(1, trust=SourceTrust.SYSTEM_OF_RECORD, parent_account_id="hq"),
            group_event(2, trust=SourceTrust.SERVER, parent_account_id="other"),
            group_event(3, trust=SourceTrust.PUBLIC, parent_account_id="forged"),
        ]
        parent = account_leaf(W, "hq", INDEX_KEY)
        for order in permutations(events):
            found = stated_parent(W, account(*order), INDEX_KEY)
            assert found == (1, fact(1), parent, SourceTrust.SYSTEM_OF_RECORD)

    def test_value_that_names_no_account_states_no_parent(self) -> None:
        state = account(group_event(1, parent_account_id=7))
        assert stated_parent(W, state, INDEX_KEY) == (1, fact(1), None, 0)
        assert stated_parent(W, account(group_event(1)), INDEX_KEY) is None

    def test_row_of_an_account_has_the_parent_of_its_state(self) -> None:
        state = account(group_event(4, parent_account_id="hq"))
        row = account_row(LeafId(A), W, state, INDEX_KEY)
        parent = account_leaf(W, "hq", INDEX_KEY)
        assert row == (A, W, (4, fact(4), parent, 0), "account", encode_traits(state))


def stated(
    at_us: int, number: int, parent: ProfileId | None, trust: int = SourceTrust.SERVER
) -> StatedParent:
    return StatedParent(at_us, fact(number), parent, trust)


class TestAccountTree:
    def test_chain_has_each_stated_parent(self) -> None:
        tree = AccountTree({A: stated(1, 1, B), B: stated(2, 2, C), C: stated(3, 3, None)})
        assert [tree.parent(x) for x in (A, B, C, D)] == [B, C, None, None]
        assert [tree.rejected_parent(x) for x in (A, B, C, D)] == [None] * 4

    def test_statement_of_a_public_source_loses_a_cycle_though_it_is_the_oldest(self) -> None:
        tree = AccountTree({A: stated(1, 1, B, SourceTrust.PUBLIC), B: stated(2, 2, A)})
        assert (tree.rejected_parent(A), tree.rejected_parent(B)) == (B, None)
        assert (tree.parent(A), tree.parent(B)) == (None, A)

    @pytest.mark.parametrize("last", range(3))
    def test_newest_statement_of_a_cycle_of_three_is_rejected(self, last: int) -> None:
        accounts = (A, B, C)
        parents = dict(zip(accounts, (B, C, A), strict=True))
        times = {name: 9 if at == last else at for at, name in enumerate(accounts)}
        for order in permutations(accounts):
            tree = AccountTree({name: stated(times[name], 1, parents[name]) for name in order})
            rejected = {
                name: tree.rejected_parent(name) for name in accounts if tree.rejected_parent(name)
            }
            assert rejected == {accounts[last]: parents[accounts[last]]}
            others = {name: tree.parent(name) for name in accounts if name != accounts[last]}
            assert others == {name: parents[name] for name in others}

    def test_statements_at_one_instant_are_ordered_by_the_fact_id(self) -> None:
        tree = AccountTree({A: stated(5, 2, B), B: stated(5, 1, A)})
        assert (tree.parent(A), tree.rejected_parent(A)) == (None, B)
        assert (tree.parent(B), tree.rejected_parent(B)) == (A, None)

    def test_account_that_states_itself_has_no_parent(self) -> None:
        """This happens where two accounts, each the other's parent, turn out to be one."""
        tree = AccountTree({A: stated(5, 2, A)})
        assert (tree.parent(A), tree.rejected_parent(A)) == (None, A)

    def test_child_of_an_account_in_a_cycle_is_not_in_the_cycle(self) -> None:
        tree = AccountTree({D: stated(9, 9, A), A: stated(1, 1, B), B: stated(2, 2, A)})
        assert (tree.parent(D), tree.rejected_parent(D)) == (A, None)
        assert (tree.parent(A), tree.rejected_parent(B)) == (B, A)

    @given(st.dictionaries(st.integers(0, 6), st.tuples(st.integers(0, 3), st.integers(0, 6))))
    def test_no_account_is_its_own_ancestor(self, statements: dict[int, tuple[int, int]]) -> None:
        accounts = [ProfileId(bytes([n]) * 16) for n in range(7)]
        tree = AccountTree(
            {accounts[n]: stated(at, n, accounts[up]) for n, (at, up) in statements.items()}
        )
        rejected = 0
        for account_id in accounts:
            seen, current = set(), account_id
            while current is not None and current not in seen:
                seen.add(current)
                current = tree.parent(current)
            assert current is None
            rejected += tree.rejected_parent(account_id) is not None
        assert rejected == count_cycles({n: up for n, (_, up) in statements.items()})


def count_cycles(parents: dict[int, int]) -> int:
    """Count the cycles, the slow way."""
    found = set()
    for start in parents:
        current, path = start, []
        while current in parents and current not in path:
            path.append(current)
            current = parents[current]
        if current in path:
            found.add(frozenset(path[path.index(current) :]))
    return len(found)


def leaf(*events: tuple[int, str, int, bytes], rules: list[Rule]) -> LeafState:
    state, index = LeafState(), PredicateIndex.from_rules(rules)
    for type_, name, number, traits in events:
        fold_event(state, EventView(type_, name, number, fact(number), b"", traits), index)
    return state


class TestRollUp:
    def test_members_in_any_order_are_combined_as_if_they_were_one_profile(self) -> None:
        rules: list[Rule] = [BOUGHT, LOCAL]
        members = [
            [(TRACK, "bought", 5, b""), (TRACK, "bought", 9, b"")],
            [(IDENTIFY, "", 2, '{"city":"北京市","secret":1}'.encode())],
            [(TRACK, "bought", 3, b""), (IDENTIFY, "", 1, b'{"city":"x"}')],
        ]
        for order in permutations(members):
            roll_up = RollUp(rules, at_us=10)
            for events in order:
                roll_up.add([leaf(*events, rules=rules)])
            results = [
                (holds, [a.actual for a in answers]) for _, holds, answers in roll_up.answers()
            ]
            assert results == [(True, [3]), (True, ["北京市"])]
            state = roll_up.state
            assert (state.first_seen_us, state.last_seen_us, state.event_count) == (1, 9, 5)

    def test_roll_up_retains_only_what_its_rules_read(self) -> None:
        roll_up = RollUp([LOCAL], at_us=10)
        events = [(TRACK, "bought", 5, b""), (IDENTIFY, "", 6, b'{"city":"x","secret":1}')]
        roll_up.add([leaf(*events, rules=[BOUGHT])])
        assert (list(roll_up.state.traits), roll_up.state.accumulators) == (["city"], {})

    def test_accumulators_of_a_rule_are_those_that_it_reads(self) -> None:
        assert accumulators_of(LOCAL) == frozenset()
        assert len(accumulators_of(BOUGHT)) == 1


class TestRulesApplyToPersons:
    def test_account_is_not_evaluated_even_where_a_rule_is_true_of_it(self) -> None:
        index = PredicateIndex.from_rules(
            [LOCAL, count_of(events_named("bought"), 0, Operator.LT, 1)]
        )
        state = account(group_event(1, city="北京市"))
        profiles = [
            ProfileState(A, W, None, view_of([state])),
            ProfileState(B, W, None, view_of([LeafState()])),
        ]
        scopes = {A: ALL_PREDICATES, B: ALL_PREDICATES}
        changes = evaluate_all(scopes, profiles, {W: index}, 5)
        assert [evaluation.profile_id for evaluation in changes.changed] == [B]
        assert not changes.rescheduled

    def test_profile_with_a_leaf_of_a_person_is_a_person(self) -> None:
        assert view_of([account(group_event(1))]).is_account
        assert not view_of([account(group_event(1)), LeafState()]).is_account
        assert not view_of([]).is_account
