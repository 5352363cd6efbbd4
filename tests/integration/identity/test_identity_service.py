"""Tests identity as a service: consumes from NATS, fills gaps over gRPC, is queried and rebuilt."""

from __future__ import annotations

import random
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from itertools import pairwise
from pathlib import Path

import aiohttp
import asyncpg
import pytest
from integration.identity.identity_harness import Assigned, RunningIdentity, keep_newest
from integration.identity.identity_harness import running_identity as run_identity
from integration.identity.identity_log import (
    MemoryEventLog,
    event_fact,
    policy_fact,
    random_events,
    tick,
)
from integration.identity.test_identity_law import POLICIES, log_with_policies, random_history
from laws.identity_histories import expected_digest
from laws.identity_model import WORKSPACE, ModelEvent, expected_state
from onefold.identity.v1 import identity_service_pb2 as pb
from onefold.log.v1.log_pb2 import FactBatch
from onefold.projection.v1 import projection_service_pb2 as projection_pb
from onefold.type.v1.identifier_pb2 import Identifier as IdentifierMessage
from rebuilds import rebuild
from service_fixtures import MakeSettings, wait_until

from services.chassis.codec.fields import token_from_proto, token_to_proto
from services.chassis.rpc.channel import open_channel
from services.identity.domain.policy import DEFAULT, Policy
from services.kernel.digest import to_hex
from services.kernel.errors import Conflict, InvalidField, NotAllowed, NotFound, TooLarge
from services.kernel.identifiers.model import Identifier
from services.kernel.ids import hash_id
from tests.index_key import INDEX_KEY
from tests.plain_engine import write_engine_rows

OpenIdentity = Callable[..., AbstractAsyncContextManager[RunningIdentity]]
PHONE = Identifier("phone", "+8613800000000")
USER = Identifier("user_id", "u")


@pytest.fixture
def open_identity(make_settings: MakeSettings, internal_key: str, nats_url: str) -> OpenIdentity:
    def enter(
        log: MemoryEventLog, workspace_id: str = WORKSPACE, **fields: object
    ) -> AbstractAsyncContextManager[RunningIdentity]:
        return run_identity(make_settings, internal_key, nats_url, log, workspace_id, **fields)

    return enter


def history(seed: int = 7, events: int = 150) -> list[ModelEvent]:
    return random_events(random.Random(seed), events, names=60)


def log_of(events: list[ModelEvent], shards: int = 2) -> MemoryEventLog:
    log = MemoryEventLog(shards)
    log.append(event_fact(e) for e in events)
    return log


async def digest(running: RunningIdentity) -> dict[str, str]:
    request = projection_pb.GetDigestRequest(at_least=token_to_proto(running.log.token))
    return dict((await running.projection.GetDigest(request)).digests)


async def roll_out(running: RunningIdentity) -> None:
    """Wait until no shard rolls out a policy, and publish the changes of the rollout."""
    await digest(running)

    async def is_finished() -> bool:
        status = await running.projection.GetStatus(projection_pb.GetStatusRequest(counts=True))
        return not status.counts["shards_rolling_out"]

    await wait_until(is_finished)
    first = min(running.log.token.offsets)
    running.log.append([tick()])
    await running.publish(first)
    await digest(running)


async def test_fold_publishes_the_facts_of_the_log(open_identity: OpenIdentity) -> None:
    events = history()
    async with open_identity(log_of(events)) as running:
        assert await digest(running) == {WORKSPACE: to_hex(expected_digest(events))}
        for shard in range(2):
            request = pb.ReadOutboxRequest(shard=shard)
            batches = [r.batch async for r in running.identity.ReadOutbox(request)]
            facts = [f for b in batches for f in FactBatch.FromString(b.fact_batch).facts]
            assert [f.fact_id for f in facts] == [f.fact_id for f in running.log.shards[shard]]
            assert batches[0].first_offset == 0
            assert all(a.next_offset == b.first_offset for a, b in pairwise(batches))
            for batch in batches:
                assert len(batch.profile_ids) == 16 * (batch.next_offset - batch.first_offset)


async def test_fold_later_events_are_consumed_from_the_bus(open_identity: OpenIdentity) -> None:
    events = history()
    async with open_identity(log_of(events[:50])) as running:
        await digest(running)
        before = running.log_endpoint.reads
        running.log.append(event_fact(e) for e in events[50:])
        await running.publish()
        assert await digest(running) == {WORKSPACE: to_hex(expected_digest(events))}
        assert running.log_endpoint.reads >= before


async def test_lookup_finds_profiles_by_identifiers_and_former_ids(
    open_identity: OpenIdentity,
) -> None:
    events = [
        ModelEvent((USER,), 5, 1),
        ModelEvent((USER, PHONE), 7, 2),
        ModelEvent((PHONE,), 2, 3),
    ]
    async with open_identity(log_of(events)) as running:
        phone = PHONE.id_in(WORKSPACE, INDEX_KEY).hex()
        response = await running.identity.LookupProfiles(
            pb.LookupProfilesRequest(
                identifiers=[
                    IdentifierMessage(namespace="phone", value=" +86 138-0000-0000"),
                    IdentifierMessage(namespace="phone", value="0000"),
                    IdentifierMessage(namespace="email", value="unknown@x.cn"),
                ],
                profile_ids=[USER.id_in(WORKSPACE, INDEX_KEY).hex(), hash_id("unknown").hex()],
                at_least=token_to_proto(running.log.token),
            )
        )
        assert list(response.profile_ids) == [phone, "", "", phone, ""]
        user = USER.id_in(WORKSPACE, INDEX_KEY).hex()
        assert list(response.identifier_ids) == [phone, "", "", user, ""]
        assert [version > 0 for version in response.versions] == [True, False, False, True, False]
        assert token_from_proto(response.token).includes(running.log.token)

        request = pb.ListIdentifiersRequest(profile_id=USER.id_in(WORKSPACE, INDEX_KEY).hex())
        profile = await running.client.ListIdentifiers(request)
        assert profile.profile_id == phone
        assert [(i.identifier.value, i.first_seen_us) for i in profile.identifiers] == [
            (PHONE.value, 2),
            (USER.value, 5),
        ]
        assert profile.identifiers[0].fact_id == events[2].first.fact_id.hex()


async def test_lookup_in_another_workspace_finds_nothing(open_identity: OpenIdentity) -> None:
    async with open_identity(log_of([ModelEvent((USER,), 5, 1)]), "other") as running:
        user = USER.id_in(WORKSPACE, INDEX_KEY).hex()
        reached = token_to_proto(running.log.token)
        response = await running.identity.LookupProfiles(
            pb.LookupProfilesRequest(profile_ids=[user], at_least=reached)
        )
        assert list(response.profile_ids) == [""]
        with pytest.raises(NotFound):
            await running.client.ListIdentifiers(pb.ListIdentifiersRequest(profile_id=user))


async def test_invalid_requests_are_rejected_with_their_field(open_identity: OpenIdentity) -> None:
    async with open_identity(log_of([ModelEvent((USER,), 5, 1)])) as running:
        identifiers = [IdentifierMessage(namespace="e mail", value="x")]
        with pytest.raises(InvalidField) as error:
            await running.identity.LookupProfiles(pb.LookupProfilesRequest(identifiers=identifiers))
        assert error.value.field == "identifiers[0]"
        with pytest.raises(InvalidField) as error:
            await running.identity.LookupProfiles(pb.LookupProfilesRequest(profile_ids=["xyz"]))
        assert error.value.field == "profile_ids[0]"
        with pytest.raises(TooLarge):
            await running.identity.LookupProfiles(
                pb.LookupProfilesRequest(profile_ids=["00" * 16] * 1_001)
            )
        with pytest.raises(InvalidField):
            await running.client.ListIdentifiers(pb.ListIdentifiersRequest())
        with pytest.raises(InvalidField):
            [r async for r in running.identity.ReadOutbox(pb.ReadOutboxRequest(shard=2))]


async def test_call_without_a_workspace_or_key_is_rejected(
    open_identity: OpenIdentity, internal_key: str
) -> None:
    async with open_identity(log_of([])) as running:
        for key in ("not the key", internal_key):
            async with open_channel(running.grpc_url, key) as channel:
                stub = type(running.identity)(channel)
                with pytest.raises(NotAllowed):
                    await stub.LookupProfiles(pb.LookupProfilesRequest())


async def test_read_assignments_returns_one_state_of_all(open_identity: OpenIdentity) -> None:
    events = history()
    async with open_identity(log_of(events)) as running:
        request = pb.ReadAssignmentsRequest(at_least=token_to_proto(running.log.token))
        responses = [one async for one in running.identity.ReadAssignments(request)]
        assert {token_from_proto(one.token) for one in responses} == {running.log.token}
        assignments = [a for one in responses for a in one.assignments]
        profiles = {a.identifier_id: a.profile_id for a in assignments}
        assert profiles == expected_state(events).profiles
        assert all(a.version and a.identifier.value and a.workspace_id for a in assignments)


@pytest.mark.parametrize("fields", [{}, {"shards": 1}, {"shards": 7, "workers": 3}, {"workers": 2}])
async def test_rebuild_with_any_shards_and_workers_equals_the_live_state(
    open_identity: OpenIdentity, fields: dict[str, int]
) -> None:
    events = history(seed=11)
    async with open_identity(log_of(events)) as running:
        live = await digest(running)
        rebuilt = await rebuild(running.projection, **fields)
        assert rebuilt.equal
        expected = {WORKSPACE: to_hex(expected_digest(events))}
        assert dict(rebuilt.rebuilt_digests) == live == expected


@pytest.mark.parametrize("fields", [{"switch_over": True}, {"shards": 1}])
async def test_rebuild_with_decisions_and_policies_equals_the_live_state(
    open_identity: OpenIdentity, fields: dict[str, int]
) -> None:
    chance = random.Random(21)
    facts = random_history(chance, 150, 30)
    policies = [Policy(n, p.rules, p.blocked, p.ignored) for n, p in enumerate(POLICIES[:2], 1)]
    log = log_with_policies(facts, policies, chance, shards=2)
    # So little evidence in memory that nearly all is applied to what is stored already.
    async with open_identity(log, rebuild_identifier_sets=8) as running:
        await roll_out(running)
        live = await digest(running)
        rebuilt = await rebuild(running.projection, **fields)
        assert rebuilt.equal
        expected = {WORKSPACE: to_hex(expected_digest(facts, policies[-1]))}
        assert dict(rebuilt.rebuilt_digests) == live == expected
        # The state that was switched to rolls out the next policy.
        running.log.append([policy_fact(Policy(3, DEFAULT.rules))])
        await running.publish()
        await roll_out(running)
        assert await digest(running) == {WORKSPACE: to_hex(expected_digest(facts))}


async def test_rebuild_that_begins_with_the_rows_of_an_engine_equals_the_live_state(
    open_identity: OpenIdentity, tmp_path: Path
) -> None:
    chance = random.Random(22)
    facts = random_history(chance, 150, 30)
    policies = [Policy(n, p.rules, p.blocked, p.ignored) for n, p in enumerate(POLICIES[:2], 1)]
    log = log_with_policies(facts, policies, chance, shards=2)
    first = [shard[: len(shard) // 2] for shard in log.shards]
    rows = write_engine_rows(tmp_path / "rows", "identity", first)
    async with open_identity(log) as running:
        await roll_out(running)
        live = await digest(running)
        for fields in ({}, {"shards": 5}, {"switch_over": True}):
            rebuilt = await rebuild(running.projection, rows=rows, **fields)
            assert (list(rebuilt.differing_rows), rebuilt.equal) == ([], True)
            assert dict(rebuilt.rebuilt_digests) == live
            assert rebuilt.done < sum(map(len, log.shards)), "the first half is not folded again"
        other = write_engine_rows(tmp_path / "other", "identity", first, left_out={1: [3]})
        with pytest.raises(Conflict, match="leaves out other facts of shard 1"):
            await rebuild(running.projection, rows=other)
        with pytest.raises(InvalidField, match="no whole rows"):
            await rebuild(running.projection, rows=str(tmp_path / "nothing"))


async def test_rebuild_after_switch_over_continues_at_the_checkpoint(
    open_identity: OpenIdentity,
) -> None:
    events = history(seed=12)
    async with open_identity(log_of(events[:100])) as running:
        await digest(running)
        assert (await rebuild(running.projection, switch_over=True)).equal
        running.log.append(event_fact(e) for e in events[100:])
        await running.publish()
        assert await digest(running) == {WORKSPACE: to_hex(expected_digest(events))}
        newest = Assigned()
        for shard in range(2):
            request = pb.ReadOutboxRequest(shard=shard)
            keep_newest(newest, [r.batch async for r in running.identity.ReadOutbox(request)])
        profiles = {id_: profile for id_, (_, profile) in newest.items()}
        assert profiles == expected_state(events).profiles


async def test_rebuild_with_switch_over_publishes_the_moves_of_a_rollout(
    open_identity: OpenIdentity, database: str
) -> None:
    facts = random_history(random.Random(5), 120, 30)
    log = log_with_policies(facts, [], random.Random(5), shards=2)
    async with open_identity(log) as running:
        await digest(running)
        log.append([policy_fact(POLICIES[0])])
        await running.publish()
        await digest(running)
        conn = await asyncpg.connect(database)

        async def unpublished() -> int:
            count = "SELECT count(*) FROM identity_g1.unpublished_assignment"
            jobs = await conn.fetchval("SELECT count(*) FROM identity_g1.backfill")
            return 0 if jobs else int(await conn.fetchval(count))

        assert await wait_until(unpublished)
        await conn.close()
        assert (await rebuild(running.projection, switch_over=True)).equal
        await roll_out(running)
        newest = Assigned()
        for shard in range(2):
            request = pb.ReadOutboxRequest(shard=shard)
            keep_newest(newest, [r.batch async for r in running.identity.ReadOutbox(request)])
        profiles = {id_: profile for id_, (_, profile) in newest.items()}
        assert profiles == expected_state(facts, POLICIES[0]).profiles


async def test_rebuild_of_a_changed_live_state_reports_the_differing_rows(
    open_identity: OpenIdentity, database: str
) -> None:
    async with open_identity(log_of(history(seed=13))) as running:
        await digest(running)
        conn = await asyncpg.connect(database)
        await conn.execute("UPDATE identity_g1.digest SET value = value + 1")
        await conn.execute(
            "UPDATE identity_g1.identifier SET first_seen_us = 0"
            " WHERE identifier_id = (SELECT min(identifier_id) FROM identity_g1.identifier)"
        )
        await conn.close()
        rebuilt = await rebuild(running.projection)
        assert not rebuilt.equal
        assert [row.split()[0] for row in rebuilt.differing_rows] == ["identifier"]


async def test_rebuild_names_identifiers_whose_marks_or_values_were_changed(
    open_identity: OpenIdentity, database: str
) -> None:
    async with open_identity(log_of(history(seed=13))) as running:
        await digest(running)
        conn = await asyncpg.connect(database)
        for generation, change in enumerate(("flags = 3 - flags", "value = value || 'x'"), 1):
            await conn.execute(
                f"UPDATE identity_g{generation}.identifier SET {change} WHERE identifier_id ="
                f" (SELECT min(identifier_id) FROM identity_g{generation}.identifier"
                " WHERE value IS NOT NULL)"
            )
            rebuilt = await rebuild(running.projection)
            assert not rebuilt.equal
            assert [row.split()[0] for row in rebuilt.differing_rows] == ["identifier"]
            assert (await rebuild(running.projection, switch_over=True)).equal
        await conn.close()


async def test_status_health_and_metrics_are_served(open_identity: OpenIdentity) -> None:
    events = history()
    async with open_identity(log_of(events)) as running, aiohttp.ClientSession() as http:
        await digest(running)
        status = await running.projection.GetStatus(projection_pb.GetStatusRequest(counts=True))
        profiles = expected_state(events).profiles
        assert status.counts["identifiers"] == len(profiles)
        assert status.counts["profiles"] == len(set(profiles.values()))

        async def is_ready() -> bool:
            async with http.get(f"{running.http_url}/readyz") as response:
                return response.status == 200

        await wait_until(is_ready)
        async with http.get(f"{running.http_url}/metrics") as response:
            assert "onefold_identity_new_identifiers_total" in await response.text()
