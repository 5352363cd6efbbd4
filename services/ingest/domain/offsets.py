"""Plans an append: decides which facts are new, and their order in each shard.

Several callers share one transaction. Their facts are planned one caller after another, as if each
had called alone. A plan counts ranks from the heads of the shards, so it does not need the heads.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import NamedTuple, TypeAlias

from services.ingest.domain.facts import AppendResult, FactRow, NewFact
from services.kernel.errors import Conflict, TokenNotReached
from services.kernel.ids import shard_of
from services.kernel.tokens import Token

#: (shard, fact id): the log has each key once.
DedupKey: TypeAlias = tuple[int, bytes]
#: The keys of each fact of a request: one, or one for each shard where the fact is a broadcast.
RequestKeys: TypeAlias = list[tuple[DedupKey, ...]]
#: (kind id, content tag): facts with the same key are the same fact if their content is equal.
FactContent: TypeAlias = tuple[int, bytes]
#: (shard, rank, kind id, fact): the offset of a new fact is its shard's head plus its rank.
PlannedFact: TypeAlias = tuple[int, int, int, NewFact]
#: The kind of a fact that an erasure has overwritten: what is sent again of it stays a repeat.
ERASED = "onefold.log.v1.FactErased"
#: What one caller gets: a result, or the error to raise.
AppendOutcome: TypeAlias = AppendResult | Conflict | TokenNotReached


class AppendRequest(NamedTuple):
    """The facts of one caller."""

    facts: Sequence[NewFact]
    #: Append nothing where one of the fact ids is in the log with other content.
    atomic: bool = False
    #: The facts about persons follow from what was recorded up to this instant, Unix microseconds;
    #: 0 = they do not follow from the log.
    known_us: int = 0


class ShardHeads(NamedTuple):
    """The heads of the locked shards, and the instant of the transaction."""

    #: By shard, the offset after its last fact.
    next: Mapping[int, int]
    #: When the new facts are recorded, Unix microseconds.
    instant_us: int
    #: The life of the log; see `services.chassis.messaging.lives`.
    life: int = 0


class _RequestAssignment(NamedTuple):
    """The outcome of one request; its token follows from the heads."""

    facts: int
    duplicates: list[int]
    conflicting: list[int]
    #: By shard with a fact of this request, the number of new facts there up to this request.
    counts: dict[int, int]

    def result(self, heads: ShardHeads) -> AppendResult:
        ends = {shard: heads.next[shard] + count for shard, count in self.counts.items()}
        return AppendResult(
            appended=self.facts - len(self.duplicates) - len(self.conflicting),
            duplicates=frozenset(self.duplicates),
            conflicting=frozenset(self.conflicting),
            token=Token.from_offsets(ends),
            recorded_at_us=heads.instant_us,
        )


@dataclass(slots=True)
class AppendPlan:
    """The new facts of a transaction, and the outcome of each request."""

    #: The content of the facts that are in the log; planning adds the new ones.
    contents: dict[DedupKey, FactContent]
    facts: list[PlannedFact] = field(default_factory=list)
    #: By shard, the number of new facts.
    counts: defaultdict[int, int] = field(default_factory=lambda: defaultdict(int))
    assignments: list[_RequestAssignment | Conflict | TokenNotReached] = field(default_factory=list)

    def rows(self, heads: ShardHeads) -> list[FactRow]:
        """Return the rows of the new facts. A fact never occurs after it is recorded."""
        next_offsets, instant, _ = heads
        new, rows = tuple.__new__, []
        for shard, rank, kind_id, fact in self.facts:
            workspace_id, fact_id, _, leaf_id, occurred, source_id, actor, payload, tag = fact
            offset = next_offsets[shard] + rank
            occurred = occurred if occurred < instant else instant
            # At half the cost of FactRow(...), and this runs once an event.
            # fmt: off
            rows.append(new(FactRow, (
                offset, occurred, instant, shard, kind_id, fact_id, leaf_id,
                workspace_id, source_id, actor, payload, tag,
            )))
            # fmt: on
        return rows

    def outcomes(self, heads: ShardHeads) -> list[AppendOutcome]:
        """Return the outcome of each request, in their order."""
        return [
            assignment.result(heads) if isinstance(assignment, _RequestAssignment) else assignment
            for assignment in self.assignments
        ]

    def add(self, request: AppendRequest, keys: RequestKeys, kinds: Mapping[str, int]) -> None:
        """Plan the facts of one more request."""
        first, counts_before = len(self.facts), self.counts.copy()
        duplicates, conflicting = self._add_facts(request.facts, keys, kinds)
        if request.atomic and conflicting:
            self._remove_from(first, counts_before)
            conflict = Conflict(
                "a fact with this id is in the log with other content: read it again, then retry",
                field=f"facts[{conflicting[0]}].fact_id",
            )
            self.assignments.append(conflict)
            return
        shards = {shard for fact_keys in keys for shard, _ in fact_keys}
        counts = {shard: self.counts[shard] for shard in shards}
        self.assignments.append(
            _RequestAssignment(len(request.facts), duplicates, conflicting, counts)
        )

    def _add_facts(
        self, facts: Sequence[NewFact], keys: RequestKeys, kinds: Mapping[str, int]
    ) -> tuple[list[int], list[int]]:
        """Return the indices of the duplicates, and of the conflicting facts."""
        contents, counts, planned = self.contents, self.counts, self.facts
        erased_kind = kinds.get(ERASED)
        duplicates: list[int] = []
        conflicting: list[int] = []
        for index, fact in enumerate(facts):
            kind_id = kinds[fact.kind]
            content = (kind_id, fact.content_tag)
            is_new = is_conflicting = False
            for key in keys[index]:
                existing = contents.get(key)
                if existing is None:
                    contents[key] = content
                    shard = key[0]
                    rank = counts[shard]
                    counts[shard] = rank + 1
                    planned.append((shard, rank, kind_id, fact))
                    is_new = True
                elif existing != content and existing[0] != erased_kind:
                    is_conflicting = True
            if is_conflicting:
                conflicting.append(index)
            elif not is_new:
                duplicates.append(index)
        return duplicates, conflicting

    def _remove_from(self, first: int, counts: defaultdict[int, int]) -> None:
        for shard, _, _, fact in self.facts[first:]:
            del self.contents[shard, fact.fact_id]
        del self.facts[first:]
        self.counts = counts


def dedup_keys(facts: Iterable[NewFact], shards: int) -> RequestKeys:
    """Return the keys under which the facts of a request are looked up."""
    return [
        ((shard_of(fact.leaf_id, shards), fact.fact_id),)
        if fact.leaf_id is not None
        else tuple([(shard, fact.fact_id) for shard in range(shards)])
        for fact in facts
    ]


def plan_append(
    requests: Iterable[AppendRequest],
    keys: Iterable[RequestKeys],
    contents: dict[DedupKey, FactContent],
    kinds: Mapping[str, int],
    refused: Mapping[int, TokenNotReached] = MappingProxyType({}),
) -> AppendPlan:
    """Plan the facts of several requests; `keys` are the `dedup_keys` of each request.

    `contents` holds the content of keys that are in the log, and gets that of the new facts.
    `refused`: the requests of which nothing is appended, by index, and why.
    """
    plan = AppendPlan(contents)
    for index, (request, request_keys) in enumerate(zip(requests, keys, strict=True)):
        if index in refused:
            plan.assignments.append(refused[index])
        else:
            plan.add(request, request_keys, kinds)
    return plan
