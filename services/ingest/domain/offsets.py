"""Where facts go: which are new, at which offsets, and what each caller is told.

Several callers share one transaction. They are placed one after another, as if each had come alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import NamedTuple

from services.ingest.domain.facts import Appended, NewFact, Row
from services.kernel.errors import Conflict
from services.kernel.ids import shard_of
from services.kernel.tokens import Token

#: (shard, fact id)
Key = tuple[int, bytes]
#: (kind id, payload): what makes two facts of one id the same fact.
Content = tuple[int, bytes]
#: What one caller is told.
Answer = Appended | Conflict


class Request(NamedTuple):
    """The facts of one caller."""

    facts: Sequence[NewFact]
    #: Nothing is appended where a fact id is there with another content.
    whole: bool = False


@dataclass(slots=True)
class Shards:
    """The ends of the touched shards, as held by the transaction; moved on by placing."""

    #: Shard to the offset after its last fact; all shards where a fact without a leaf is placed.
    next: dict[int, int]
    #: The instant that all new facts are recorded at.
    instant_us: int
    #: The facts that were there before, of those asked for.
    known: dict[Key, Content]

    @staticmethod
    def empty(touched: Iterable[int], known: Mapping[Key, Content] | None = None) -> Shards:
        """Shards that start at 0 at the end of time: facts placed there get ranks."""
        return Shards(next=dict.fromkeys(touched, 0), instant_us=2**62, known=dict(known or {}))


@dataclass(slots=True)
class Placed:
    """What a transaction has to write, and what its callers are told."""

    rows: list[Row] = field(default_factory=list)
    answers: list[Answer] = field(default_factory=list)


def keys_of(requests: Iterable[Request], shards: int) -> list[Key]:
    """The places in which the facts will be looked for; those without a leaf in every shard."""
    keys: list[Key] = []
    for request in requests:
        for fact in request.facts:
            fact_id, leaf_id = fact.fact_id, fact.leaf_id
            if leaf_id is None:
                keys.extend((shard, fact_id) for shard in range(shards))
            else:
                keys.append((shard_of(leaf_id, shards), fact_id))
    return keys


def place(
    requests: Iterable[Request], keys: Iterable[Key], held: Shards, kinds: Mapping[str, int]
) -> Placed:
    """Gives every new fact its place. `keys` as of `keys_of`, in the same order.

    Moves `held.next` on, and adds what is new to `held.known`.
    """
    placed = Placed()
    rest = iter(keys)
    for request in requests:
        caller = _Caller(held, kinds)
        caller.take(request.facts, rest)
        placed.answers.append(caller.answer(request, placed.rows))
    return placed


class _Caller:
    """One caller's facts on their way: nothing of them counts before `answer`."""

    __slots__ = (
        "duplicates",
        "held",
        "kinds",
        "new",
        "next",
        "offsets",
        "reused",
        "rows",
        "touched",
    )

    def __init__(self, held: Shards, kinds: Mapping[str, int]) -> None:
        self.held = held
        self.kinds = kinds
        self.new: dict[Key, Content] = {}
        self.rows: list[Row] = []
        self.next = held.next.copy()
        self.touched: set[int] = set()
        self.offsets: list[int] = []
        self.duplicates: list[int] = []
        self.reused: list[int] = []

    def take(self, facts: Iterable[NewFact], keys: Iterator[Key]) -> None:
        """Places facts; takes their keys from `keys`."""
        kinds, new, known, offsets = self.kinds, self.new, self.held.known, self.offsets
        for fact in facts:
            content = (kinds[fact.kind], fact.payload)
            if fact.leaf_id is None:
                self._take_everywhere(fact, content, islice(keys, len(self.next)))
                continue
            key = next(keys)
            there = new.get(key) or known.get(key)
            if there is None:
                offsets.append(self._add(fact, key, content))
                continue
            self.touched.add(key[0])
            (self.duplicates if there == content else self.reused).append(len(offsets))
            offsets.append(-1)

    def _take_everywhere(self, fact: NewFact, content: Content, keys: Iterator[Key]) -> None:
        first, reused = -1, False
        for key in keys:
            there = self.new.get(key) or self.held.known.get(key)
            if there is None:
                offset = self._add(fact, key, content)
                first = offset if first < 0 else first
                continue
            self.touched.add(key[0])
            reused = reused or there != content
        if reused:
            self.reused.append(len(self.offsets))
        elif first < 0:
            self.duplicates.append(len(self.offsets))
        self.offsets.append(first)

    def _add(self, fact: NewFact, key: Key, content: Content) -> int:
        workspace_id, fact_id, _, leaf_id, occurred, source_id, actor, payload = fact
        shard, instant = key[0], self.held.instant_us
        offset = self.next[shard]
        self.next[shard] = offset + 1
        self.new[key] = content
        occurred = occurred if occurred < instant else instant
        where = (offset, occurred, instant, shard, content[0], fact_id, leaf_id)
        # At half the cost of Row(...), and it is done once an event.
        row: Row = tuple.__new__(Row, (*where, workspace_id, source_id, actor, payload))
        self.rows.append(row)
        return offset

    def answer(self, request: Request, rows: list[Row]) -> Answer:
        """What the caller is told; what is new joins `rows` and the ends of the shards."""
        if self.reused and request.whole:
            return Conflict(
                "a fact of this id is in the log with another content; read again, then retry",
                field=f"facts[{self.reused[0]}].fact_id",
            )
        self.held.next.update(self.next)
        self.held.known.update(self.new)
        rows.extend(self.rows)
        self.touched.update({row.shard for row in self.rows})
        return Appended(
            appended=len(self.offsets) - len(self.duplicates) - len(self.reused),
            duplicates=frozenset(self.duplicates),
            reused=frozenset(self.reused),
            token=Token.from_offsets({shard: self.held.next[shard] for shard in self.touched}),
            recorded_at_us=self.held.instant_us,
            offsets=tuple(self.offsets),
        )
