"""Where facts go: which are new, at which offsets, and what each caller is told.

Several callers share one transaction. They are placed one after another, as if each had come alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from services.ingest.domain.facts import Appended, NewFact, Row
from services.kernel.errors import EtagMismatch
from services.kernel.ids import shard_of
from services.kernel.tokens import Token

#: (shard, fact id)
Key = tuple[int, bytes]
#: (kind id, payload): what makes two facts of one id the same fact.
Content = tuple[int, bytes]
#: What one caller is told.
Answer = Appended | EtagMismatch


class Request(NamedTuple):
    """The facts of one caller."""

    facts: Sequence[NewFact]
    #: Nothing is appended where a fact id is there with another content.
    whole: bool = False


@dataclass(slots=True)
class Shards:
    """The ends of the touched shards, as held by the transaction; moved on by placing."""

    #: Shard to the offset after its last fact.
    next: dict[int, int]
    #: The instant that all new facts are recorded at.
    instant_us: int
    #: The facts that were there before, of those asked for.
    known: dict[Key, Content]


@dataclass(slots=True)
class Placed:
    """What a transaction has to write, and what its callers are told."""

    rows: list[Row] = field(default_factory=list)
    answers: list[Answer] = field(default_factory=list)


def keys_of(requests: Sequence[Request], shards: int) -> list[Key]:
    """The places in which the facts will be looked for; those without a leaf in every shard."""
    keys: list[Key] = []
    for request in requests:
        for fact in request.facts:
            if fact.leaf_id is None:
                keys.extend((shard, fact.fact_id) for shard in range(shards))
            else:
                keys.append((shard_of(fact.leaf_id, shards), fact.fact_id))
    return keys


def place(
    requests: Sequence[Request], keys: Sequence[Key], held: Shards, kinds: Mapping[str, int]
) -> Placed:
    """Gives every new fact its place. `keys` as of `keys_of`, in the same order.

    Moves `held.next` on, and adds what is new to `held.known`.
    """
    placed = Placed()
    at = 0
    for request in requests:
        caller = _Caller(held, kinds)
        for index, fact in enumerate(request.facts):
            width = len(held.next) if fact.leaf_id is None else 1
            caller.take(index, fact, keys[at : at + width])
            at += width
        placed.answers.append(caller.answer(request, placed.rows))
    return placed


class _Caller:
    """One caller's facts on their way: nothing of them counts before `answer`."""

    def __init__(self, held: Shards, kinds: Mapping[str, int]) -> None:
        self.held = held
        self.kinds = kinds
        self.new: dict[Key, Content] = {}
        self.rows: list[Row] = []
        self.next = dict(held.next)
        self.offsets: list[int] = []
        self.duplicates: list[int] = []
        self.reused: list[int] = []
        self.touched: set[int] = set()

    def take(self, index: int, fact: NewFact, keys: Sequence[Key]) -> None:
        kind_id = self.kinds[fact.kind]
        content = (kind_id, fact.payload)
        offset = -1
        for key in keys:
            self.touched.add(key[0])
            there = self.held.known.get(key) or self.new.get(key)
            if there is None:
                new = self._add(fact, key, content)
                offset = new if offset < 0 else offset
            elif there != content:
                self.reused.append(index)
                break
        else:
            if offset < 0:
                self.duplicates.append(index)
        self.offsets.append(offset)

    def _add(self, fact: NewFact, key: Key, content: Content) -> int:
        shard = key[0]
        offset = self.next[shard]
        self.next[shard] = offset + 1
        self.new[key] = content
        instant = self.held.instant_us
        occurred = fact.occurred_at_us
        self.rows.append(
            Row(
                offset,
                occurred if occurred < instant else instant,
                instant,
                shard,
                content[0],
                fact.fact_id,
                fact.leaf_id,
                fact.workspace_id,
                fact.source_id,
                fact.actor,
                fact.payload,
            )
        )
        return offset

    def answer(self, request: Request, rows: list[Row]) -> Answer:
        if self.reused and request.whole:
            return EtagMismatch(
                "a fact of this id is in the log with another content; read again, then retry",
                field=f"facts[{self.reused[0]}].fact_id",
            )
        self.held.next.update(self.next)
        self.held.known.update(self.new)
        rows.extend(self.rows)
        return Appended(
            appended=len(self.offsets) - len(self.duplicates) - len(self.reused),
            duplicates=frozenset(self.duplicates),
            reused=frozenset(self.reused),
            token=Token.of({shard: self.held.next[shard] for shard in self.touched}),
            recorded_at_us=self.held.instant_us,
            offsets=tuple(self.offsets),
        )
