"""Finds the facts that an answer rests on, by evaluating the rule without some of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence, Set
from itertools import combinations
from typing import TypeAlias

from services.kernel.explain.hypothesis import Hypotheses
from services.kernel.explain.model import Citation, ExplainedPart
from services.kernel.ids import FactId
from services.kernel.rules.ids import predicate_id
from services.kernel.rules.model import Predicate

#: Returns whether the answer is another one without some facts.
Changes: TypeAlias = Callable[[Iterable[FactId]], bool]

#: A larger set of facts is cited whole.
MAX_MINIMISED = 64
#: Of a set that is cited whole and larger than this, no part is removed alone.
MAX_PARTED = 2_000
#: Of so many facts all subsets are tried.
MAX_SUBSETS_OF = 8


def deciding(node: ExplainedPart) -> Iterator[Predicate]:
    """Yield the predicates that the answer rests on: while none of them changes, nor does it."""
    if isinstance(node.rule, Predicate):
        yield node.rule
    is_same_only = len(node.children) > 1
    for child in node.children:
        if not is_same_only or child.holds is node.holds:
            yield from deciding(child)


def cite(root: ExplainedPart, hypotheses: Hypotheses) -> Citation:
    """Return the facts that the answer rests on."""
    own = [predicate_id(predicate) for predicate in deciding(root)]
    candidates = hypotheses.read_by(frozenset(own))
    read = hypotheses.read_by(hypotheses.index.predicates.keys())
    if len(candidates) > MAX_MINIMISED:
        return _cite_many(candidates, hypotheses, holds=root.holds)
    varied = read if len(read) <= MAX_MINIMISED else candidates
    hypotheses.vary(varied)

    def changes(removed: Iterable[FactId]) -> bool:
        return hypotheses.holds(frozenset(removed)) is not root.holds

    needed = {fact for fact in candidates if changes([fact])}
    if candidates and changes(candidates):
        found = _minimised(candidates, needed, changes)
        return Citation(_newest_first(found), _newest_first(found))
    for removed in _removals(candidates, varied):
        if changes(removed):
            least = _minimised(removed, set(), changes)
            cited = [fact for fact in varied if fact in needed or fact in least]
            return Citation(_newest_first(cited), _newest_first(least))
    return Citation()


def _cite_many(candidates: Sequence[FactId], hypotheses: Hypotheses, *, holds: bool) -> Citation:
    """Cite all candidates; without a part of them the answer changes, if one of a few does it."""
    hypotheses.vary(candidates)
    newest = _newest_first(candidates)
    size = len(newest)
    parts = [newest]
    if size <= MAX_PARTED:
        parts += [newest[: size * n // 16] for n in range(1, 16)]
        parts += [newest[size * n // 16 :] for n in range(1, 16)]
    removed = (part for part in parts if part and hypotheses.holds(frozenset(part)) is not holds)
    return Citation(newest, next(removed, ()), is_minimal=False)


def _minimised(facts: Sequence[FactId], needed: Set[FactId], changes: Changes) -> list[FactId]:
    """Leave out one fact after the other, oldest first, while removing the rest has an effect."""
    left = list(facts)
    for fact in facts:
        if fact not in needed and len(left) > 1:
            without = [other for other in left if other != fact]
            if changes(without):
                left = without
    return left


def _removals(candidates: Sequence[FactId], varied: Sequence[FactId]) -> Iterator[Sequence[FactId]]:
    """Yield sets of facts to remove, small ones first; all sets of a small number of facts."""
    yield from ((fact,) for fact in varied)
    if len(varied) <= MAX_SUBSETS_OF:
        for size in range(2, len(varied) + 1):
            yield from combinations(varied, size)
        return
    for facts in (candidates, varied):
        yield from (facts[:n] for n in range(2, len(facts) + 1))
        yield from (facts[n:] for n in range(1, len(facts) - 1))


def _newest_first(facts: Sequence[FactId]) -> tuple[FactId, ...]:
    return tuple(reversed(facts))
