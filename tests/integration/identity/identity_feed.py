"""Facts for identity, cut into shards and batches as the log would."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator

from laws.identity_model import WORKSPACE, ModelDecision, ModelEvent
from onefold.identity.v1.identity_facts_pb2 import IdentityPolicyDefined, LinkDecided
from onefold.log.v1.log_pb2 import ClockTicked, Fact, FactBatch
from onefold.type.v1.event_pb2 import EVENT_TYPE_ALIAS, EVENT_TYPE_TRACK, Event
from onefold.type.v1.identifier_pb2 import Identifier as IdentifierMessage

from services.chassis.messaging.stream import Batch, OutboxMessage, StreamMessage
from services.identity.codec.bus import policy_message
from services.identity.domain.policy import Policy
from services.kernel.identifiers import Identifier
from services.kernel.ids import definition_fact_id, shard_of
from services.kernel.tokens import Token

EVENT = Event.DESCRIPTOR.full_name
#: Facts in a message of the relay.
CUT = 20


def event_fact(seen: ModelEvent) -> Fact:
    event = Event(
        type=EVENT_TYPE_ALIAS if seen.alias else EVENT_TYPE_TRACK,
        name="Course Viewed",
        message_id=str(seen.message),
        identifiers=[
            IdentifierMessage(namespace=i.namespace, value=i.value, verified=i in seen.verified)
            for i in seen.identifiers
        ],
        properties=b'{"course_id":"c1"}',
    )
    return Fact(
        workspace_id=WORKSPACE,
        fact_id=seen.first.fact_id,
        kind=EVENT,
        leaf_id=seen.leaf,
        occurred_at_us=seen.occurred_at_us,
        source_id="site",
        actor="key_1",
        payload=event.SerializeToString(),
    )


def decision_fact(ruled: ModelDecision) -> Fact:
    """A person's decision."""
    said = LinkDecided(
        a=IdentifierMessage(namespace=ruled.one.namespace, value=ruled.one.value),
        b=IdentifierMessage(namespace=ruled.other.namespace, value=ruled.other.value),
        decision=int(ruled.kind),  # type: ignore[arg-type]  # a verdict's number is its name
        reason=ruled.decision.reason,
    )
    return Fact(
        workspace_id=WORKSPACE,
        fact_id=ruled.first.fact_id,
        kind=LinkDecided.DESCRIPTOR.full_name,
        leaf_id=ruled.leaf,
        occurred_at_us=ruled.occurred_at_us,
        actor=ruled.decision.actor,
        payload=said.SerializeToString(),
    )


def policy_fact(policy: Policy) -> Fact:
    """A policy, defined."""
    said = IdentityPolicyDefined(policy=policy_message(policy), version=policy.version)
    return Fact(
        workspace_id=WORKSPACE,
        fact_id=definition_fact_id(WORKSPACE, "identity_policy", "", policy.version),
        kind=IdentityPolicyDefined.DESCRIPTOR.full_name,
        occurred_at_us=1,
        payload=said.SerializeToString(),
    )


def tick() -> Fact:
    """Time passes."""
    return Fact(kind=ClockTicked.DESCRIPTOR.full_name)


def fact_of(told: ModelEvent | ModelDecision) -> Fact:
    """What was told, as a fact."""
    return event_fact(told) if isinstance(told, ModelEvent) else decision_fact(told)


class Log:
    """A log in memory."""

    def __init__(self, shards: int = 4) -> None:
        self.shards: list[list[Fact]] = [[] for _ in range(shards)]

    def append(self, facts: Iterable[Fact]) -> None:
        for fact in facts:
            if fact.leaf_id:
                self._place(fact, shard_of(fact.leaf_id, len(self.shards)))
            else:
                for shard in range(len(self.shards)):
                    self._place(fact, shard)

    def _place(self, fact: Fact, shard: int) -> None:
        placed = Fact()
        placed.CopyFrom(fact)
        placed.shard = shard
        placed.offset = len(self.shards[shard])
        placed.recorded_at_us = 1_000 + placed.offset
        self.shards[shard].append(placed)

    def message(self, shard: int, first: int, until: int) -> StreamMessage:
        facts = self.shards[shard][first:until]
        batch = FactBatch(shard=shard, first_offset=first, facts=facts)
        return StreamMessage(first, first + len(facts), batch.SerializeToString())

    @property
    def token(self) -> Token:
        return Token(tuple(len(facts) for facts in self.shards))

    async def read(self, shard: int, first: int, limit: int) -> list[OutboxMessage]:
        """See chassis.relay.Outputs."""
        cuts = range(first, len(self.shards[shard]), CUT)
        messages = [self.message(shard, cut, cut + CUT) for cut in cuts[:limit]]
        return [OutboxMessage(m.first, m.next, m.payload) for m in messages]

    async def tail(self, shard: int) -> int:
        """See chassis.relay.Outputs."""
        return len(self.shards[shard])

    async def prune(self, shard: int, published: int) -> None:
        """See chassis.relay.Outputs."""

    def batch(self, shard: int, first: int, *sizes: int, overlap: int = 0) -> Batch:
        """Messages of these sizes; the first one begins `overlap` facts too early."""
        messages, at = [], first - overlap
        for size in sizes:
            messages.append(self.message(shard, at, at + size))
            at = messages[-1].next
        return Batch(shard, first, at, tuple(messages), first, first, 0)

    def batches(self, shard: int, chance: random.Random, largest: int) -> Iterator[Batch]:
        """The whole shard in batches of random sizes."""
        at, end = 0, len(self.shards[shard])
        while at < end:
            size = min(chance.randint(1, largest), end - at)
            cut = chance.randint(0, size)
            yield self.batch(shard, at, *[s for s in (cut, size - cut) if s])
            at += size


def random_events(chance: random.Random, events: int, names: int) -> list[ModelEvent]:
    """Events of few people with many names, so that workers meet."""
    namespaces = ["user_id", "member_id", "anonymous_id", "device_id"]
    pool = [Identifier(chance.choice(namespaces), f"n{i}") for i in range(names)]
    return [
        ModelEvent(
            tuple(chance.sample(pool, chance.choice([1, 1, 2, 3]))),
            chance.randint(1, 1_000),
            n,
            chance.random() < 0.1,
        )
        for n in range(events)
    ]
