"""Makes the evidence of a workspace in parts of whole components, which bounds the memory."""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from services.identity.codec.bus import LinkDecision
from services.identity.codec.compact_sets import CompactSets, identifier_set_of, span_of_compact
from services.identity.domain.components import connected_components
from services.identity.domain.evidence import Evidence, Observation
from services.identity.projection.evidence_cache import EvidenceCache
from services.identity.projection.fold import add_decisions, decision_identifiers
from services.kernel.ids import IdentifierId, WorkspaceId

_NOTHING = IdentifierId(b"")


@dataclass(slots=True)
class BulkEvidence:
    """All evidence of one workspace, in a compact form.

    What is known of an identifier depends on its component alone: on those that any evidence leads
    to, whether it links them or not. So components can be resolved one after the other.
    """

    workspace_id: WorkspaceId
    cache: EvidenceCache
    sets: CompactSets = field(default_factory=dict)
    decisions: list[LinkDecision] = field(default_factory=list)

    def parts(self, size: int) -> Iterator[Evidence]:
        """Yield the evidence in parts of whole components, each of at least `size` sets but the
        last. A set is given up as soon as its evidence is made."""
        if len(self.sets) <= size:
            yield self._evidence(list(self.sets), self.decisions)
            return
        for keys, decisions in self._partition(size):
            yield self._evidence(keys, decisions)

    def _evidence(self, keys: Sequence[bytes], decisions: Sequence[LinkDecision]) -> Evidence:
        evidence = Evidence()
        for key in keys:
            evidence.add(self._observation(key), span_of_compact(self.sets.pop(key)))
        add_decisions(evidence, self.cache, decisions)
        return evidence

    def _observation(self, key: bytes) -> Observation:
        return self.cache.observation(identifier_set_of(self.workspace_id, key))

    def _partition(self, size: int) -> list[tuple[list[bytes], list[LinkDecision]]]:
        """Return the sets and the decisions of each part."""
        components = _Components()
        of_sets = array(
            "i", [components.add(self._observation(key).identifiers) for key in self.sets]
        )
        named = [decision_identifiers(self.cache, one) for one in self.decisions]
        of_decisions = [components.add(ids) if ids else 0 for ids in named]
        roots = components.roots()
        part_of: dict[int, int] = {}
        count = sets = 0
        for root, number in Counter(roots[one] for one in of_sets).items():
            if sets >= size:
                count, sets = count + 1, 0
            part_of[root] = count
            sets += number
        parts = [(list[bytes](), list[LinkDecision]()) for _ in range(count + 1)]
        for key, one in zip(self.sets, of_sets, strict=True):
            parts[part_of[roots[one]]][0].append(key)
        for decision, one in zip(self.decisions, of_decisions, strict=True):
            parts[part_of.get(roots[one], 0)][1].append(decision)
        return parts


class _Components:
    """Numbers identifiers, and finds which of them belong together: some dozens of bytes each."""

    def __init__(self) -> None:
        self._numbers: dict[IdentifierId, int] = {}
        self._firsts, self._others = array("i"), array("i")

    def add(self, ids: Iterable[IdentifierId]) -> int:
        """Add identifiers that belong together, and return the number of the first of them.

        Where there are none, as they are not valid any more, that is a component of its own.
        """
        named = [*ids] or [_NOTHING]
        first, *others = (self._numbers.setdefault(id_, len(self._numbers)) for id_ in named)
        self._firsts.extend([first] * len(others))
        self._others.extend(others)
        return first

    def roots(self) -> Sequence[int]:
        """Return the component of each number."""
        pairs = zip(self._firsts, self._others, strict=True)
        return connected_components(len(self._numbers), pairs)
