"""Models the event log in memory, and makes facts, shards and batches as ingest does."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator

from laws.identity_model import WORKSPACE, ModelDecision, ModelEvent
from onefold.identity.v1.identity_facts_pb2 import IdentityPolicyDefined, LinkDecided
from onefold.log.v1.log_pb2 import ClockTicked, Fact, FactBatch
from onefold.type.v1.event_pb2 import EVENT_TYPE_ALIAS, EVENT_TYPE_TRACK, Event
from onefold.type.v1.identifier_pb2 import Identifier as IdentifierMessage

from services.chassis.messaging.stream import Batch, OutboxMessage, StreamMessage
from services.identity.codec.policy import policy_to_proto
from services.identity.domain.policy import Policy
from services.kernel.identifiers.model import Identifier
from services.kernel.ids import definition_fact_id, shard_of
from services.kernel.tokens import Token
from services.kernel.trust import SourceTrust

EVENT = Event.DESCRIPTOR.full_name
#: Facts in a message of the relay.
MESSAGE_FACTS = 20


def event_fact(event: ModelEvent) -> Fact:
    message = Event(
        type=EVENT_TYPE_ALIAS if event.alias else EVENT_TYPE_TRACK,
        name="Course Viewed",
        message_id=str(event.message),
        identifiers=[
            IdentifierMessage(namespace=i.namespace, value=i.value, verified=i in event.verified)
            for i in event.identifiers
        ],
        properties=b'{"course_id":"c1"}',
        trust=int(event.trust),  # type: ignore[arg-type]  # the numbers are the enum's
    )
    return Fact(
        workspace_id=WORKSPACE,
        fact_id=event.first.fact_id,
        kind=EVENT,
        leaf_id=event.leaf,
        occurred_at_us=event.occurred_at_us,
        source_id="site",
        actor="key_1",
        payload=message.SerializeToString(),
    )


def decision_fact(decision: ModelDecision) -> Fact:
    message = LinkDecided(
        a=IdentifierMessage(namespace=decision.one.namespace, value=decision.one.value),
        b=IdentifierMessage(namespace=decision.other.namespace, value=decision.other.value),
        decision=int(decision.kind),  # type: ignore[arg-type]  # the numbers are the enum's
        reason=decision.decision.reason,
    )
    return Fact(
        workspace_id=WORKSPACE,
        fact_id=decision.first.fact_id,
        kind=LinkDecided.DESCRIPTOR.full_name,
        leaf_id=decision.leaf,
        occurred_at_us=decision.occurred_at_us,
        actor=decision.decision.actor,
        payload=message.SerializeToString(),
    )


def policy_fact(policy: Policy) -> Fact:
    message = IdentityPolicyDefined(policy=policy_to_proto(policy), version=policy.version)
    return Fact(
        workspace_id=WORKSPACE,
        fact_id=definition_fact_id(WORKSPACE, "identity_policy", "", policy.version),
        kind=IdentityPolicyDefined.DESCRIPTOR.full_name,
        occurred_at_us=1,
        payload=message.SerializeToString(),
    )


def tick() -> Fact:
    return Fact(kind=ClockTicked.DESCRIPTOR.full_name)


def fact_of(model: ModelEvent | ModelDecision | Policy) -> Fact:
    """Return the fact of an event, a decision or a policy."""
    if isinstance(model, ModelEvent):
        return event_fact(model)
    if isinstance(model, ModelDecision):
        return decision_fact(model)
    return policy_fact(model)


class MemoryEventLog:
    """A log in memory, which is also the outbox that the relay reads."""

    def __init__(self, shards: int = 4) -> None:
        self.shards: list[list[Fact]] = [[] for _ in range(shards)]

    def append(self, facts: Iterable[Fact]) -> None:
        for fact in facts:
            if fact.leaf_id:
                self._append_to(fact, shard_of(fact.leaf_id, len(self.shards)))
            else:
                for shard in range(len(self.shards)):
                    self._append_to(fact, shard)

    def _append_to(self, fact: Fact, shard: int) -> None:
        stored = Fact()
        stored.CopyFrom(fact)
        stored.shard = shard
        stored.offset = len(self.shards[shard])
        stored.recorded_at_us = 1_000 + stored.offset
        self.shards[shard].append(stored)

    def message(self, shard: int, first: int, end: int) -> StreamMessage:
        facts = self.shards[shard][first:end]
        batch = FactBatch(shard=shard, first_offset=first, facts=facts)
        return StreamMessage(first, first + len(facts), batch.SerializeToString())

    @property
    def token(self) -> Token:
        return Token(tuple(len(facts) for facts in self.shards))

    async def read(self, shard: int, first: int, limit: int) -> list[OutboxMessage]:
        starts = range(first, len(self.shards[shard]), MESSAGE_FACTS)
        messages = [self.message(shard, start, start + MESSAGE_FACTS) for start in starts[:limit]]
        return [OutboxMessage(m.first, m.next, m.payload) for m in messages]

    async def has_life(self, shard: int, end: int, life: int) -> bool:
        return True

    async def tail(self, shard: int) -> int:
        return len(self.shards[shard])

    async def prune(self, shard: int, published: int) -> None:
        """Keep everything."""

    def batch(self, shard: int, first: int, *sizes: int, overlap: int = 0) -> Batch:
        """Return messages of these sizes; the first one begins `overlap` facts too early."""
        messages, at = [], first - overlap
        for size in sizes:
            messages.append(self.message(shard, at, at + size))
            at = messages[-1].next
        return Batch(shard, first, at, tuple(messages), first, first, 0)

    def batches(
        self, shard: int, chance: random.Random, largest: int, first: int = 0
    ) -> Iterator[Batch]:
        """Yield a shard from an offset on in batches of random sizes."""
        at, end = first, len(self.shards[shard])
        while at < end:
            size = min(chance.randint(1, largest), end - at)
            cut = chance.randint(0, size)
            yield self.batch(shard, at, *[s for s in (cut, size - cut) if s])
            at += size


def random_events(chance: random.Random, events: int, names: int) -> list[ModelEvent]:
    """Return events of few users with many identifiers, so that workers meet."""
    namespaces = ["user_id", "member_id", "anonymous_id", "device_id"]
    pool = [Identifier(chance.choice(namespaces), f"n{i}") for i in range(names)]
    return [
        ModelEvent(
            tuple(chance.sample(pool, chance.choice([1, 1, 2, 3]))),
            chance.randint(1, 1_000),
            n,
            chance.random() < 0.1,
            trust=chance.choice(list(SourceTrust)),
        )
        for n in range(events)
    ]
