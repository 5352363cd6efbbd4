"""Joins identifiers edge by edge, unless that would break a constraint."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence

from services.identity.domain.evidence import EvidenceKind, names_person
from services.identity.domain.held import HeldEdge, HeldReason
from services.identity.domain.persons import joins_persons
from services.identity.domain.policy import Policy


class ConstrainedSets:
    """Disjoint sets that respect the constraints of CROSS_PROFILE; only doubtful components are
    split."""

    def __init__(
        self,
        roots: Sequence[int],
        doubtful: Collection[int],
        namespaces: Sequence[str],
        apart: Iterable[tuple[int, int]],
        policy: Policy,
        person_ids: Sequence[bool],
    ) -> None:
        self._parent = [i if root in doubtful else root for i, root in enumerate(roots)]
        self._namespaces = namespaces
        #: By set: whether it has an identifier of a person or an account.
        self._has_person = [names_person(name) for name in namespaces]
        self._is_person_id = person_ids
        #: By set: whether it has the id of a person.
        self._has_person_id = list(person_ids)
        self._priority = policy.priority
        self._limits = {name: n for name in set(namespaces) if (n := policy.limit(name))}
        #: By set: the nodes that must not join it.
        self._separated: dict[int, set[int]] = {}
        for a, b in apart:
            self._separated.setdefault(a, set()).add(b)
            self._separated.setdefault(b, set()).add(a)
        #: By set: how many claims have joined groups in it.
        self._claims = Counter[int]()
        self._max_claims = policy.claimed_devices
        #: The nodes whose sets were full when a claim was tried, with that claim's other node.
        self.full: set[tuple[int, int]] = set()
        #: By set: how many identifiers it has of each namespace with a limit. None until the first
        #: edge to which limits apply.
        self._counts: dict[int, Counter[str]] | None = None

    def join(self, a: int, b: int, kind: int) -> HeldEdge | None:
        """Join the sets of two nodes, or return why they must not be joined."""
        left, right = self._root(a), self._root(b)
        if left == right:
            return None
        if kind == EvidenceKind.CLAIMED and self._max_claims and self._is_any_full(a, b):
            return HeldEdge(HeldReason.TOO_MANY_CLAIMS, "")
        if self._are_separated(left, right):
            return HeldEdge(HeldReason.SEPARATED, "")
        has_person = self._has_person
        if kind == EvidenceKind.CLAIMED and has_person[left] and has_person[right]:
            return HeldEdge(HeldReason.OTHER_PERSON, "")
        if kind > EvidenceKind.STATED:
            # Identifiers linked by decisions and aliases, all joined by now, count once together.
            if self._counts is None:
                self._counts = self._count()
            broken = self._broken_limit(self._counts, left, right)
            if broken:
                return HeldEdge(HeldReason.LIMIT, broken)
        if self._has_person_id[left] and self._has_person_id[right]:
            has_two = self._is_person_id[a] and self._is_person_id[b]
            if not joins_persons(kind, has_two):
                return HeldEdge(HeldReason.OTHER_PERSON, "")
        self._unite(left, right)
        self._claims[left] += self._claims.pop(right, 0) + (kind == EvidenceKind.CLAIMED)
        return None

    def roots(self) -> list[int]:
        return [self._root(i) for i in range(len(self._parent))]

    def _is_any_full(self, a: int, b: int) -> bool:
        """Return whether claims have joined as many groups as they may in the set of a node.

        This comes before all other reasons: nothing joins such a set any more, as claims are linked
        last. So every later claim at it is held for the same reason, whatever its other end is.
        """
        claims, most = self._claims, self._max_claims
        full = [(x, y) for x, y in ((a, b), (b, a)) if claims[self._root(x)] >= most]
        self.full.update(full)
        return bool(full)

    def _are_separated(self, left: int, right: int) -> bool:
        return any(self._root(node) == right for node in self._separated.get(left, ()))

    def _count(self) -> dict[int, Counter[str]]:
        counts: dict[int, Counter[str]] = {}
        for i, name in enumerate(self._namespaces):
            if name in self._limits:
                counts.setdefault(self._root(i), Counter())[name] = 1
        return counts

    def _broken_limit(self, counts: Mapping[int, Counter[str]], left: int, right: int) -> str:
        """Return the namespace of the highest priority whose limit a union breaks; else empty."""
        one, other = counts.get(left), counts.get(right)
        if not one or not other:
            return ""
        limits = self._limits
        broken = [name for name in one if name in other and one[name] + other[name] > limits[name]]
        return min(broken, key=lambda name: (self._priority(name), name), default="")

    def _unite(self, left: int, right: int) -> None:
        self._parent[right] = left
        self._has_person[left] |= self._has_person[right]
        self._has_person_id[left] |= self._has_person_id[right]
        separated = self._separated.pop(right, None)
        if separated:
            self._separated.setdefault(left, set()).update(separated)
        counts = self._counts.pop(right, None) if self._counts is not None else None
        if counts and self._counts is not None:
            self._counts.setdefault(left, Counter()).update(counts)

    def _root(self, i: int) -> int:
        parent = self._parent
        while (above := parent[i]) != i:
            parent[i] = i = parent[above]
        return i
