"""Identity through its doors: heard from NATS, healed over gRPC, asked and rebuilt."""

from __future__ import annotations

import random
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from itertools import pairwise
from typing import Any

import aiohttp
import asyncpg
import pytest
from integration.identity.identity_feed import Log, event_fact, policy_fact, random_events, tick
from integration.identity.identity_house import RunningIdentity, running_identity
from integration.identity.test_identity_law import POLICIES, story
from integration.identity.test_identity_law import log_of as log_of_story
from laws.identity_model import WORKSPACE, ModelEvent, expected_state
from laws.identity_story import expected_digest
from onefold.identity.v1 import identity_service_pb2 as pb
from onefold.log.v1.log_pb2 import FactBatch
from onefold.projection.v1 import projection_service_pb2 as projection_pb
from onefold.type.v1.identifier_pb2 import Identifier as IdentifierMessage
from service_fixtures import MakeSettings, wait_until

from services.chassis.codec.tokens import token_from_proto, token_to_proto
from services.chassis.rpc.channel import open_channel
from services.identity.domain.policy import DEFAULT, Policy
from services.kernel.digest import to_hex
from services.kernel.errors import InvalidField, NotAllowed, NotFound, TooLarge
from services.kernel.identifiers import Identifier
from services.kernel.ids import hash_id

OpenHouse = Callable[..., AbstractAsyncContextManager[RunningIdentity]]
PHONE = Identifier("phone", "+8613800000000")
USER = Identifier("user_id", "u")


@pytest.fixture
def open_house(make_settings: MakeSettings, internal_key: str, nats_url: str) -> OpenHouse:
    def enter(log: Log, workspace_id: str = WORKSPACE) -> AbstractAsyncContextManager[RunningIdentity]:
        return running_identity(make_settings, internal_key, nats_url, log, workspace_id)

    return enter


def history(seed: int = 7, events: int = 150) -> list[ModelEvent]:
    return random_events(random.Random(seed), events, names=60)


def log_of(events: list[ModelEvent], shards: int = 2) -> Log:
    log = Log(shards)
    log.append(event_fact(e) for e in events)
    return log


async def digest(home: RunningIdentity) -> dict[str, str]:
    request = projection_pb.GetDigestRequest(at_least=token_to_proto(home.log.token))
    return dict((await home.projection.GetDigest(request)).digests)


async def rebuild(home: RunningIdentity, **asked: Any) -> projection_pb.RebuildResponse:
    async for told in home.projection.Rebuild(projection_pb.RebuildRequest(**asked)):
        last = told
    return last


async def test_what_the_log_says_is_folded_and_said(open_house: OpenHouse) -> None:
    events = history()
    async with open_house(log_of(events)) as home:
        assert await digest(home) == {WORKSPACE: to_hex(expected_digest(events))}
        for shard in range(2):
            said = [
                r.batch async for r in home.identity.ReadOutbox(pb.ReadOutboxRequest(shard=shard))
            ]
            facts = [f for b in said for f in FactBatch.FromString(b.fact_batch).facts]
            assert [f.fact_id for f in facts] == [f.fact_id for f in home.log.shards[shard]]
            assert said[0].first_offset == 0
            assert all(a.next_offset == b.first_offset for a, b in pairwise(said))
            assert all(len(b.profile_ids) == 16 * (b.next_offset - b.first_offset) for b in said)


async def test_events_that_come_later_are_heard_from_the_bus(open_house: OpenHouse) -> None:
    events = history()
    async with open_house(log_of(events[:50])) as home:
        await digest(home)
        before = home.door.reads
        home.log.append(event_fact(e) for e in events[50:])
        for shard in range(2):
            await home.relay.enqueue(shard, await home.log.read(shard, 0, 1_000))
        assert await digest(home) == {WORKSPACE: to_hex(expected_digest(events))}
        assert home.door.reads >= before


async def test_anybody_can_be_resolved_by_any_identifier_and_by_old_ids(
    open_house: OpenHouse,
) -> None:
    events = [ModelEvent((USER,), 5, 1), ModelEvent((USER, PHONE), 7, 2), ModelEvent((PHONE,), 2, 3)]
    async with open_house(log_of(events)) as home:
        phone = PHONE.id_in(WORKSPACE).hex()
        answer = await home.identity.LookupProfiles(
            pb.LookupProfilesRequest(
                identifiers=[
                    IdentifierMessage(namespace="phone", value=" +86 138-0000-0000"),
                    IdentifierMessage(namespace="phone", value="0000"),
                    IdentifierMessage(namespace="email", value="nobody@x.cn"),
                ],
                profile_ids=[USER.id_in(WORKSPACE).hex(), hash_id("nobody").hex()],
                at_least=token_to_proto(home.log.token),
            )
        )
        assert list(answer.profile_ids) == [phone, "", "", phone, ""]
        assert token_from_proto(answer.token).includes(home.log.token)

        request = pb.ListIdentifiersRequest(profile_id=USER.id_in(WORKSPACE).hex())
        person = await home.identity.ListIdentifiers(request)
        assert person.profile_id == phone
        assert [(i.identifier.value, i.first_seen_us) for i in person.identifiers] == [
            (PHONE.value, 2),
            (USER.value, 5),
        ]
        assert person.identifiers[0].fact_id == events[2].first.fact_id.hex()


async def test_another_workspace_sees_nobody(open_house: OpenHouse) -> None:
    async with open_house(log_of([ModelEvent((USER,), 5, 1)]), "other") as home:
        asked = USER.id_in(WORKSPACE).hex()
        reached = token_to_proto(home.log.token)
        answer = await home.identity.LookupProfiles(
            pb.LookupProfilesRequest(profile_ids=[asked], at_least=reached)
        )
        assert list(answer.profile_ids) == [""]
        with pytest.raises(NotFound):
            await home.identity.ListIdentifiers(pb.ListIdentifiersRequest(profile_id=asked))


async def test_bad_questions_are_refused_with_their_field(open_house: OpenHouse) -> None:
    async with open_house(log_of([ModelEvent((USER,), 5, 1)])) as home:
        identifiers = [IdentifierMessage(namespace="e mail", value="x")]
        with pytest.raises(InvalidField) as refused:
            await home.identity.LookupProfiles(pb.LookupProfilesRequest(identifiers=identifiers))
        assert refused.value.field == "identifiers[0]"
        with pytest.raises(InvalidField) as refused:
            await home.identity.LookupProfiles(pb.LookupProfilesRequest(profile_ids=["xyz"]))
        assert refused.value.field == "profile_ids[0]"
        with pytest.raises(TooLarge):
            await home.identity.LookupProfiles(
                pb.LookupProfilesRequest(profile_ids=["00" * 16] * 1_001)
            )
        with pytest.raises(InvalidField):
            await home.identity.ListIdentifiers(pb.ListIdentifiersRequest())
        with pytest.raises(InvalidField):
            [r async for r in home.identity.ReadOutbox(pb.ReadOutboxRequest(shard=2))]


async def test_a_call_without_a_workspace_or_key_is_refused(
    open_house: OpenHouse, internal_key: str
) -> None:
    async with open_house(log_of([])) as home:
        for key in ("not the key", internal_key):
            async with open_channel(home.url, key) as calls:
                stub = type(home.identity)(calls)
                with pytest.raises(NotAllowed):
                    await stub.LookupProfiles(pb.LookupProfilesRequest())


async def test_all_assignments_are_told_in_one_state(open_house: OpenHouse) -> None:
    events = history()
    async with open_house(log_of(events)) as home:
        request = pb.ReadAssignmentsRequest(at_least=token_to_proto(home.log.token))
        told = [answer async for answer in home.identity.ReadAssignments(request)]
        assert {token_from_proto(answer.token) for answer in told} == {home.log.token}
        assignments = [a for answer in told for a in answer.assignments]
        assert {a.identifier_id: a.profile_id for a in assignments} == expected_state(events).profiles
        assert all(a.version and a.identifier.value and a.workspace_id for a in assignments)


@pytest.mark.parametrize("asked", [{}, {"shards": 1}, {"shards": 7, "workers": 3}, {"workers": 2}])
async def test_a_rebuild_proves_itself(open_house: OpenHouse, asked: dict[str, int]) -> None:
    events = history(seed=11)
    async with open_house(log_of(events)) as home:
        live = await digest(home)
        told = await rebuild(home, **asked)
        assert told.equal
        assert dict(told.rebuilt_digests) == live == {WORKSPACE: to_hex(expected_digest(events))}


async def settled(home: RunningIdentity) -> None:
    """Let time pass until everybody was looked at by the policy."""
    while True:
        await digest(home)
        status = await home.projection.GetStatus(projection_pb.GetStatusRequest())
        if not status.counts["shards_resettling"]:
            return
        before = home.log.token
        home.log.append([tick()])
        for shard, first in enumerate(before.offsets):
            await home.relay.enqueue(shard, await home.log.read(shard, first, 1_000))


@pytest.mark.parametrize("asked", [{"switch_over": True}, {"shards": 1}])
async def test_a_rebuild_knows_decisions_and_policies(
    open_house: OpenHouse, asked: dict[str, int]
) -> None:
    chance = random.Random(21)
    told = story(chance, 150, 30)
    policies = [Policy(n, p.rules, p.blocked, p.ignored) for n, p in enumerate(POLICIES[:2], 1)]
    async with open_house(log_of_story(told, policies, chance, shards=2)) as home:
        await settled(home)
        live = await digest(home)
        answer = await rebuild(home, **asked)
        assert answer.equal
        wanted = {WORKSPACE: to_hex(expected_digest(told, policies[-1]))}
        assert dict(answer.rebuilt_digests) == live == wanted
        # Whoever has to be looked at anew again is looked at in the state that took over.
        home.log.append([policy_fact(Policy(3, DEFAULT.rules))])
        for shard in range(2):
            await home.relay.enqueue(shard, await home.log.read(shard, 0, 1_000))
        await settled(home)
        assert await digest(home) == {WORKSPACE: to_hex(expected_digest(told))}


async def test_a_rebuilt_state_goes_on_where_the_live_one_stood(open_house: OpenHouse) -> None:
    events = history(seed=12)
    async with open_house(log_of(events[:100])) as home:
        await digest(home)
        assert (await rebuild(home, switch_over=True)).equal
        home.log.append(event_fact(e) for e in events[100:])
        for shard in range(2):
            await home.relay.enqueue(shard, await home.log.read(shard, 0, 1_000))
        assert await digest(home) == {WORKSPACE: to_hex(expected_digest(events))}
        newest: dict[bytes, tuple[int, bytes]] = {}
        for shard in range(2):
            async for r in home.identity.ReadOutbox(pb.ReadOutboxRequest(shard=shard)):
                for a in r.batch.assignments:
                    told = (a.version, a.profile_id)
                    newest[a.identifier_id] = max(newest.get(a.identifier_id, told), told)
        assert {i: p for i, (_, p) in newest.items()} == expected_state(events).profiles


async def test_a_live_state_that_was_tampered_with_is_found(
    open_house: OpenHouse, database: str
) -> None:
    async with open_house(log_of(history(seed=13))) as home:
        await digest(home)
        conn = await asyncpg.connect(database)
        await conn.execute("UPDATE identity_g1.digest SET value = value + 1")
        await conn.execute(
            "UPDATE identity_g1.identifier SET first_seen_us = 0"
            " WHERE identifier_id = (SELECT min(identifier_id) FROM identity_g1.identifier)"
        )
        await conn.close()
        told = await rebuild(home)
        assert not told.equal
        assert [row.split()[0] for row in told.differing_rows] == ["identifier"]


async def test_status_counts_and_health_are_told(open_house: OpenHouse) -> None:
    events = history()
    async with open_house(log_of(events)) as home, aiohttp.ClientSession() as http:
        await digest(home)
        status = await home.projection.GetStatus(projection_pb.GetStatusRequest())
        profiles = expected_state(events).profiles
        assert status.counts["identifiers"] == len(profiles)
        assert status.counts["profiles"] == len(set(profiles.values()))

        async def ready() -> bool:
            async with http.get(f"{home.http}/readyz") as answer:
                return answer.status == 200

        await wait_until(ready)
        async with http.get(f"{home.http}/metrics") as answer:
            assert "onefold_identity_identifiers_total" in await answer.text()
