"""Runs journeys over the real store and fold of activation, with a log and a clock of the test."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import AsyncIterator, Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import asyncpg
from integration.activation.ledger_fixture import SHARDS, Ledger, W
from onefold.activation.v1 import contact_policy_pb2 as policy_pb
from onefold.activation.v1 import journey_facts_pb2 as facts_pb
from onefold.activation.v1 import journey_runs_pb2 as runs_pb
from onefold.log.v1.log_pb2 import Fact
from onefold.profile.v1.profile_stream_pb2 import LeafMove, MatchedEvent
from onefold.segment.v1.segment_stream_pb2 import MembershipChange, MembershipsChanged
from onefold.type.v1.event_pb2 import EVENT_TYPE_TRACK, Event
from service_fixtures import HANG_S

from services.activation.api.journey_runs import JourneyRunRpc
from services.activation.codec.journey_facts import CONTACT_POLICY_DEFINED
from services.activation.codec.journey_runs import RUN_TRANSITIONED
from services.activation.delivery.outcomes import OutcomePublisher
from services.activation.domain.journeys.run import Question
from services.activation.projection.fold import ActivationProjection
from services.activation.projection.journeys.engine import JourneyEngine
from services.activation.projection.journeys.knowledge import Person, PersonQuestion
from services.activation.projection.journeys.restore import restore_ledger
from services.activation.projection.journeys.verification import BEFORE, RunVerifier, Verification
from services.activation.store.effects import DestinationKey
from services.chassis.access.principal import Principal, Role, set_principal
from services.chassis.codec.journey_facts import (
    JOURNEY_DEFINED,
    JOURNEY_ENTERED,
    JOURNEY_FLOW_CHANGED,
)
from services.chassis.codec.journeys import journey_to_proto
from services.chassis.messaging.stream import Batch, StreamMessage
from services.chassis.postgres.database import transaction
from services.kernel.errors import Conflict, TokenNotReached
from services.kernel.ids import ProfileId, shard_of
from services.kernel.journeys.contact_policy import ZonePolicy
from services.kernel.journeys.inputs import awaited_events, call_filter_id
from services.kernel.journeys.journey_form import parse_journey
from services.kernel.journeys.model import Journey
from services.kernel.rules.filters import matcher
from services.kernel.rules.ids import structure_id
from services.kernel.time import HOUR_US
from services.kernel.tokens import Token

#: Empties the store.
EMPTY = (
    "TRUNCATE effect, destination, template, pace, access_key, access_source, address, report,"
    " journey, flow_change, contact_policy, run, run_unpublished, journey_fact, journey_due,"
    " leaf_profile, entry_answer, ledger_restored, schedule_occurrence, coupon, coupon_code,"
    " coupon_pool, mirror, mirror_member, mirror_entry, ticket, ticket_fact, desk_queue, slot,"
    " slot_follower, slot_person;"
    " UPDATE checkpoint SET next = 0, next_output = 0, log_offset = 0, log_time_us = 0"
)
#: 2026-03-02, a Monday.
BEGIN = 1_772_409_600_000_000
CART: dict[str, Any] = {
    "id": "cart",
    "enter": {"event": "cart_updated", "again": "always"},
    "goal": [{"event": "order_paid"}],
    "steps": [{"wait": "2h"}, {"send": {"id": "reminder", "to": "mail", "template": "t"}}],
}


def leaf(number: int) -> bytes:
    """Return a leaf; the shard of its facts is that of the number."""
    digest = hashlib.blake2b(f"leaf {number}".encode(), digest_size=16).digest()
    while shard_of(digest, SHARDS) != number % SHARDS:
        digest = hashlib.blake2b(digest, digest_size=16).digest()
    return digest


@dataclass
class FakeLog:
    """A log that accepts one content for each fact id."""

    facts: dict[bytes, Fact] = field(default_factory=dict)
    ticks: int = 0
    #: Called before facts are appended.
    before: Callable[[list[Fact]], None] | None = None
    #: By leaf, when a person was erased from the log, Unix microseconds.
    erased_us: dict[bytes, int] = field(default_factory=dict)

    async def append(self, facts: list[Fact], known_us: int = 0) -> None:
        if self.before is not None:
            self.before(facts)
        if any(known_us < self.erased_us.get(fact.leaf_id, 0) for fact in facts):
            raise TokenNotReached("an erasure is not folded")
        for fact in facts:
            known = self.facts.get(fact.fact_id)
            if known is not None and known.payload != fact.payload:
                raise Conflict("another content")
        for fact in facts:
            self.facts[fact.fact_id] = fact

    async def read(
        self, shard: int, first: int, end: int, *, kinds: Collection[str] = ()
    ) -> AsyncIterator[list[Fact]]:
        for fact in list(self.facts.values()):
            own = shard_of(fact.leaf_id, SHARDS) == shard if fact.leaf_id else True
            if own and fact.kind in kinds:
                yield [fact]

    async def tick(self) -> None:
        self.ticks += 1

    async def read_leaves(self, workspace_id: str, leaf_ids: Collection[bytes]) -> list[Fact]:
        own = [f for f in self.facts.values() if f.leaf_id in leaf_ids]
        return [f for f in own if f.workspace_id == workspace_id]

    def transitions(self) -> list[runs_pb.RunTransitioned]:
        """Return the transitions in the log, in the order in which they were appended."""
        return [
            runs_pb.RunTransitioned.FromString(fact.payload)
            for fact in self.facts.values()
            if fact.kind == RUN_TRANSITIONED
        ]

    def kinds(self) -> list[str]:
        return [str(each.WhichOneof("change")) for each in self.transitions()]


@dataclass
class FakeUpstream:
    """Answers questions by a function, and says zones."""

    truth: Callable[[Question], bool] = lambda _: True
    questions: list[Question] = field(default_factory=list)
    error: Exception | None = None

    #: By leaf.
    zone: dict[bytes, str] = field(default_factory=dict)

    #: The leaves whose zones were read.
    zones_read: list[bytes] = field(default_factory=list)

    async def zones(self, persons: Mapping[Person, ZonePolicy]) -> dict[Person, str]:
        self.zones_read += [person[1] for person in persons]
        return {p: self.zone.get(p[1], policy.default) for p, policy in persons.items()}

    #: By leaf and name.
    traits: dict[bytes, dict[str, str]] = field(default_factory=dict)

    async def texts(self, traits: Mapping[Person, Collection[str]]) -> dict[Person, dict[str, str]]:
        return {
            person: {name: own[name] for name in names if name in own}
            for person, names in traits.items()
            for own in (self.traits.get(person[1], {}),)
        }

    #: By segment, in pages.
    audience: dict[str, list[list[bytes]]] = field(default_factory=dict)

    async def members(
        self, workspace_id: str, segment_id: str, at_us: int, page_token: str
    ) -> tuple[list[ProfileId], str]:
        pages, number = self.audience[segment_id], int(page_token or 0)
        following = str(number + 1) if number + 1 < len(pages) else ""
        return [ProfileId(each) for each in pages[number]], following

    async def judge(
        self, questions: Collection[PersonQuestion], at_least: Token
    ) -> dict[PersonQuestion, bool]:
        if self.error is not None:
            raise self.error
        self.questions += [question for _, question in questions]
        return {each: self.truth(each[1]) for each in questions}


class FakeRunner:
    """The part of a runner that the engine needs."""

    service = "activation"

    async def token(self) -> Token:
        return Token({})

    async def reach(self, token: Token | None) -> Token:
        return Token({})

    async def catch_up(self, token: Token | None) -> Token:
        return Token({})


class JourneyBench:
    """Folds messages of segment, and plays what is due, one step at a time."""

    def __init__(self, ledger: Ledger, log: FakeLog | None = None, shards: int = SHARDS) -> None:
        self.ledger, self.shards = ledger, shards
        self.log, self.upstream = log or FakeLog(), FakeUpstream()
        self.queues: list[DestinationKey] = []
        self.projection = ActivationProjection(
            shards, self.queues.extend, on_defined=lambda: None, on_access=lambda: None
        )
        self.engine = JourneyEngine(
            ledger.database,
            FakeRunner(),  # type: ignore[arg-type]
            self.log,  # type: ignore[arg-type]
            self.upstream,
            shards,
            self.queues.extend,
        )
        self.now_us = BEGIN
        self._journeys: dict[str, list[Any]] = {}
        self._events = 0
        #: What segment has published, with the shards.
        self._published: list[tuple[int, MembershipsChanged]] = []

    def shard(self, of: int) -> int:
        """Return the shard of the facts of a leaf."""
        return shard_of(leaf(of), self.shards)

    async def fold(self, shard: int, message: MembershipsChanged) -> None:
        """Fold one message on a shard, whose clock is then at the present instant."""
        message.log_time_us = self.now_us
        self._published.append((shard, message))
        await self._fold(shard, message)

    async def _fold(self, shard: int, message: MembershipsChanged) -> None:
        wrapped = StreamMessage(0, 1, message.SerializeToString())
        async with transaction(self.ledger.database.pool) as conn:
            result = await self.projection.fold(conn, Batch(shard, 0, 1, (wrapped,), 0, 0, 0))
            await conn.execute(
                "UPDATE checkpoint SET log_time_us = greatest(log_time_us, $2) WHERE shard = $1",
                shard,
                result.log_time_us,
            )

    async def broadcast(self, kind: str, message: Any) -> None:
        fact = Fact(
            workspace_id=W,
            kind=kind,
            payload=message.SerializeToString(),
            recorded_at_us=self.now_us,
            fact_id=hashlib.blake2b(message.SerializeToString(), digest_size=16).digest(),
        )
        self.log.facts[fact.fact_id] = fact
        for shard in range(self.shards):
            await self.fold(shard, MembershipsChanged(broadcast_facts=[fact]))

    async def define(self, **form: Any) -> None:
        """Define the next version of a journey."""
        await self.define_journey(parse_journey(form))

    async def define_journey(self, journey: Journey) -> None:
        """Define a journey as its next version."""
        versions = self._journeys.setdefault(journey.journey_id, [])
        proto = journey_to_proto(journey)
        proto.version = len(versions) + 1
        versions.append(journey)
        await self.broadcast(JOURNEY_DEFINED, facts_pb.JourneyDefined(journey=proto))

    async def flow(self, journey_id: str, flow: int, version: int = 1, overdue: int = 0) -> None:
        message = facts_pb.JourneyFlowChanged(
            journey_id=journey_id, flow=flow, version=version, overdue=overdue
        )
        await self.broadcast(JOURNEY_FLOW_CHANGED, message)

    async def policy(self, message: policy_pb.ContactPolicy) -> None:
        await self.broadcast(
            CONTACT_POLICY_DEFINED, facts_pb.ContactPolicyDefined(policy=message, version=1)
        )

    def event(
        self,
        name: str,
        of: int = 1,
        *,
        occurred_at_us: int = 0,
        profile: int = 0,
        version: int = 0,
        fact: bytes = b"",
        **properties: Any,
    ) -> MatchedEvent:
        """Return an event of a leaf as profile passes it on; it is recorded now."""
        self._events += 1
        fact_id = fact or hashlib.blake2b(f"event {self._events}".encode(), digest_size=16).digest()
        filters = self.filters_of(name, properties)
        encoded = json.dumps(properties).encode()
        self.log.facts[fact_id] = Fact(
            workspace_id=W,
            fact_id=fact_id,
            kind=Event.DESCRIPTOR.full_name,
            leaf_id=leaf(of),
            occurred_at_us=occurred_at_us or self.now_us,
            recorded_at_us=self.now_us,
            payload=Event(type=EVENT_TYPE_TRACK, name=name, properties=encoded).SerializeToString(),
        )
        return MatchedEvent(
            workspace_id=W,
            profile_id=leaf(profile or of),
            assignment_version=version,
            leaf_id=leaf(of),
            fact_id=fact_id,
            filter_ids=sorted(filters),
            occurred_at_us=occurred_at_us or self.now_us,
            recorded_at_us=self.now_us,
            properties=encoded,
        )

    def filters_of(self, name: str, properties: Mapping[str, Any]) -> set[int]:
        """Return the ids of the filters of journeys that an event passes."""
        return {
            structure_id(events)
            for versions in self._journeys.values()
            for journey in versions
            for events in awaited_events(journey)
            if name in events.names and (not events.where or matcher(events.where)(properties))
        }

    async def happen(self, name: str, of: int = 1, **fields: Any) -> MatchedEvent:
        """Fold an event in the shard of its leaf."""
        event = self.event(name, of, **fields)
        await self.fold(self.shard(of), MembershipsChanged(matched_events=[event]))
        return event

    async def enter(
        self,
        segment_id: str,
        of: int = 1,
        *,
        ordinal: int = 1,
        cause: int = 1,
        occurred_at_us: int | None = None,
    ) -> None:
        change = MembershipChange(
            workspace_id=W,
            segment_id=segment_id,
            profile_id=leaf(of),
            entered=ordinal % 2 == 1,
            ordinal=ordinal,
            changed_at_us=self.now_us,
            cause=cause,
            occurred_at_us=occurred_at_us,
        )
        await self.fold(self.shard(of), MembershipsChanged(changes=[change]))

    async def move(self, of: int, to: int, version: int) -> None:
        """Move a leaf to the profile of another one."""
        move = LeafMove(workspace_id=W, leaf_id=leaf(of), profile_id=leaf(to), version=version)
        await self.fold(self.shard(of), MembershipsChanged(leaf_moves=[move]))

    async def pass_time(self, hours: float = 0, *, us: int = 0, shards: Iterable[int] = ()) -> None:
        """Let time pass on the shards (none = all)."""
        self.now_us += int(hours * HOUR_US) + us
        for shard in shards or range(self.shards):
            await self.fold(shard, MembershipsChanged())

    async def look(self) -> None:
        """Play until nothing is due, without publishing anything."""
        async with asyncio.timeout(HANG_S):
            while await self.engine.player.look():
                pass

    async def come_to_rest(self, hours: float = 0) -> None:
        """Let time pass by a microsecond more, play what is due, and publish it."""
        await self.pass_time(hours, us=1)
        await self.look()
        while await self.engine.publisher.publish_once():
            pass

    async def send(self) -> list[str]:
        """Begin and end the attempts at all effects that may be sent; return their steps."""
        rows = await self.ledger.database.pool.fetch(
            "UPDATE effect SET state = 3, attempts = 1, begun_at_us = $1, ended_at = now()"
            " WHERE state = 1 AND run_id IS NOT NULL RETURNING step_id",
            self.now_us,
        )
        return sorted(row["step_id"] for row in rows)

    async def carry_out(self) -> list[str]:
        """Carry out the effects that are facts of the log, and fold the entries among them."""
        before = set(self.log.facts)
        while await self.engine.own_effects.carry_out():
            pass
        new = [fact for id_, fact in self.log.facts.items() if id_ not in before]
        for fact in new:
            if fact.kind == JOURNEY_ENTERED:
                entered = facts_pb.JourneyEntered.FromString(fact.payload)
                event = MatchedEvent(
                    workspace_id=W,
                    profile_id=fact.leaf_id,
                    leaf_id=fact.leaf_id,
                    fact_id=fact.fact_id,
                    filter_ids=[call_filter_id(entered.journey_id)],
                    occurred_at_us=fact.occurred_at_us,
                    recorded_at_us=self.now_us,
                    properties=entered.properties,
                )
                shard = shard_of(fact.leaf_id, self.shards)
                await self.fold(shard, MembershipsChanged(matched_events=[event]))
        return [fact.kind.rpartition(".")[2] for fact in new]

    async def publish_ends(self) -> None:
        """Append the ends of effects to the log."""
        await OutcomePublisher(self.ledger.database, self.log, "activation").publish_once()  # type: ignore[arg-type]

    async def verify(self) -> Verification:
        """Compute all transitions again from the log."""
        verifier = RunVerifier(
            self.ledger.database.pool,
            self.log,  # type: ignore[arg-type]
            self.upstream,
        )
        return await verifier.verify(W, "", (-1, BEFORE), 0, 10_000)

    async def lose_database(self) -> None:
        """Begin with an empty database: restore it from the log, and fold what segment has."""
        await self.ledger.database.pool.execute(EMPTY)
        await restore_ledger(self.ledger.database, self.log, self.shards)  # type: ignore[arg-type]
        for shard in range(self.shards):
            self.projection.forget(shard)
        for shard, message in self._published:
            # What is replayed from its history has no time, and no facts without a leaf.
            replayed = MembershipsChanged(
                changes=message.changes,
                matched_events=message.matched_events,
                leaf_moves=message.leaf_moves,
            )
            await self._fold(shard, replayed)

    async def runs(self) -> list[asyncpg.Record]:
        return await self.ledger.database.pool.fetch("SELECT * FROM run ORDER BY begun_at_us")

    async def effects(self) -> dict[str, str]:
        """Return the states of effects of runs by step."""
        rows = await self.ledger.rows()
        names = {1: "pending", 2: "unknown", 3: "delivered", 5: "suppressed", 7: "planned"}
        return {r["step_id"]: names.get(r["state"], str(r["state"])) for r in rows}


async def calls(bench: JourneyBench) -> JourneyRunRpc:
    """Return the calls about runs, as a key of the workspace makes them."""
    set_principal(Principal(W, Role.ADMIN, "key_of_test"))
    database: Any = bench.ledger.database
    verifier = RunVerifier(database.api_pool, bench.log, bench.upstream)  # type: ignore[arg-type]  # a fake
    return JourneyRunRpc(database=database, runner=FakeRunner(), verifier=verifier)  # type: ignore[arg-type]  # a fake
