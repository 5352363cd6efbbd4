"""Models the log and identity in memory, and the evaluations that profile must end with."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import msgspec
from laws.identity_model import ModelDecision
from onefold.identity.v1.identity_facts_pb2 import LinkDecided
from onefold.identity.v1.identity_stream_pb2 import Assignment, FactsAttributed
from onefold.log.v1.log_pb2 import ClockTicked, Fact, FactBatch
from onefold.profile.v1.profile_facts_pb2 import ScoreRecorded, TraitCorrected
from onefold.segment.v1.segment_facts_pb2 import SegmentDefined
from onefold.type.v1.event_pb2 import Event
from onefold.type.v1.identifier_pb2 import Identifier as IdentifierMessage
from oracle.rules_oracle import OracleEvent, rule_holds

from services.chassis.codec.rules import rule_to_proto
from services.chassis.messaging.stream import Batch, StreamMessage
from services.chassis.projection.checkpoint import Checkpoint
from services.kernel.identifiers.model import ACCOUNT_ID, Identifier
from services.kernel.identifiers.priority import account_leaf, leaf_of
from services.kernel.ids import NO_ID, WorkspaceId, definition_fact_id, shard_of
from services.kernel.rules.features import Related
from services.kernel.rules.filters import PropertyFilter
from services.kernel.rules.ids import predicate_id, predicates
from services.kernel.rules.model import All, Any_, Not, Predicate, Rule
from services.kernel.rules.values import Operator
from services.kernel.time import DAY_US, HOUR_US
from services.kernel.trust import Party, SourceTrust
from tests.index_key import INDEX_KEY
from tests.rule_builders import count_of, distinct_of, events_named, last_seen_of, trait_is

WORKSPACE = WorkspaceId("school")
EVENT = Event.DESCRIPTOR.full_name
TYPES = {"track": 1, "identify": 2, "page": 3, "screen": 4, "group": 5, "alias": 6}
START_US = 1_700_000_000_000_000

VIEWED = events_named("viewed")
RULES: list[Rule] = [
    All(
        (
            count_of(events_named("trial"), 2 * DAY_US, Operator.GE, 1),
            distinct_of(VIEWED, "course", 3 * DAY_US, Operator.GE, 2),
            Not(count_of(events_named("bought"), 0, Operator.GE, 1)),
        )
    ),
    last_seen_of(VIEWED, Operator.GT, 36 * HOUR_US),
    trait_is("city", Operator.EQ, "北京市"),
    count_of(events_named("page"), 5 * HOUR_US, Operator.EQ, 1),
    count_of(events_named("viewed", (PropertyFilter("price", Operator.GT, 0),)), 0, Operator.LT, 2),
    trait_is("age", Operator.NE, 1),
    Predicate(Related("account", (PropertyFilter("city", Operator.EQ, "北京市"),)), Operator.GE, 1),
    Predicate(Related("course"), Operator.GE, 2),
]


@dataclass(frozen=True)
class SourceEvent:
    """One event as its source sends it; or a `correction` or a `score`, as `OracleEvent` has it."""

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
    trust: SourceTrust = SourceTrust.SERVER
    party: Party = Party.FIRST
    source: str = "site"
    touch: Mapping[str, str] = field(default_factory=dict)

    @property
    def is_record(self) -> bool:
        return self.type in ("correction", "score")

    @property
    def leaf(self) -> bytes:
        return leaf_of(WORKSPACE, self.identifiers, INDEX_KEY)

    @property
    def fact_id(self) -> bytes:
        return INDEX_KEY.event_fact_id(WORKSPACE, "site", str(self.message), self.leaf)

    @property
    def sent_name(self) -> str:
        """The name as it is sent: other calls have none."""
        return self.name if self.type in ("track", "page", "screen") else ""

    def fact(self) -> Fact:
        if self.is_record:
            return self._record_fact()
        event = Event(
            type=TYPES[self.type],  # type: ignore[arg-type]
            name=self.sent_name,
            message_id=str(self.message),
            identifiers=map(_identifier, self.identifiers),
            properties=msgspec.json.encode(self.properties),
            traits=msgspec.json.encode(self.traits),
            group_id=self.group_id,
            group_identifiers=map(_identifier, self.group_identifiers),
            trust=int(self.trust),  # type: ignore[arg-type]
            party=int(self.party),  # type: ignore[arg-type]
            touch=msgspec.json.encode(self.touch) if self.touch else b"",
        )
        return self._fact_of(EVENT, event)

    def _record_fact(self) -> Fact:
        """Return the fact of a correction or a score."""
        own = self.properties
        if self.type == "score":
            at_us, score = self.occurred_at_us, float(own["score"])
            scored = ScoreRecorded(
                model_id=self.name, model_version="1", score=score, as_of_us=at_us
            )
            return self._fact_of(ScoreRecorded.DESCRIPTOR.full_name, scored)
        corrected = TraitCorrected(
            trait=self.name,
            value=msgspec.json.encode(own["value"]) if "value" in own else b"",
            withdrawn="value" not in own,
            reason="she called",
        )
        return self._fact_of(TraitCorrected.DESCRIPTOR.full_name, corrected)

    def _fact_of(self, kind: str, message: Any) -> Fact:
        return Fact(
            workspace_id=WORKSPACE,
            fact_id=self.fact_id,
            kind=kind,
            leaf_id=self.leaf,
            occurred_at_us=self.occurred_at_us,
            source_id="" if self.is_record else self.source,
            actor="ann" if self.is_record else "",
            payload=message.SerializeToString(),
        )

    def facts(self) -> list[Fact]:
        """Return its facts; a group event has a second one for the account."""
        return [self.fact(), self._account_fact()] if self.type == "group" else [self.fact()]

    def _account_fact(self) -> Fact:
        account = account_leaf(WORKSPACE, self.group_id, INDEX_KEY)
        assert account
        event = Event(
            type=TYPES["group"],  # type: ignore[arg-type]
            message_id=str(self.message),
            traits=msgspec.json.encode(self.traits),
            group_id=self.group_id,
            group_identifiers=map(_identifier, self.group_identifiers),
            member_leaf_id=self.leaf,
            trust=int(self.trust),  # type: ignore[arg-type]
            party=int(self.party),  # type: ignore[arg-type]
        )
        copy = self.fact()
        copy.fact_id = INDEX_KEY.event_fact_id(WORKSPACE, "site", str(self.message), account)
        copy.leaf_id = account
        copy.payload = event.SerializeToString()
        return copy

    def oracle_event(self) -> OracleEvent:
        return OracleEvent(
            self.type,
            self.name if self.is_record else self.sent_name,
            self.occurred_at_us,
            self.fact_id,
            dict(self.properties),
            dict(self.traits),
            self.trust,
            self.party,
            self.source,
            self.touch,
        )


def decision_fact(decision: ModelDecision) -> Fact:
    """Return the fact of a manual decision about two identifiers."""
    message = LinkDecided(
        a=_identifier(decision.one),
        b=_identifier(decision.other),
        decision=int(decision.kind),  # type: ignore[arg-type]  # the numbers are the enum's
        reason="she called",
    )
    return Fact(
        workspace_id=WORKSPACE,
        fact_id=decision.first.fact_id,
        kind=LinkDecided.DESCRIPTOR.full_name,
        leaf_id=decision.leaf,
        occurred_at_us=decision.occurred_at_us,
        actor="key_1",
        payload=message.SerializeToString(),
    )


def definition(
    key: str, rule: Rule, version: int = 1, workspace: str = WORKSPACE, *, retired: bool = False
) -> Fact:
    kind = SegmentDefined.DESCRIPTOR.full_name
    message = SegmentDefined(
        segment_id=key, rule=rule_to_proto(rule), version=version, retired=retired
    )
    fact_id = definition_fact_id(WorkspaceId(workspace), kind, key, version)
    return Fact(
        workspace_id=workspace, fact_id=fact_id, kind=kind, payload=message.SerializeToString()
    )


def definitions() -> list[Fact]:
    """Return one definition of each of RULES."""
    return [definition(f"s{i}", rule) for i, rule in enumerate(RULES)]


def drafts() -> list[Fact]:
    """Return definitions that others replace, or that are retired, and those that replace them.

    After them the rules in force are RULES, as after `definitions`.
    """
    other = count_of(events_named("viewed"), 2 * DAY_US, Operator.GE, 2)
    return [
        definition("s0", RULES[4], version=1),
        definition("draft", Any_((other, RULES[1]))),
        *(definition(f"s{i}", rule, version=2) for i, rule in enumerate(RULES)),
        definition("s1", other, version=3),
        definition("draft", other, version=2, retired=True),
        definition("s1", RULES[1], version=4),
    ]


def tick(at_us: int) -> Fact:
    payload = ClockTicked(now_us=at_us).SerializeToString()
    return Fact(
        fact_id=at_us.to_bytes(16, "big"),
        kind=ClockTicked.DESCRIPTOR.full_name,
        occurred_at_us=at_us,
        recorded_at_us=at_us,
        payload=payload,
    )


class MemoryLog:
    """A log in memory; the caller gives each fact the time at which it is recorded."""

    def __init__(self, shards: int) -> None:
        self.shards: list[list[Fact]] = [[] for _ in range(shards)]

    def append(self, fact: Fact, at_us: int) -> None:
        """Append a fact to the shard of its leaf, or to all shards where it has none."""
        count = len(self.shards)
        for shard in [shard_of(fact.leaf_id, count)] if fact.leaf_id else range(count):
            copy = Fact()
            copy.CopyFrom(fact)
            copy.shard, copy.offset = shard, len(self.shards[shard])
            copy.recorded_at_us = at_us
            self.shards[shard].append(copy)

    def tick(self, at_us: int) -> None:
        self.append(tick(at_us), at_us)


class MemoryIdentity:
    """A slow identity in memory.

    Its assignments on the way depend on the order of the facts, the final profiles do not.
    """

    def __init__(self) -> None:
        self.profile_of: dict[bytes, bytes] = {}
        self._first_seen: dict[bytes, tuple[int, bytes, bytes]] = {}
        self._identifiers: dict[bytes, Identifier] = {}
        self._version = 0

    def fold(self, fact: Fact) -> tuple[bytes, list[Assignment]]:
        """Return the profile of a fact's leaf, and the assignments that changed."""
        if fact.kind != EVENT:
            return self.profile_of.get(fact.leaf_id, fact.leaf_id) or NO_ID, []
        ids = {
            i.id_in(WORKSPACE, INDEX_KEY): i
            for i in _linked_identifiers(Event.FromString(fact.payload))
        }
        self._identifiers |= ids
        for id_ in ids:
            seen = (fact.occurred_at_us, fact.fact_id, id_)
            self._first_seen[id_] = min(seen, self._first_seen.get(id_, seen))
        linked = {self.profile_of[i] for i in ids if i in self.profile_of}
        members = {i for i, p in self.profile_of.items() if p in linked} | ids.keys()
        profile = min(self._first_seen[i] for i in members)[2]
        changed = [i for i in members if self.profile_of.get(i) != profile]
        self.profile_of |= dict.fromkeys(changed, profile)
        return profile, [self._assignment(i) for i in changed]

    def split(self, one: bytes, other: bytes) -> list[Assignment]:
        """Give two identifiers profiles of their own again, as a manual decision does."""
        self.profile_of |= {one: one, other: other}
        return [self._assignment(one), self._assignment(other)]

    def _assignment(self, id_: bytes) -> Assignment:
        self._version += 1
        return Assignment(
            workspace_id=WORKSPACE,
            identifier_id=id_,
            profile_id=self.profile_of[id_],
            version=self._version,
            identifier=_identifier(self._identifiers[id_]),
        )


@dataclass
class IdentityOutput:
    """One fact as identity publishes it."""

    fact: Fact
    profile_id: bytes
    assignments: list[Assignment]


def publish(
    log: MemoryLog, identity: MemoryIdentity, rng: random.Random
) -> list[list[IdentityOutput]]:
    """Return identity's stream for the whole log, after it folds the shards interleaved."""
    stream: list[list[IdentityOutput]] = [[] for _ in log.shards]
    order = [shard for shard, facts in enumerate(log.shards) for _ in facts]
    rng.shuffle(order)
    for shard in order:
        fact = log.shards[shard][len(stream[shard])]
        stream[shard].append(IdentityOutput(fact, *identity.fold(fact)))
    return stream


def continue_streams(
    streams: list[list[IdentityOutput]], log: MemoryLog, identity: MemoryIdentity
) -> None:
    """Publish the facts that the log has beyond the streams."""
    for stream, facts in zip(streams, log.shards, strict=True):
        for fact in facts[len(stream) :]:
            stream.append(IdentityOutput(fact, *identity.fold(fact)))


def stream_message(shard: int, part: list[IdentityOutput]) -> StreamMessage:
    facts = [output.fact for output in part]
    first = facts[0].offset
    batch = FactBatch(shard=shard, first_offset=first, facts=facts)
    attributed = FactsAttributed(
        shard=shard,
        first_offset=first,
        next_offset=first + len(facts),
        fact_batch=batch.SerializeToString(),
        profile_ids=b"".join(output.profile_id for output in part),
        assignments=[assignment for output in part for assignment in output.assignments],
    )
    return StreamMessage(first, first + len(facts), attributed.SerializeToString())


def expected_predicates(
    events: Iterable[SourceEvent],
    profile_of: Mapping[bytes, bytes],
    rules: Iterable[Rule],
    at_us: int,
) -> dict[bytes, frozenset[int]]:
    """Return the true predicates of every profile, by the slow oracle over all events."""
    by_profile: dict[bytes, list[OracleEvent]] = defaultdict(list)
    unique = list({e.fact_id: e for e in events}.values())
    for event in unique:
        by_profile[profile_of[event.leaf]].append(event.oracle_event())
    related = related_objects(unique, profile_of)
    by_id = {predicate_id(p): p for rule in rules for p in predicates(rule)}
    return {
        profile: frozenset(
            i for i, p in by_id.items() if rule_holds(p, own, at_us, related.get(profile))
        )
        for profile, own in by_profile.items()
    }


def related_objects(
    events: Iterable[SourceEvent], profile_of: Mapping[bytes, bytes]
) -> dict[bytes, dict[str, list[dict[str, Any]]]]:
    """Return the traits of the objects of each person, by type."""
    stated: dict[bytes, list[tuple[Any, ...]]] = defaultdict(list)
    objects: dict[bytes, set[tuple[str, bytes]]] = defaultdict(set)
    for event in events:
        if event.type == "group":
            leaf = account_leaf(WORKSPACE, event.group_id, INDEX_KEY)
            assert leaf
            word, colon, _ = event.group_id.partition(":")
            objects[profile_of[event.leaf]].add((word if colon else "account", profile_of[leaf]))
            fact_id = event.facts()[1].fact_id
            at = (-int(event.party), int(event.trust), event.occurred_at_us, fact_id)
            stated[profile_of[leaf]] += [(name, at, value) for name, value in event.traits.items()]
    found: dict[bytes, dict[str, list[dict[str, Any]]]] = {}
    for person, own in objects.items():
        found[person] = defaultdict(list)
        for object_type, profile in own:
            in_order = sorted(stated[profile], key=lambda each: each[1])
            traits = {name: value for name, _, value in in_order}
            present = {name: value for name, value in traits.items() if value is not None}
            found[person][object_type].append(present)
    return found


def random_events(
    rng: random.Random, events: int, identifiers: int, days: int = 10
) -> list[SourceEvent]:
    """Return events of few profiles with many identifiers, some late, some repeated, some group
    events."""
    namespaces = ["user_id", "member_id", "anonymous_id", "device_id"]
    pool = [Identifier(rng.choice(namespaces), f"n{i}") for i in range(identifiers)]
    generated = [
        SourceEvent(
            tuple(rng.sample(pool, rng.choice([1] * 9 + [2]))),
            START_US + rng.randrange(days * 24) * HOUR_US + rng.randrange(3),
            number,
            rng.choice(["viewed", "bought", "trial", "noise", "noise"]),
            rng.choice(["track", "track", "track", "identify", "page"]),
            {"course": rng.choice(["a", "b", "c", "d"]), "price": rng.randrange(3)},
            {"city": rng.choice(["北京市", "上海市"]), "age": rng.randrange(3)},
            trust=rng.choice(list(SourceTrust)),
        )
        for number in range(events)
    ]
    unnamed = (replace(e, name="") if e.type == "page" else e for e in generated)
    return [as_group_event(e, rng) if rng.random() < 0.15 else e for e in unnamed]


def as_group_event(event: SourceEvent, rng: random.Random) -> SourceEvent:
    """Return a group event of the same identifiers at the same time."""
    traits: dict[str, Any] = {"city": rng.choice(["北京市", "上海市"])}
    if rng.random() < 0.5:
        traits["parent_account_id"] = rng.choice(["g0", "g1", "g2", None, "never named"])
    more = (Identifier("account_domain", rng.choice("xyz")),) if rng.random() < 0.2 else ()
    group = rng.choice(["g", "g", "course:c"]) + str(rng.randrange(5))
    return replace(event, type="group", traits=traits, group_id=group, group_identifiers=more)


def fill(
    log: MemoryLog,
    events: list[SourceEvent],
    rng: random.Random,
    defined: list[Fact],
    where: str = "anywhere",
) -> int:
    """Append events and definitions with ticks in between; return the time of the last tick.

    `where`: definitions come "first", "last" or "anywhere".
    """
    content: list[Fact | SourceEvent] = [*events]
    for fact in defined:
        bounds = {
            "first": (0, 0),
            "last": (len(content), len(content)),
            "anywhere": (0, len(content)),
        }
        content.insert(rng.randint(*bounds[where]), fact)
    at_us = START_US
    for item in content:
        if isinstance(item, SourceEvent):
            at_us = max(at_us, item.occurred_at_us)
        at_us += rng.choice([0, 1, 1_000, 30_000_000])
        for fact in item.facts() if isinstance(item, SourceEvent) else [item]:
            log.append(fact, at_us)
        if rng.random() < 0.1:
            at_us += rng.choice([1_000_000, HOUR_US])
            log.tick(at_us)
    assert at_us <= START_US + 11 * DAY_US
    at_us = START_US + 11 * DAY_US
    log.tick(at_us)
    return at_us


def make_batch(
    shard: int,
    stream: list[IdentityOutput],
    sizes: list[int],
    checkpoint: Checkpoint,
    overlap: int = 0,
) -> Batch:
    """Return messages of these sizes after a checkpoint; the first begins `overlap` too early."""
    messages: list[StreamMessage] = []
    at = checkpoint.next
    for size in sizes:
        first = at if messages else at - overlap
        messages.append(stream_message(shard, stream[first : at + size]))
        at += size
    return Batch(
        shard=shard,
        first=checkpoint.next,
        next=at,
        messages=tuple(messages),
        next_output=checkpoint.next_output,
        log_offset=checkpoint.log_offset,
        log_time_us=checkpoint.log_time_us,
        is_withheld=checkpoint.withheld_offset is not None,
    )


def _identifier(identifier: Identifier) -> IdentifierMessage:
    return IdentifierMessage(namespace=identifier.namespace, value=identifier.value)


def _linked_identifiers(event: Event) -> list[Identifier]:
    """Return the identifiers that an event links: the account's for an account's copy."""
    if not event.member_leaf_id:
        return [Identifier(i.namespace, i.value) for i in event.identifiers]
    more = [Identifier(i.namespace, i.value) for i in event.group_identifiers]
    return [Identifier(ACCOUNT_ID, event.group_id), *more]
