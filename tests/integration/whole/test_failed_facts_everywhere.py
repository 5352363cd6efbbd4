"""One fact of a workspace that a service cannot fold: the other workspace goes on, an operator
parks the fact, rebuilds agree, and in the end it is folded as if nothing had been."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
import pytest_asyncio
from integration.whole.chain import Chain, chain
from laws.profile_model import START_US, VIEWED, definition
from onefold.log.v1.log_pb2 import Fact, FactParked, FactUnparked
from onefold.projection.v1 import projection_service_pb2 as pb
from onefold.type.v1.event_pb2 import EVENT_TYPE_TRACK, Event
from onefold.type.v1.identifier_pb2 import Identifier as IdentifierMessage
from rebuilds import rebuild
from service_fixtures import MakeSettings, wait_until

from services.activation.projection import fold as activation_fold
from services.identity.codec import bus as identity_bus
from services.kernel.identifiers.model import Identifier
from services.kernel.identifiers.priority import leaf_of
from services.kernel.ids import WorkspaceId
from services.kernel.rules.model import Operator, Predicate
from services.profile.codec import bus as profile_bus
from services.profile.codec import log as profile_log
from services.segment import rebuild as segment_rebuild
from services.segment.projection import fold as segment_fold
from tests.index_key import INDEX_KEY
from tests.rule_builders import count_of

A, B = WorkspaceId("tenant-a"), WorkspaceId("tenant-b")
ONE = count_of(VIEWED, 0, Operator.GE, 1)
TWO = count_of(VIEWED, 0, Operator.GE, 2)
#: In the event that cannot be folded.
MARK = b"hemlock"
PEOPLE = 12


def event(workspace: WorkspaceId, person: int, number: int, *, marked: bool = False) -> Fact:
    names = (("user_id", f"u{person}"), ("email", f"u{person}@example.com"))
    leaf = leaf_of(workspace, [Identifier(*name) for name in names], INDEX_KEY)
    message = Event(
        type=EVENT_TYPE_TRACK,
        name="viewed",
        message_id=f"{person}-{number}",
        identifiers=[IdentifierMessage(namespace=n, value=v) for n, v in names],
        properties=b'{"plant":"%s"}' % (MARK if marked else b"rose"),
        trust=3,
    )
    return Fact(
        workspace_id=workspace,
        fact_id=INDEX_KEY.event_fact_id(workspace, "site", message.message_id, leaf),
        kind=Event.DESCRIPTOR.full_name,
        leaf_id=leaf,
        occurred_at_us=START_US + number,
        source_id="site",
        payload=message.SerializeToString(),
    )


def segment(workspace: WorkspaceId, segment_id: str, rule: Predicate) -> Fact:
    return definition(segment_id, rule, workspace=workspace)


class Poison:
    """Makes functions raise for what has the mark, as long as it is on."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._monkeypatch = monkeypatch
        self.is_on = True

    def plant(self, owner: Any, name: str, is_marked: Callable[[Any], bool]) -> None:
        original = getattr(owner, name)

        def raising(first: Any, *more: Any) -> Any:
            if self.is_on and is_marked(first):
                raise ValueError("this cannot be folded")
            return original(first, *more)

        self._monkeypatch.setattr(owner, name, raising)


def plant_identity(poison: Poison, monkeypatch: pytest.MonkeyPatch) -> None:
    class Marked:
        FromString = identity_bus.EventIdentifiers.FromString

    monkeypatch.setattr(identity_bus, "EventIdentifiers", Marked)
    poison.plant(Marked, "FromString", lambda payload: MARK in payload)
    monkeypatch.setattr(Marked, "FromString", staticmethod(Marked.FromString))


def plant_profile(poison: Poison, _monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (profile_bus, profile_log):
        poison.plant(module, "event_view", lambda fact: MARK in fact.payload)


PLANTS = {"identity": plant_identity, "profile": plant_profile}


@pytest_asyncio.fixture(loop_scope="session")
async def services(
    make_settings: MakeSettings, internal_key: str, database: str, nats_url: str
) -> AsyncIterator[Chain]:
    async with chain(make_settings, internal_key, database, nats_url) as running:
        yield running


async def failed(services: Chain, name: str) -> list[pb.FailedFact]:
    response = await services.projection(name).ListFailedFacts(pb.ListFailedFactsRequest())
    return list(response.facts)


async def members(services: Chain, workspace: str) -> set[tuple[str, bytes]]:
    rows = await services.query(
        "SELECT m.segment_id, m.profile_id FROM segment_g1.membership m"
        f" WHERE m.workspace_id = '{workspace}'"
    )
    return {(row[0], bytes(row[1])) for row in rows}


async def assert_rebuilt_equal(services: Chain, *names: str) -> None:
    for name in names:
        last = await rebuild(services.projection(name), shards=5, workers=2)
        assert last.equal, (name, last.differing_rows, last.live_digests, last.rebuilt_digests)


def parking(kind: type[FactParked] | type[FactUnparked], at: pb.FailedFact, service: str) -> Fact:
    message = kind(shard=at.shard, offset=at.offset, services=[service], reason="a test")
    return Fact(
        workspace_id=A,
        fact_id=(kind.__name__ * 2)[:16].encode(),
        kind=kind.DESCRIPTOR.full_name,
        payload=message.SerializeToString(),
    )


@pytest.mark.parametrize("name", PLANTS)
async def test_fact_that_one_service_cannot_fold_stops_nothing_else(
    services: Chain, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    poison = Poison(monkeypatch)
    PLANTS[name](poison, monkeypatch)
    people = range(PEOPLE)
    await services.append([segment(A, "one", ONE), segment(B, "one", ONE)])
    first = [event(w, person, 1) for w in (A, B) for person in people]
    # The person of the marked event has no other one.
    await services.append([*first[:7], event(A, 99, 1, marked=True), *first[7:]])
    await services.drain()

    # Tokens are reached, and each service lacks the one fact only.
    [fact] = await failed(services, name)
    assert (fact.workspace_id, fact.parked, fact.error[:10]) == (A, False, "ValueError")
    assert not await services.is_stalled(name)
    assert len(await members(services, B)) == PEOPLE

    # New segments of the other workspace have their members, also those of old events.
    await services.append([segment(B, "two", TWO), segment(B, "again", ONE)])
    await services.append([event(B, person, 2) for person in people])
    await services.drain()
    assert len(await members(services, B)) == 3 * PEOPLE
    await assert_rebuilt_equal(services, "identity", "profile", "segment")

    # Parked, it is not folded, although it could be.
    await services.append([parking(FactParked, fact, name)])
    await services.drain()
    [fact] = await failed(services, name)
    assert (fact.parked, fact.folded, fact.reason) == (True, False, "a test")
    poison.is_on = False
    await services.stop(name)
    await services.start(name)
    await services.drain()
    assert [one.parked for one in await failed(services, name)] == [True]
    await assert_rebuilt_equal(services, "identity", "profile", "segment")

    # Taken back, it is folded as if it had never been parked.
    await services.append([parking(FactUnparked, fact, name)])

    async def is_folded() -> bool:
        return not await failed(services, name)

    await wait_until(is_folded)
    await services.drain()
    await assert_rebuilt_equal(services, "identity", "profile", "segment")
    assert len(await members(services, A)) == PEOPLE + 1


async def test_profile_that_segment_and_activation_cannot_fold_stops_nothing_else(
    services: Chain, monkeypatch: pytest.MonkeyPatch
) -> None:
    poison = Poison(monkeypatch)
    await services.append([segment(A, "one", ONE), segment(B, "one", ONE)])
    await services.append([event(A, 99, 1)])
    await services.drain()
    [(_, marked)] = await members(services, A)

    def is_marked(message: Any) -> bool:
        return bool(message.profile_id == marked)

    poison.plant(segment_fold, "evaluation_from_proto", is_marked)
    poison.plant(segment_rebuild, "evaluation_from_proto", is_marked)
    poison.plant(activation_fold, "triggering_change", is_marked)
    await services.append([segment(A, "two", TWO)])
    people = range(PEOPLE)
    facts = [event(w, person, 2) for w in (A, B) for person in people]
    await services.append([*facts[:7], event(A, 99, 2), *facts[7:]])
    await services.drain()
    assert [one.workspace_id for one in await failed(services, "segment")] == [A]
    assert len(await members(services, B)) == PEOPLE
    assert len(await members(services, A)) == PEOPLE + 1
    await assert_rebuilt_equal(services, "identity", "profile", "segment")
    poison.is_on = False
    request = pb.RetryFailedFactsRequest()
    assert (await services.projection("segment").RetryFailedFacts(request)).due == 1

    async def is_folded() -> bool:
        return not await failed(services, "segment")

    await wait_until(is_folded)
    await services.drain()
    assert len(await members(services, A)) == PEOPLE + 2
    await assert_rebuilt_equal(services, "segment")


async def test_folded_fact_that_is_parked_leaves_the_state_with_a_resync_and_comes_back(
    services: Chain,
) -> None:
    await services.append([segment(A, "one", ONE)])
    marked = event(A, 99, 1)
    await services.append([*(event(A, person, 1) for person in range(PEOPLE)), marked])
    await services.drain()
    before = await services.digests()
    [(shard, offset)] = await services.query(
        f"SELECT shard, \"offset\" FROM ingest.fact WHERE fact_id = '\\x{marked.fact_id.hex()}'"
    )
    place = pb.FailedFact(shard=shard, offset=offset)
    await services.append([parking(FactParked, place, "profile")])
    await services.drain()
    [fact] = await failed(services, "profile")
    assert (fact.parked, fact.folded) == (True, True)
    assert await services.digests() == before
    assert (await services.rebuild("profile", resync=True)).switched
    await services.drain()
    [fact] = await failed(services, "profile")
    assert (fact.parked, fact.folded) == (True, False)
    await assert_rebuilt_equal(services, "identity", "profile", "segment")
    assert len(await members(services, A)) == PEOPLE
    await services.append([parking(FactUnparked, place, "profile")])

    async def is_folded() -> bool:
        return not await failed(services, "profile")

    await wait_until(is_folded)
    await services.drain()
    assert await services.digests() == before
    await assert_rebuilt_equal(services, "identity", "profile", "segment")
