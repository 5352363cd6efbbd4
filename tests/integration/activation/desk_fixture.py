"""A service desk over the real store and fold of activation, with a log and a clock of the test."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from integration.activation.journey_fixture import JourneyBench, leaf
from integration.activation.ledger_fixture import SHARDS, W
from onefold.activation.v1 import desk_pb2 as pb
from onefold.log.v1.log_pb2 import Fact
from onefold.profile.v1.profile_stream_pb2 import MatchedEvent
from onefold.segment.v1.segment_stream_pb2 import MembershipsChanged

from services.activation.codec.desk import QUEUE_DEFINED, TicketKey, ticket_log_fact
from services.activation.projection.desk.worker import DeskWorker
from services.chassis.codec.journeys import queue_to_proto
from services.chassis.codec.tickets import TICKET_KINDS, ticket_properties
from services.kernel.desk.queue_form import parse_queue
from services.kernel.desk.ticket_events import TicketEvent, ticket_filter_id
from services.kernel.ids import LeafId, WorkspaceId, hash_id, shard_of

#: What the ids of tickets are hashes of.
NAMES = ("", "first", "second", "third", "fourth")


@dataclass
class Desk:
    """Queues and tickets of a bench; what they append to the log is folded as profile sends it."""

    bench: JourneyBench
    worker: DeskWorker
    _versions: dict[str, int] = field(default_factory=dict)
    _folded: set[bytes] = field(default_factory=set)

    @classmethod
    def of(cls, bench: JourneyBench) -> Desk:
        """Return the desk of a bench."""
        worker = DeskWorker(bench.ledger.database, bench.log, "activation")  # type: ignore[arg-type]
        return cls(bench, worker)

    async def queue(self, **form: Any) -> None:
        """Define the next version of a queue."""
        queue = parse_queue({"id": "q", **form})
        version = self._versions[queue.queue_id] = self._versions.get(queue.queue_id, 0) + 1
        message = pb.DeskQueueDefined(queue=queue_to_proto(queue.at_version(version)))
        await self.bench.broadcast(QUEUE_DEFINED, message)

    async def say(
        self,
        event: TicketEvent,
        number: int = 1,
        *,
        of: int = 1,
        at_us: int = 0,
        queue: str = "q",
        kind: str = "ticket",
        **fields: Any,
    ) -> None:
        """Append what a call says of a ticket, and fold it."""
        key = TicketKey(WorkspaceId(W), hash_id(NAMES[number]), LeafId(leaf(of)), queue, kind)
        id_ = hash_id(key.ticket_id, event.value, str(at_us or self.bench.now_us))
        fact = ticket_log_fact(key, event, id_, occurred_at_us=at_us, **fields)
        await self.bench.log.append([fact])
        await self.deliver()

    async def deliver(self) -> int:
        """Fold the facts about tickets that the log has and the fold has not; return how many."""
        new = [
            fact
            for id_, fact in self.bench.log.facts.items()
            if fact.kind in TICKET_KINDS and id_ not in self._folded
        ]
        for fact in new:
            self._folded.add(fact.fact_id)
            fact.occurred_at_us = fact.occurred_at_us or self.bench.now_us
            shard = shard_of(fact.leaf_id, SHARDS)
            await self.bench.fold(shard, MembershipsChanged(matched_events=[self._event(fact)]))
        return len(new)

    def _event(self, fact: Fact) -> MatchedEvent:
        event = TICKET_KINDS[fact.kind]
        properties = ticket_properties(event, fact.payload)
        filters = self.bench.filters_of(event.value, properties)
        return MatchedEvent(
            workspace_id=W,
            profile_id=fact.leaf_id,
            leaf_id=fact.leaf_id,
            fact_id=fact.fact_id,
            filter_ids=sorted({*filters, ticket_filter_id(event)}),
            occurred_at_us=fact.occurred_at_us,
            recorded_at_us=self.bench.now_us,
            properties=json.dumps(properties).encode(),
        )

    async def rest(self, hours: float = 0) -> None:
        """Let time pass, and let journeys and the desk do what is due, until nothing is."""
        await self.bench.come_to_rest(hours)
        while (
            await self.bench.engine.own_effects.carry_out()
            or await self.worker.look()
            or await self.worker.publish()
            or await self.deliver()
        ):
            await self.bench.come_to_rest()

    async def tickets(self) -> list[Any]:
        """Return the rows of tickets, the first opened first."""
        rows: list[Any] = await self.bench.ledger.database.pool.fetch(
            "SELECT * FROM ticket ORDER BY opened_at_us, ticket_id"
        )
        return rows

    def logged(self, event: TicketEvent) -> list[dict[str, Any]]:
        """Return the properties of the facts of an event in the log."""
        return [
            ticket_properties(event, fact.payload)
            for fact in self.bench.log.facts.values()
            if TICKET_KINDS.get(fact.kind) is event
        ]
