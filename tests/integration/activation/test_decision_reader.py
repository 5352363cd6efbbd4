"""Decisions read persons once, and stored persons are never older than what was folded."""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
from integration.activation.journey_fixture import JourneyBench, leaf
from integration.activation.ledger_fixture import SHARDS, W
from onefold.activation.v1 import slots_pb2
from onefold.profile.v1.profile_stream_pb2 import LeafMove, MatchedEvent
from onefold.segment.v1.segment_stream_pb2 import MembershipChange, MembershipsChanged

from services.activation.api.decision_reader import REMEMBERED_S, DecisionReader
from services.activation.delivery.retention import PayloadRetention
from services.activation.domain.decisions import SlotPerson
from services.activation.store.decisions import expect_person
from services.chassis.codec.journey_facts import SLOT_DEFINED
from services.chassis.codec.journeys import slot_to_proto
from services.chassis.postgres.database import transaction
from services.chassis.postgres.workspace import workspace_scope
from services.chassis.rpc.clients import AssignedIdentifier
from services.kernel.errors import InvalidField, ServiceUnavailable
from services.kernel.identifiers.model import Identifier
from services.kernel.ids import IdentifierId, ProfileId, WorkspaceId
from services.kernel.journeys.decisions import Slot, parse_slot
from services.kernel.journeys.inputs import CONSENT_FILTER_ID
from services.kernel.rules.defaults import Defaults

SLOT = {"id": "home", "variants": [{"id": "all"}]}
SEGMENTS = ("sporty", "tag:taste=bold", "stage:s=new")
#: Changes and reads of one random test.
STEPS = 120


@dataclass
class Services:
    """What identity, segment and profile say of some persons now, and the messages of it that
    activation has not folded yet, by shard."""

    bench: JourneyBench
    #: By identifier: its versions, each with the profile.
    owners: dict[str, list[int]] = field(default_factory=dict)
    #: By profile and segment: the ordinal of the last change.
    ordinals: dict[tuple[int, str], int] = field(default_factory=dict)
    #: By profile: every answer to profiling, the last one last.
    refusals: dict[int, list[bool]] = field(default_factory=dict)
    waiting: dict[int, deque[MembershipsChanged]] = field(default_factory=dict)
    away: bool = False
    lookups: int = 0
    reads: int = 0
    #: Runs around each call.
    meanwhile: Callable[[], Awaitable[object]] | None = None
    runner: Any = None
    shards: int = SHARDS

    async def assignment(
        self, workspace_id: WorkspaceId, identifier: Identifier
    ) -> AssignedIdentifier | None:
        self.lookups += 1
        await self._pause()
        if identifier.value == "wrong":
            raise InvalidField("no number")
        versions = self.owners.get(identifier.value, [])
        if not versions:
            return None
        ids = IdentifierId(identifier_id(identifier.value)), ProfileId(leaf(versions[-1]))
        return AssignedIdentifier(*ids, len(versions))

    async def person(
        self, workspace_id: WorkspaceId, identifier: Identifier, at_least: object
    ) -> SlotPerson | None:
        if self.away:
            raise ServiceUnavailable("away")
        self.reads += 1
        await self._pause()
        person = self.truth(identifier.value)
        await self._pause()
        return person

    async def reach(self, token: object) -> None:
        """The test folds by itself."""

    async def _pause(self) -> None:
        if self.meanwhile is not None:
            await self.meanwhile()

    def truth(self, name: str) -> SlotPerson:
        owner = self.owners[name][-1]
        own = {s: self.ordinals[owner, s] for s in SEGMENTS if (owner, s) in self.ordinals}
        return SlotPerson(ProfileId(leaf(owner)), own, self.refusals.get(owner, [False])[-1])

    def toggle(self, owner: int, segment_id: str, shard: int) -> None:
        ordinal = self.ordinals[owner, segment_id] = self.ordinals.get((owner, segment_id), 0) + 1
        change = MembershipChange(
            workspace_id=W,
            segment_id=segment_id,
            profile_id=leaf(owner),
            entered=ordinal % 2 == 1,
            ordinal=ordinal,
        )
        self._publish(shard, MembershipsChanged(changes=[change]))

    def answer(self, owner: int, refuses: bool, shard: int) -> None:
        self.refusals.setdefault(owner, [False]).append(refuses)
        event = MatchedEvent(
            workspace_id=W,
            profile_id=leaf(owner),
            leaf_id=leaf(owner),
            fact_id=random.randbytes(16),
            filter_ids=[CONSENT_FILTER_ID],
        )
        self._publish(shard, MembershipsChanged(matched_events=[event]))

    def move(self, name: str, owner: int, shard: int) -> None:
        """Move an identifier with its answers to another profile."""
        before = self.owners[name][-1]
        self.owners[name].append(owner)
        self.refusals.setdefault(owner, [False]).append(self.refusals.get(before, [False])[-1])
        move = LeafMove(
            workspace_id=W,
            leaf_id=identifier_id(name),
            profile_id=leaf(owner),
            version=len(self.owners[name]),
            before_profile_id=leaf(before),
        )
        self._publish(shard, MembershipsChanged(leaf_moves=[move]))

    def _publish(self, shard: int, message: MembershipsChanged) -> None:
        self.waiting.setdefault(shard, deque()).append(message)

    async def fold(self, shard: int, most: int = 1_000) -> None:
        """Have activation fold the next messages of a shard."""
        queue = self.waiting.get(shard, deque())
        while queue and most:
            most -= 1
            await self.bench.fold(shard, queue.popleft())

    async def fold_everything(self) -> None:
        for shard in range(SHARDS):
            await self.fold(shard)

    async def define(self) -> None:
        slot = slot_to_proto(parse_slot(SLOT, "slot", Defaults()))
        slot.version = 1
        await self.bench.broadcast(SLOT_DEFINED, slots_pb2.SlotDefined(slot=slot))


def identifier_id(name: str) -> bytes:
    return leaf(1_000 + ord(name[0]))


class Clock:
    """A clock that stands still."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def reader_of(services: Services, clock: Clock | None = None) -> DecisionReader:
    ports: Any = services
    return DecisionReader(services.bench.ledger.database, ports, ports, ports, clock or Clock())


async def read(reader: DecisionReader, name: str) -> SlotPerson | None:
    slots: dict[str, Slot] = {}
    with workspace_scope(W):
        person = await reader.read(W, Identifier("user_id", name), ["home", "none"], None, slots)
    assert set(slots) == {"home"}
    return person


@pytest.fixture
def services(bench: JourneyBench) -> Services:
    return Services(bench, owners={"u": [1], "v": [2]})


async def test_person_is_read_once_and_then_follows_what_is_folded(services: Services) -> None:
    await services.define()
    reader = reader_of(services)
    services.toggle(1, "sporty", 0)
    expected = services.truth("u")
    for _ in range(3):
        assert await read(reader, "u") == expected
    assert (services.lookups, services.reads) == (1, 1)
    # The person is stored, so the services upstream may be away.
    services.away = True
    services.toggle(1, "stage:s=new", 3)
    services.toggle(1, "sporty", 0)
    assert await read(reader, "u") == expected
    await services.fold_everything()
    assert await read(reader, "u") == services.truth("u") != expected


async def test_answer_to_profiling_and_a_move_make_the_person_be_read_again(
    services: Services,
) -> None:
    await services.define()
    reader = reader_of(services)
    services.toggle(2, "sporty", 0)
    assert (await read(reader, "u"), await read(reader, "v")) == (
        services.truth("u"),
        services.truth("v"),
    )
    services.answer(1, True, 2)
    await services.fold_everything()
    assert await read(reader, "u") == services.truth("u")
    assert services.truth("u").refuses_profiling
    services.move("v", 1, 1)
    await services.fold_everything()
    assert await read(reader, "v") == services.truth("v")
    assert services.truth("v").profile_id == leaf(1)
    assert (services.lookups, services.reads) == (2, 4)


async def test_persons_are_read_each_time_until_every_shard_has_folded_a_slot(
    services: Services,
) -> None:
    reader = reader_of(services)
    await services.define()
    await services.bench.ledger.database.pool.execute("DELETE FROM slot_follower WHERE shard = 3")
    for _ in range(2):
        assert await read(reader, "u") == services.truth("u")
    assert services.reads == 2


async def test_identifier_without_a_person_is_looked_up_each_time(services: Services) -> None:
    await services.define()
    reader = reader_of(services)
    assert await read(reader, "none") is None
    assert await read(reader, "wrong") is None
    services.owners["none"] = [3]
    assert await read(reader, "none") == services.truth("none")
    assert (services.lookups, services.reads) == (3, 1)


async def test_form_of_an_identifier_is_looked_up_again_after_some_time(services: Services) -> None:
    await services.define()
    clock = Clock()
    reader = reader_of(services, clock)
    await read(reader, "u")
    clock.now = REMEMBERED_S - 1
    await read(reader, "u")
    assert services.lookups == 1
    clock.now = REMEMBERED_S + 1
    assert await read(reader, "u") == services.truth("u")
    assert (services.lookups, services.reads) == (2, 1)


@pytest.mark.parametrize("seed", range(6))
async def test_person_is_never_older_than_what_is_folded_whatever_happens_meanwhile(
    services: Services, seed: int
) -> None:
    await services.define()
    reader = reader_of(services)
    chance = random.Random(seed)
    folded: dict[int, int] = {}

    async def happen() -> None:
        for _ in range(chance.randrange(4)):
            owner, shard = chance.randrange(1, 4), chance.randrange(SHARDS)
            what = chance.randrange(8)
            if what < 3:
                services.toggle(owner, chance.choice(SEGMENTS), shard)
            elif what == 3:
                services.answer(owner, chance.random() < 0.5, shard)
            elif what == 4:
                services.move(chance.choice("uv"), owner, shard)
            else:
                await services.fold(shard, chance.randrange(3))
                folded[shard] = folded.get(shard, 0) + 1

    services.meanwhile = happen
    for step in range(STEPS):
        await happen()
        name = chance.choice("uv")
        found = await read(reader, name)
        assert found is not None
        if step % 12 == 11:
            services.meanwhile = None
            await services.fold_everything()
            for each in "uv":
                assert await read(reader, each) == services.truth(each), (seed, step, each)
            services.meanwhile = happen
    assert services.reads < 3 * STEPS
    assert folded


async def test_person_that_was_read_a_day_ago_is_read_again(services: Services) -> None:
    await services.define()
    reader, database = reader_of(services), services.bench.ledger.database
    await read(reader, "u")
    retention = PayloadRetention(database, retention_s=1.0)
    await retention.delete_once()
    await read(reader, "u")
    assert services.reads == 1
    await database.pool.execute("UPDATE slot_person SET inserted_at = now() - interval '25 h'")
    await retention.delete_once()
    assert await read(reader, "u") == services.truth("u")
    assert services.reads == 2


async def test_person_that_changes_while_two_read_it_is_not_stored_as_the_first_read_it(
    services: Services,
) -> None:
    await services.define()
    reader, pauses = reader_of(services), iter(range(3))

    async def change() -> None:
        if next(pauses) < 2:
            return
        # The first has read the person: the row is deleted, and inserted by a second one.
        services.answer(1, True, 2)
        await services.fold_everything()
        async with transaction(services.bench.ledger.database.pool) as conn:
            await expect_person(conn, W, ProfileId(leaf(1)))

    services.meanwhile = change
    first = await read(reader, "u")
    services.meanwhile = None
    assert first is not None
    assert not first.refuses_profiling
    assert await read(reader, "u") == services.truth("u")
    assert services.truth("u").refuses_profiling
