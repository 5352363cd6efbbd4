"""A log, an identity in memory, and what must come out of the profile service in the end."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import msgspec
from onefold.identity.v1.identity_stream_pb2 import Assignment, FactsAttributed
from onefold.log.v1.log_pb2 import ClockTicked, Fact, FactBatch
from onefold.segment.v1.segment_facts_pb2 import SegmentDefined
from onefold.type.v1.event_pb2 import Event
from onefold.type.v1.identifier_pb2 import Identifier as IdentifierMessage
from oracle.rules_oracle import OracleEvent, rule_holds

from services.chassis.codec.rules import rule_to_proto
from services.chassis.messaging.stream import Batch, StreamMessage
from services.kernel.identifiers import ACCOUNT_ID, Identifier, account_leaf, leaf_of
from services.kernel.ids import NO_ID, WorkspaceId, definition_fact_id, event_fact_id, shard_of
from services.kernel.rules.ids import predicate_id, predicates
from services.kernel.rules.model import (
    All,
    CountPredicate,
    DistinctPredicate,
    EventFilter,
    LastSeenPredicate,
    Not,
    PropertyFilter,
    Rule,
    TraitPredicate,
)
from services.kernel.rules.values import Operator
from services.kernel.time import DAY_US, HOUR_US

WORKSPACE = WorkspaceId("school")
EVENT = Event.DESCRIPTOR.full_name
TYPES = {"track": 1, "identify": 2, "page": 3, "screen": 4, "group": 5, "alias": 6}
START_US = 1_700_000_000_000_000

VIEWED = EventFilter("viewed")
RULES: list[Rule] = [
    All(
        (
            CountPredicate(EventFilter("trial"), 2 * DAY_US, Operator.GE, 1),
            DistinctPredicate(VIEWED, "course", 3 * DAY_US, Operator.GE, 2),
            Not(CountPredicate(EventFilter("bought"), 0, Operator.GE, 1)),
        )
    ),
    LastSeenPredicate(VIEWED, Operator.GT, 36 * HOUR_US),
    TraitPredicate("city", Operator.EQ, "北京市"),
    CountPredicate(EventFilter("page"), 5 * HOUR_US, Operator.EQ, 1),
    CountPredicate(
        EventFilter("viewed", (PropertyFilter("price", Operator.GT, 0),)), 0, Operator.LT, 2
    ),
    TraitPredicate("age", Operator.NE, 1),
]


@dataclass(frozen=True)
class Happening:
    """One event, as its source tells it."""

    identifiers: tuple[Identifier, ...]
    occurred_at_us: int
    message: int
    name: str = "viewed"
    type: str = "track"
    properties: Mapping[str, Any] = field(default_factory=dict)
    traits: Mapping[str, Any] = field(default_factory=dict)
    #: Of a group event.
    group_id: str = ""
    group_identifiers: tuple[Identifier, ...] = ()

    @property
    def leaf(self) -> bytes:
        return leaf_of(WORKSPACE, self.identifiers)

    @property
    def fact_id(self) -> bytes:
        return event_fact_id(WORKSPACE, "site", str(self.message), self.leaf)

    def fact(self) -> Fact:
        event = Event(
            type=TYPES[self.type],  # type: ignore[arg-type]
            name=self.name if self.type == "track" else "",
            message_id=str(self.message),
            identifiers=[IdentifierMessage(namespace=n, value=v) for n, v in self.identifiers],
            properties=msgspec.json.encode(self.properties),
            traits=msgspec.json.encode(self.traits),
            group_id=self.group_id,
            group_identifiers=map(_identifier, self.group_identifiers),
        )
        return Fact(
            workspace_id=WORKSPACE,
            fact_id=self.fact_id,
            kind=EVENT,
            leaf_id=self.leaf,
            occurred_at_us=self.occurred_at_us,
            source_id="site",
            payload=event.SerializeToString(),
        )

    def facts(self) -> list[Fact]:
        """Its facts: of a group event there are two."""
        return [self.fact(), self._copy()] if self.type == "group" else [self.fact()]

    def _copy(self) -> Fact:
        account = account_leaf(WORKSPACE, self.group_id)
        assert account
        event = Event(
            type=TYPES["group"],  # type: ignore[arg-type]
            message_id=str(self.message),
            traits=msgspec.json.encode(self.traits),
            group_id=self.group_id,
            group_identifiers=map(_identifier, self.group_identifiers),
            member_leaf_id=self.leaf,
        )
        copy = self.fact()
        copy.fact_id = event_fact_id(WORKSPACE, "site", str(self.message), account)
        copy.leaf_id = account
        copy.payload = event.SerializeToString()
        return copy

    def seen(self) -> OracleEvent:
        name = self.name if self.type == "track" else ""
        properties, traits = dict(self.properties), dict(self.traits)
        return OracleEvent(self.type, name, self.occurred_at_us, self.fact_id, properties, traits)


def definition(key: str, rule: Rule, version: int = 1, workspace: str = WORKSPACE) -> Fact:
    kind = SegmentDefined.DESCRIPTOR.full_name
    told = SegmentDefined(segment_id=key, rule=rule_to_proto(rule), version=version)
    fact_id = definition_fact_id(WorkspaceId(workspace), kind, key, version)
    return Fact(
        workspace_id=workspace, fact_id=fact_id, kind=kind, payload=told.SerializeToString()
    )


def tick(at_us: int) -> Fact:
    payload = ClockTicked(at_us=at_us).SerializeToString()
    return Fact(
        fact_id=at_us.to_bytes(16, "big"),
        kind=ClockTicked.DESCRIPTOR.full_name,
        occurred_at_us=at_us,
        recorded_at_us=at_us,
        payload=payload,
    )


class Log:
    """A log in memory. Facts carry the instant at which they are recorded."""

    def __init__(self, shards: int) -> None:
        self.shards: list[list[Fact]] = [[] for _ in range(shards)]

    def append(self, fact: Fact, at_us: int) -> None:
        places = (
            [shard_of(fact.leaf_id, len(self.shards))] if fact.leaf_id else range(len(self.shards))
        )
        for shard in places:
            placed = Fact()
            placed.CopyFrom(fact)
            placed.shard, placed.offset = shard, len(self.shards[shard])
            placed.recorded_at_us = at_us
            self.shards[shard].append(placed)

    def tick(self, at_us: int) -> None:
        self.append(tick(at_us), at_us)


class People:
    """Identity, slow and in memory: what it says depends on the order in which it hears facts, and
    where it ends does not."""

    def __init__(self) -> None:
        self.profile_of: dict[bytes, bytes] = {}
        self._first: dict[bytes, tuple[int, bytes, bytes]] = {}
        self._named: dict[bytes, Identifier] = {}
        self._version = 0

    def hear(self, fact: Fact) -> tuple[bytes, list[Assignment]]:
        """The profile of a fact's leaf, and what changed."""
        if fact.kind != EVENT:
            return NO_ID, []
        named = _named(_event(fact))
        ids = {i.id_in(WORKSPACE): i for i in named}
        self._named |= ids
        for id_ in ids:
            seen = (fact.occurred_at_us, fact.fact_id, id_)
            self._first[id_] = min(seen, self._first.get(id_, seen))
        homes = {self.profile_of[i] for i in ids if i in self.profile_of}
        members = {i for i, p in self.profile_of.items() if p in homes} | ids.keys()
        profile = min(self._first[i] for i in members)[2]
        changed = [i for i in members if self.profile_of.get(i) != profile]
        self.profile_of |= dict.fromkeys(changed, profile)
        return profile, [self._assignment(i) for i in changed]

    def take_apart(self, one: bytes, other: bytes) -> list[Assignment]:
        """Give two identifiers profiles of their own again, as a person could decide."""
        self.profile_of |= {one: one, other: other}
        return [self._assignment(one), self._assignment(other)]

    def _assignment(self, id_: bytes) -> Assignment:
        self._version += 1
        name = self._named[id_]
        return Assignment(
            workspace_id=WORKSPACE,
            identifier_id=id_,
            profile_id=self.profile_of[id_],
            version=self._version,
            identifier=IdentifierMessage(namespace=name.namespace, value=name.value),
        )


@dataclass
class Attributed:
    """One fact as identity passes it on."""

    fact: Fact
    profile_id: bytes
    assignments: list[Assignment]


def attribute(log: Log, people: People, chance: random.Random) -> list[list[Attributed]]:
    """What identity says of the whole log, its shards heard in some interleaving."""
    said: list[list[Attributed]] = [[] for _ in log.shards]
    order = [shard for shard, facts in enumerate(log.shards) for _ in facts]
    chance.shuffle(order)
    for shard in order:
        fact = log.shards[shard][len(said[shard])]
        said[shard].append(Attributed(fact, *people.hear(fact)))
    return said


def message(shard: int, part: list[Attributed]) -> StreamMessage:
    facts = [a.fact for a in part]
    first = facts[0].offset
    batch = FactBatch(shard=shard, first_offset=first, facts=facts)
    attributed = FactsAttributed(
        shard=shard,
        first_offset=first,
        next_offset=first + len(facts),
        fact_batch=batch.SerializeToString(),
        profile_ids=b"".join(a.profile_id for a in part),
        assignments=[assignment for a in part for assignment in a.assignments],
    )
    return StreamMessage(first, first + len(facts), attributed.SerializeToString())


def expected(
    happenings: Iterable[Happening],
    profile_of: Mapping[bytes, bytes],
    rules: Iterable[Rule],
    at_us: int,
) -> dict[bytes, frozenset[int]]:
    """Which predicates hold for every profile, by looking at everything at once, slowly."""
    lives: dict[bytes, list[OracleEvent]] = defaultdict(list)
    for happening in {h.fact_id: h for h in happenings}.values():
        lives[profile_of[happening.leaf]].append(happening.seen())
    asked = {predicate_id(p): p for rule in rules for p in predicates(rule)}
    return {
        profile: frozenset(i for i, p in asked.items() if rule_holds(p, life, at_us))
        for profile, life in lives.items()
    }


def life(chance: random.Random, events: int, names: int, days: int = 10) -> list[Happening]:
    """Events of few people with many names, some late, some repeated; some join accounts."""
    namespaces = ["user_id", "member_id", "anonymous_id", "device_id"]
    pool = [Identifier(chance.choice(namespaces), f"n{i}") for i in range(names)]
    happenings = []
    for number in range(events):
        happenings.append(
            Happening(
                tuple(chance.sample(pool, chance.choice([1] * 9 + [2]))),
                START_US + chance.randrange(days * 24) * HOUR_US + chance.randrange(3),
                number,
                chance.choice(["viewed", "bought", "trial", "noise", "noise"]),
                chance.choice(["track", "track", "track", "identify", "page"]),
                {"course": chance.choice(["a", "b", "c", "d"]), "price": chance.randrange(3)},
                {"city": chance.choice(["北京市", "上海市"]), "age": chance.randrange(3)},
            )
        )
    return [joining(h, chance) if chance.random() < 0.15 else h for h in happenings]


def joining(happening: Happening, chance: random.Random) -> Happening:
    """A group event in the place of another event."""
    traits: dict[str, Any] = {"city": chance.choice(["北京市", "上海市"])}
    if chance.random() < 0.5:
        traits["parent_account_id"] = chance.choice(["g0", "g1", "g2", None, "never named"])
    more = (Identifier("account_domain", chance.choice("xyz")),) if chance.random() < 0.2 else ()
    group = f"g{chance.randrange(5)}"
    return replace(happening, type="group", traits=traits, group_id=group, group_identifiers=more)


def fill(
    log: Log,
    happenings: list[Happening],
    chance: random.Random,
    definitions: list[Fact],
    where: str = "anywhere",
) -> int:
    """Put everything into a log; the instant of the last tick. Definitions come `first`, `last`,
    or `anywhere`."""
    facts: list[Fact | Happening] = [*happenings]
    for told in definitions:
        ends = {"first": (0, 0), "last": (len(facts), len(facts)), "anywhere": (0, len(facts))}
        facts.insert(chance.randint(*ends[where]), told)
    at_us = START_US
    for fact in facts:
        if isinstance(fact, Happening):
            at_us = max(at_us, fact.occurred_at_us)
        at_us += chance.choice([0, 1, 1_000, 30_000_000])
        for one in fact.facts() if isinstance(fact, Happening) else [fact]:
            log.append(one, at_us)
        if chance.random() < 0.1:
            at_us += chance.choice([1_000_000, HOUR_US])
            log.tick(at_us)
    assert at_us <= START_US + 11 * DAY_US
    at_us = START_US + 11 * DAY_US
    log.tick(at_us)
    return at_us


def batch(
    shard: int,
    said: list[Attributed],
    first: int,
    sizes: list[int],
    position: Any,
    overlap: int = 0,
) -> Batch:
    """Messages of these sizes from a place on; the first one begins `overlap` facts too early."""
    messages, at = [], first
    for size in sizes:
        if not messages:
            at, size = first - overlap, size + overlap
        messages.append(message(shard, said[at : at + size]))
        at = messages[-1].next
    return Batch(
        shard,
        first,
        at,
        tuple(messages),
        position.next_output,
        position.log_offset,
        position.log_time_us,
    )


def _identifier(told: Identifier) -> IdentifierMessage:
    return IdentifierMessage(namespace=told.namespace, value=told.value)


def _named(event: Event) -> list[Identifier]:
    """Whom a fact names together: of a group event's copy the account, else the person."""
    if not event.member_leaf_id:
        return [Identifier(i.namespace, i.value) for i in event.identifiers]
    more = [Identifier(i.namespace, i.value) for i in event.group_identifiers]
    return [Identifier(ACCOUNT_ID, event.group_id), *more]


def _event(fact: Fact) -> Event:
    return Event.FromString(fact.payload)
