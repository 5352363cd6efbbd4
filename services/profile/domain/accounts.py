"""Describes accounts: their parents in a tree, and their members rolled up into one state.

An account is a profile all of whose leaves belong to an account. It has traits, members and a
parent. Rules apply to persons only, so an account has no tags, segments or evaluation.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from services.kernel.fold.events import read_value
from services.kernel.fold.leaf import LeafState, ProfileView, combine, view_of
from services.kernel.identifiers.model import Identifier
from services.kernel.identifiers.normalize import account_of
from services.kernel.identifiers.priority import account_leaf
from services.kernel.ids import FactId, LeafId, ProfileId, WorkspaceId
from services.kernel.index_key import IndexKey
from services.kernel.rules.evaluate import CompiledPredicate, compile_predicate
from services.kernel.rules.ids import predicates
from services.kernel.rules.model import Rule
from services.profile.domain.tags import PredicateAnswer, answer_rule

#: The trait of an account that names its parent by its group id.
PARENT_TRAIT = "parent_account_id"


class StatedParent(NamedTuple):
    """The parent that a leaf of an account states."""

    #: Unix microseconds.
    occurred_at_us: int
    fact_id: FactId
    #: The leaf or, once looked up, the profile of the parent; None where the account has none.
    parent: bytes | None
    #: The trust of the source, as services.kernel.trust.SourceTrust.
    trust: int = 0

    @property
    def precedence(self) -> tuple[int, int, FactId]:
        """Return the sort key of statements about one account: the greatest one wins."""
        return self.trust, self.occurred_at_us, self.fact_id

    @property
    def doubt(self) -> tuple[int, int, FactId]:
        """Return the sort key of statements that contradict each other: the greatest one loses."""
        return -self.trust, self.occurred_at_us, self.fact_id


def stated_parent(
    workspace_id: WorkspaceId, state: LeafState, index_key: IndexKey
) -> StatedParent | None:
    """Return the parent that the leaf of an account states; None where it never stated any."""
    trait = state.traits.get(PARENT_TRAIT)
    if trait is None:
        return None
    trust, occurred_at_us, fact_id, raw, _ = trait
    value = read_value(raw)
    parent = account_leaf(workspace_id, value, index_key) if isinstance(value, str) else None
    return StatedParent(occurred_at_us, FactId(fact_id), parent, trust)


def stated_parent_names(view: ProfileView) -> tuple[str, ...]:
    """Return the group id of the stated parent, for a parent that no event names itself."""
    value = view.trait(PARENT_TRAIT)
    account = account_of(value) if isinstance(value, str) else None
    return () if account is None else (account.value,)


class AccountTree:
    """The parent of each account: a pure function of the stated parents.

    No account is its own ancestor. Of the statements that close a cycle, the one of least trust
    is rejected, and of these the newest.
    """

    def __init__(self, stated: Mapping[ProfileId, StatedParent]) -> None:
        """`stated`: the statement that wins of each account and of all its ancestors."""
        self._stated = stated

    def parent(self, account: ProfileId) -> ProfileId | None:
        """Return the parent; None where there is none, or where it is rejected."""
        return None if self.rejected_parent(account) else self._stated_parent(account)

    def rejected_parent(self, account: ProfileId) -> ProfileId | None:
        """Return the stated parent where it is rejected, else None."""
        cycle = self._cycle(account)
        if cycle and account == max(cycle, key=lambda member: self._stated[member].doubt):
            return self._stated_parent(account)
        return None

    def _stated_parent(self, account: ProfileId) -> ProfileId | None:
        stated = self._stated.get(account)
        return None if stated is None or stated.parent is None else ProfileId(stated.parent)

    def _cycle(self, account: ProfileId) -> Collection[ProfileId]:
        """Return the accounts of the cycle that includes an account; empty where there is none."""
        seen: dict[ProfileId, None] = {}
        current: ProfileId | None = account
        while current is not None and current not in seen:
            seen[current] = None
            current = self._stated_parent(current)
        return seen if current == account else ()


class AccountName(NamedTuple):
    """The ids by which an account is known."""

    profile_id: ProfileId
    #: Its group ids, sorted.
    account_ids: Sequence[str]


@dataclass(frozen=True, slots=True)
class Account:
    """One account as the API returns it."""

    profile_id: ProfileId
    identifiers: Sequence[Identifier]
    view: ProfileView
    leaf_ids: Sequence[LeafId]
    parent: AccountName | None
    rejected_parent: AccountName | None


@dataclass(slots=True)
class RollUp:
    """All members of accounts, combined as if they were one profile.

    Leaf states form a monoid, so they are combined as they are read; only what the rules need is
    retained.
    """

    rules: Sequence[Rule]
    #: The instant as of which rules are evaluated, Unix microseconds.
    at_us: int
    #: The number of accounts.
    accounts: int = 1
    members: int = 0
    state: LeafState = field(default_factory=LeafState)

    def add(self, states: Iterable[LeafState]) -> None:
        """Add the leaves of members; each leaf must be added once."""
        traits = frozenset(name for r in self.rules for c in _compiled(r) for name in c.traits)
        accumulators = frozenset[int]().union(*map(accumulators_of, self.rules))
        for state in states:
            self.state = combine(self.state, _project(state, traits, accumulators))

    def answers(self) -> Iterator[tuple[Rule, bool, list[PredicateAnswer]]]:
        """Yield each rule, whether it is true, and the result of each of its predicates."""
        view = view_of([self.state])
        for rule in self.rules:
            holds, answers = answer_rule(rule, view, self.at_us)
            yield rule, holds, answers


def accumulators_of(rule: Rule) -> frozenset[int]:
    """Return the ids of the accumulators that a rule reads."""
    return frozenset().union(*(c.accumulator_ids for c in _compiled(rule)))


@dataclass(frozen=True, slots=True)
class AccountDetails:
    """An account with its children and members."""

    account: Account
    children: Sequence[AccountName]
    #: One page of the profiles that the members are now, ascending.
    members: Sequence[ProfileId]
    #: The last member of the page; b"" where the page is the last one.
    last_member: bytes
    #: None after the first page of members.
    roll_up: RollUp | None


def _compiled(rule: Rule) -> list[CompiledPredicate]:
    return [compile_predicate(predicate) for predicate in predicates(rule)]


def _project(state: LeafState, traits: frozenset[str], accumulators: frozenset[int]) -> LeafState:
    """Return the state with these traits and accumulators only, and without sets of leaves."""
    return LeafState(
        state.first_seen_us,
        state.last_seen_us,
        state.event_count,
        {name: value for name, value in state.traits.items() if name in traits},
        {id_: value for id_, value in state.accumulators.items() if id_ in accumulators},
        party_traits={k: v for k, v in state.party_traits.items() if k[1:] in traits},
    )
