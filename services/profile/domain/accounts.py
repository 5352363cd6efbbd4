"""Accounts: what is told of them, which lies above which, and their members taken together.

An account is a profile whose leaves are an account's. It has traits, members and a parent; rules
are for persons, so no tag, segment or standing is ever an account's.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from services.kernel.fold.events import read_value
from services.kernel.fold.leaf import LeafState, ProfileView, combine, view_of
from services.kernel.identifiers import Identifier, account_leaf, account_of
from services.kernel.ids import FactId, LeafId, ProfileId, WorkspaceId
from services.kernel.rules.evaluate import CompiledPredicate, compile_predicate
from services.kernel.rules.ids import predicates
from services.kernel.rules.model import Rule
from services.profile.domain.tags import Answer, answer

#: The trait of an account that names the account above it, by its group id.
PARENT = "parent_account_id"


class Stated(NamedTuple):
    """What is above an account, as a leaf of it says. The greatest one counts: the last writer."""

    #: Unix microseconds.
    occurred_at_us: int
    fact_id: FactId
    #: The leaf or, as it was looked up, the profile of the parent; None where there is none.
    above: bytes | None


def stated_parent(workspace_id: WorkspaceId, state: LeafState) -> Stated | None:
    """What the leaf of an account says of its parent; None where it never said anything."""
    told = state.traits.get(PARENT)
    if told is None:
        return None
    value = read_value(told[2])
    above = account_leaf(workspace_id, value) if isinstance(value, str) else None
    return Stated(told[0], FactId(told[1]), above)


def stated_names(view: ProfileView) -> tuple[str, ...]:
    """The group id of the parent as the account states it: all that is known of one that nothing
    else names."""
    value = view.trait(PARENT)
    account = account_of(value) if isinstance(value, str) else None
    return () if account is None else (account.value,)


class Tree:
    """Which account lies above which; a pure function of what is stated.

    No account is above itself, through however many others: of the statements that close a circle,
    the one that came last is refused.
    """

    def __init__(self, stated: Mapping[ProfileId, Stated]) -> None:
        """`stated`: the newest statement of each account, of all those that lie above others."""
        self._stated = stated

    def parent(self, account: ProfileId) -> ProfileId | None:
        """The account above; None where there is none, or where it is refused."""
        return None if self.refused(account) else self._above(account)

    def refused(self, account: ProfileId) -> ProfileId | None:
        """The account that is stated to be above, where that is refused."""
        circle = self._circle(account)
        if circle and account == max(circle, key=lambda one: self._stated[one][:2]):
            return self._above(account)
        return None

    def _above(self, account: ProfileId) -> ProfileId | None:
        stated = self._stated.get(account)
        return None if stated is None or stated.above is None else ProfileId(stated.above)

    def _circle(self, account: ProfileId) -> Collection[ProfileId]:
        """The accounts of the circle in which an account lies; empty where it lies in none."""
        seen: dict[ProfileId, None] = {}
        at: ProfileId | None = account
        while at is not None and at not in seen:
            seen[at] = None
            at = self._above(at)
        return seen if at == account else ()


class AccountName(NamedTuple):
    """An account, named."""

    profile_id: ProfileId
    #: Its group ids, sorted.
    account_ids: Sequence[str]


@dataclass(frozen=True, slots=True)
class Account:
    """One account, as told outside."""

    profile_id: ProfileId
    identifiers: Sequence[Identifier]
    view: ProfileView
    leaf_ids: Sequence[LeafId]
    parent: AccountName | None
    refused_parent: AccountName | None


class Members(NamedTuple):
    """Some members of an account, as the profiles they are now; ascending."""

    profile_ids: Sequence[ProfileId]
    #: Whether there are more after these.
    more: bool


@dataclass(slots=True)
class RolledUp:
    """What is known of many persons together, as if they were one.

    States are monoids, so they are joined as they come, and only what the rules ask is kept.
    """

    rules: Sequence[Rule]
    #: As of when rules are evaluated, Unix microseconds.
    at_us: int
    #: How many accounts it is made of.
    accounts: int = 1
    members: int = 0
    state: LeafState = field(default_factory=LeafState)

    def take(self, states: Iterable[LeafState]) -> None:
        """Take leaves of members in, each of which must come once."""
        traits = frozenset(c.trait for r in self.rules for c in _compiled(r) if c.trait is not None)
        series = frozenset[int]().union(*map(series_of, self.rules))
        for state in states:
            self.state = combine(self.state, _only(state, traits, series))

    def answers(self) -> Iterator[tuple[Rule, bool, list[Answer]]]:
        """How each rule comes out, and each of its predicates."""
        view = view_of([self.state])
        for rule in self.rules:
            yield rule, *answer(rule, view, self.at_us)


def series_of(rule: Rule) -> frozenset[int]:
    """The series that a rule needs."""
    return frozenset(c.accumulator_id for c in _compiled(rule) if c.accumulator_id is not None)


@dataclass(frozen=True, slots=True)
class Found:
    """An account with what lies around it."""

    account: Account
    children: Sequence[AccountName]
    members: Members
    #: None where it was not asked for.
    rolled_up: RolledUp | None


def _compiled(rule: Rule) -> list[CompiledPredicate]:
    return [compile_predicate(predicate) for predicate in predicates(rule)]


def _only(state: LeafState, traits: frozenset[str], series: frozenset[int]) -> LeafState:
    return LeafState(
        state.first_seen_us,
        state.last_seen_us,
        state.event_count,
        {name: told for name, told in state.traits.items() if name in traits},
        {id_: kept for id_, kept in state.accumulators.items() if id_ in series},
    )
