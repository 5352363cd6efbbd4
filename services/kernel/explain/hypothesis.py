"""Evaluates a rule for a person with some facts removed and others added."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence, Set
from itertools import chain
from typing import Any, NamedTuple

from services.kernel.explain.model import Person
from services.kernel.fold.additions import traits_of_addition
from services.kernel.fold.events import GROUP, IDENTIFY, EventView, raw_members
from services.kernel.fold.leaf import LeafState, ProfileView, fold_event
from services.kernel.fold.predicate_index import PredicateIndex
from services.kernel.ids import FactId
from services.kernel.rules.evaluate import compile_rule
from services.kernel.rules.features import Related
from services.kernel.rules.filters import matcher
from services.kernel.rules.ids import predicates
from services.kernel.rules.model import Rule

_NONE: frozenset[int] = frozenset()
#: Steps in the search for the instant at which time alone changes an answer.
MAX_TURNS = 50


class Entry(NamedTuple):
    """An event with what it adds to an accumulator."""

    event: EventView
    entry: Any


class Hypotheses:
    """The answers of one rule, without references, at one instant for variants of one person."""

    def __init__(self, rule: Rule, person: Person, at_us: int) -> None:
        self.index = PredicateIndex(predicates(rule))
        states = tuple(map(self._fold, person.leaves))
        self._person = person
        self.view = self._view_of(states)
        self.at_us = max(at_us, self.view.last_seen_us)
        self._test = compile_rule(rule)
        self._read: dict[bytes, tuple[EventView, frozenset[int]]] = {}
        found: dict[int, list[Entry]] = defaultdict(list)
        for event in chain.from_iterable(person.leaves):
            self._add(event, found)
        #: The events of each accumulator that the rule reads, oldest first.
        self.entries: Mapping[int, Sequence[Entry]] = {
            id_: sorted(own, key=_by_time) for id_, own in found.items()
        }
        #: The state of the facts that a search does not vary.
        self._fixed = states
        self._varied: list[EventView] = []

    def _add(self, event: EventView, found: dict[int, list[Entry]]) -> None:
        """Note which predicates read an event, and what it adds to accumulators."""
        names: Iterable[str] = traits_of_addition(event)
        if event.type == IDENTIFY:
            names = (*names, *raw_members(event.traits))
        matching = self.index.matching_bindings(event)
        ids = _NONE.union(
            *map(self.index.affected_by_trait, names),
            *(binding.predicates for binding, _ in matching),
            self.index.related_predicates if event.type == GROUP else _NONE,
        )
        for binding, entry in matching:
            found[binding.accumulator_id].append(Entry(event, entry))
        if ids:
            self._read[event.fact_id] = (event, ids)

    @property
    def events(self) -> Iterable[EventView]:
        """The events that some predicate reads."""
        return (event for event, _ in self._read.values())

    def relating(self, feature: Related) -> list[EventView]:
        """Return the events that relate the person to objects which a feature counts."""
        matches, type_ = matcher(feature.where), feature.object_type
        return [
            event
            for event in self.events
            if event.type == GROUP
            and any(map(matches, self._person.objects_of([event.account_leaf]).get(type_, ())))
        ]

    def read_by(self, predicate_ids: Set[int]) -> list[FactId]:
        """Return the facts that some predicates read, oldest first."""
        found = (event for event, ids in self._read.values() if not ids.isdisjoint(predicate_ids))
        ordered = sorted(found, key=lambda event: (event.occurred_at_us, event.fact_id))
        return [FactId(event.fact_id) for event in ordered]

    def vary(self, fact_ids: Iterable[FactId]) -> None:
        """Prepare for answers without some of these facts; the state of all others is folded."""
        varied = set(fact_ids)
        self._varied = [event for event in self.events if event.fact_id in varied]
        rest = [event for event in self.events if event.fact_id not in varied]
        self._fixed = (self._fold(rest),) if rest else ()

    def holds(self, removed: Set[FactId] = frozenset(), added: Sequence[EventView] = ()) -> bool:
        """Return the answer without some of the varied facts, and with others added."""
        left = [event for event in self._varied if event.fact_id not in removed]
        return self.holds_of(self._view(left, added), self.at_us)

    def evaluate(self, predicate_id: int, added: Sequence[EventView]) -> bool:
        """Return the result of one predicate with facts added."""
        view = self._view(self._varied, added)
        return self.index.predicates[predicate_id].evaluate(view, self.at_us).holds

    def holds_of(self, view: ProfileView, at_us: int) -> bool:
        """Return the answer for a view at an instant."""
        results = ((id_, p.evaluate(view, at_us)) for id_, p in self.index.predicates.items())
        return self._test(frozenset(id_ for id_, result in results if result.holds))

    def next_due_us(self) -> int | None:
        """Return the earliest later instant at which time alone changes the answer."""
        now, at_us = self.holds_of(self.view, self.at_us), self.at_us
        for _ in range(MAX_TURNS):
            dues = (
                p.evaluate(self.view, at_us).next_due_us for p in self.index.predicates.values()
            )
            due_us = min((due for due in dues if due is not None), default=None)
            if due_us is None or self.holds_of(self.view, due_us) is not now:
                return due_us
            at_us = due_us
        return None

    def _view(self, left: Sequence[EventView], added: Sequence[EventView]) -> ProfileView:
        states = (self._fold([*left, *added]),) if left or added else ()
        return self._view_of((*self._fixed, *states))

    def _view_of(self, states: tuple[LeafState, ...]) -> ProfileView:
        view = ProfileView(states)
        if not self.index.related_predicates:
            return view
        return view.with_related(self._person.objects_of(view.accounts))

    def _fold(self, events: Iterable[EventView]) -> LeafState:
        state = LeafState()
        for event in events:
            fold_event(state, event, self.index)
        return state


def _by_time(one: Entry) -> tuple[int, bytes]:
    return one.event.occurred_at_us, one.event.fact_id
