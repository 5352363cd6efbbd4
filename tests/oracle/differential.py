"""Compares the incremental evaluator with the oracle: one predicate, one log, many instants.

The log is folded as profile folds it: events on several leaves, each leaf in another order, in
parts that are combined; and read with all leaves and without one (after an unmerge).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from random import Random
from typing import Any

from oracle import random_logs, random_rules
from oracle import rules_oracle as oracle
from oracle.rules_oracle import OracleEvent
from oracle.rules_strategies import view_of

from services.kernel.fold.leaf import LeafState, ProfileView, combine, decode, encode, fold_event
from services.kernel.fold.predicate_index import PredicateIndex
from services.kernel.rules.evaluate import PredicateResult, compile_predicate
from services.kernel.rules.features import Trait
from services.kernel.rules.model import Predicate

LEAVES = 3
#: The number of later instants at which a case is compared.
LATER = 6


@dataclass(frozen=True)
class Case:
    """A predicate and the facts of one person; the seed decides about order and instants."""

    seed: int
    predicate: Predicate
    log: list[OracleEvent]
    related: dict[str, list[dict[str, Any]]]


def make_case(seed: int, kind: str = "") -> Case:
    """Return a random case, of a feature of some class or of a narrow part of the language."""
    random = Random(f"{kind}{seed}")
    is_narrow = kind in random_rules.NARROW
    make = random_rules.make_narrow_predicate if is_narrow else random_rules.make_predicate
    predicate = make(random, kind)
    name = type(predicate.feature).__name__
    theme = random_logs.THEME_OF.get(kind) or random_logs.THEME_OF.get(name, "events")
    log = random_logs.make_log(random, theme)
    related = random_logs.make_related(random) if name == "Related" else {}
    return Case(seed, predicate, log, related)


def first_disagreement(cases: Iterator[Case]) -> str:
    """Return how the first case on which the evaluator is wrong is so, in a small form; or none."""
    for case in cases:
        if disagreement(case):
            smaller = _shrunk(case)
            return f"{disagreement(smaller)}\n{smaller}"
    return ""


def disagreement(case: Case) -> str:
    """Return how the evaluator and the oracle disagree, empty = they do not."""
    random = Random(case.seed)
    for events, view in folded(case, random):
        now_us = random_logs.newest(events)
        instants = [now_us, *random_logs.later_instants(events, random, LATER)]
        expected = _Expected(case, events)
        evaluate = compile_predicate(case.predicate).evaluate
        for at_us in instants:
            result = evaluate(view, at_us)
            wrong = expected.compare(result, at_us) or _wrong_due(
                result, at_us, expected.holds, [later for later in instants if later > at_us]
            )
            if wrong:
                return f"at {at_us} of {len(events)} events: {wrong}; got {result}"
    return ""


def folded(case: Case, random: Random) -> Iterator[tuple[list[OracleEvent], ProfileView]]:
    """Yield the events of a case with their view, and those without one leaf."""
    index = PredicateIndex([case.predicate])
    parts: list[list[OracleEvent]] = [[] for _ in range(LEAVES)]
    for event in case.log:
        parts[random.choice((0, 0, random.randrange(LEAVES)))].append(event)
    states = [_fold(part, index, random) for part in parts]
    yield case.log, ProfileView(tuple(states), case.related)
    removed = random.randrange(LEAVES)
    if parts[removed]:
        rest = [i for i in range(LEAVES) if i != removed]
        events = [event for i in rest for event in parts[i]]
        yield events, ProfileView(tuple(states[i] for i in rest), case.related)


def _fold(events: list[OracleEvent], index: PredicateIndex, random: Random) -> LeafState:
    """Fold events in another order, in up to three parts that are combined."""
    shuffled = random.sample(events, len(events))
    state = LeafState()
    for number in range(random.randrange(1, 4)):
        part = LeafState()
        size = random.randrange(len(shuffled) + 1)
        for event in shuffled if number == 2 else shuffled[:size]:
            fold_event(part, view_of(event), index)
        shuffled = [] if number == 2 else shuffled[size:]
        state = decode(encode(combine(state, part)))
    for event in shuffled:
        fold_event(state, view_of(event), index)
    return state


@dataclass
class _Expected:
    """The values and results of the oracle."""

    case: Case
    events: list[OracleEvent]

    def holds(self, at_us: int) -> bool:
        return oracle.rule_holds(self.case.predicate, self.events, at_us, self.case.related)

    def compare(self, result: PredicateResult, at_us: int) -> str:
        """Return what is wrong with a result but its due."""
        value = oracle.actual(self.case.predicate, self.events, at_us, self.case.related)
        value = list(value) if isinstance(value, tuple) else value  # a path through a list
        is_equal = result.actual == value and oracle.kind(result.actual) == oracle.kind(value)
        # All but traits have one form: 1 and 1.0 are another one.
        is_same = isinstance(self.case.predicate.feature, Trait) or repr(result.actual) == repr(
            value
        )
        if not (is_equal and is_same):
            return f"the value is {value!r}"
        return "" if result.holds is self.holds(at_us) else "`holds` is wrong"


def _wrong_due(
    result: PredicateResult, at_us: int, holds: Callable[[int], bool], later: list[int]
) -> str:
    """Return what is wrong with the instant at which time alone changes the result."""
    due_us = result.next_due_us
    if due_us is not None:
        if due_us <= at_us:
            return "the due is no later instant"
        if holds(due_us - 1) is not result.holds:
            return "the result changes before the due"
        if holds(due_us) is result.holds:
            return "the result does not change at the due"
    for instant_us in later:
        if (due_us is None or instant_us < due_us) and holds(instant_us) is not result.holds:
            return f"the result is another one at {instant_us}"
    return ""


def _shrunk(case: Case) -> Case:
    """Return a case with fewer events that is wrong too."""
    for i in range(len(case.log)):
        smaller = replace(case, log=case.log[:i] + case.log[i + 1 :])
        if disagreement(smaller):
            return _shrunk(smaller)
    return case
