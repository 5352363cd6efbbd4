"""A key that ingest never issued opens nothing: it is not folded, not kept and not overlooked."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import aiohttp
import asyncpg
import nats
import pytest
from integration.identity.identity_harness import RunningIdentity, running_identity
from integration.identity.identity_log import MemoryEventLog, event_fact, random_events
from laws.identity_histories import expected_digest
from laws.identity_model import WORKSPACE
from onefold.identity.v1 import identity_service_pb2 as pb
from onefold.identity.v1.identity_service_pb2_grpc import IdentityServiceStub
from onefold.ingest.v1.ingest_facts_pb2 import KeyDefined, SourceDefined, WorkspaceDefined
from onefold.log.v1.log_pb2 import Fact, FactBatch
from onefold.projection.v1 import projection_service_pb2 as projection_pb
from rebuilds import rebuild
from service_fixtures import MakeSettings, wait_until

from services.chassis.access.keys import IssuedKey, issue_key
from services.chassis.access.principal import Role
from services.chassis.codec.fields import token_to_proto
from services.chassis.rpc.channel import open_channel
from services.kernel.digest import to_hex
from services.kernel.errors import NotAllowed
from services.kernel.ids import definition_fact_id

#: Runs identity over a log.
OpenIdentity = Callable[[MemoryEventLog], AbstractAsyncContextManager[RunningIdentity]]
Execute = Callable[..., Awaitable[list[Any]]]
HONEST, FORGED = issue_key(Role.ADMIN), issue_key(Role.ADMIN)


@pytest.fixture
def open_identity(make_settings: MakeSettings, internal_key: str, nats_url: str) -> OpenIdentity:
    def enter(log: MemoryEventLog) -> AbstractAsyncContextManager[RunningIdentity]:
        return running_identity(make_settings, internal_key, nats_url, log, WORKSPACE)

    return enter


@pytest.fixture
def execute(database: str) -> Execute:
    async def run(statement: str, *values: Any) -> list[Any]:
        conn = await asyncpg.connect(database)
        try:
            return [tuple(row) for row in await conn.fetch(statement, *values)]
        finally:
            await conn.close()

    return run


def key_fact(key: IssuedKey, version: int = 1, **fields: Any) -> Fact:
    defined = KeyDefined(
        key_id=key.key_id, key_hash=key.key_hash, role=int(Role.ADMIN), version=version, **fields
    )
    return definition(defined, key.key_id, version)


def definition(message: Any, name: str, version: int = 1) -> Fact:
    kind = message.DESCRIPTOR.full_name
    return Fact(
        workspace_id=WORKSPACE,
        fact_id=definition_fact_id(WORKSPACE, kind, name, version),
        kind=kind,
        payload=message.SerializeToString(),
    )


def honest_log(events: int = 0) -> MemoryEventLog:
    log = MemoryEventLog(2)
    log.append([definition(WorkspaceDefined(default_region="CN"), WORKSPACE)])
    log.append([definition(SourceDefined(source_id="site", version=1), "site")])
    log.append([key_fact(HONEST)])
    log.append(map(event_fact, random_events(random.Random(3), events, names=20)))
    return log


async def digest(running: RunningIdentity) -> dict[str, str]:
    request = projection_pb.GetDigestRequest(at_least=token_to_proto(running.log.token))
    return dict((await running.projection.GetDigest(request)).digests)


async def opens(running: RunningIdentity, key: IssuedKey) -> bool:
    async with open_channel(running.grpc_url, key.key, timeout_s=20.0) as channel:
        try:
            stub: Any = IdentityServiceStub(channel)  # type: ignore[no-untyped-call]
            await stub.LookupProfiles(pb.LookupProfilesRequest())
        except NotAllowed:
            return False
    return True


async def differences(running: RunningIdentity) -> list[str]:
    await digest(running)
    request = projection_pb.GetAccessDifferencesRequest()
    return list((await running.projection.GetAccessDifferences(request)).differences)


async def test_key_forged_on_the_bus_opens_nothing_and_no_event_is_lost(
    open_identity: OpenIdentity, execute: Execute, nats_url: str
) -> None:
    """The ranges are those of the next honest facts, which a fold would skip after the forged."""
    events = random_events(random.Random(5), 40, names=20)
    async with open_identity(honest_log()) as running:
        await digest(running)
        client = await nats.connect(nats_url)
        for event in events:
            for shard, end in enumerate(running.log.token.offsets):
                batch = FactBatch(shard=shard, first_offset=end, facts=[key_fact(FORGED, end)])
                for headers in ({}, {"Onefold-Mac": "0" * 64}):
                    covered = {"Onefold-Range": f"{end}-{end + 1}", **headers}
                    subject = f"onefold.log.{shard}"
                    await client.publish(subject, batch.SerializeToString(), headers=covered)
            first = min(running.log.token.offsets)
            running.log.append([event_fact(event)])
            await running.publish(first)
        await client.close()
        assert await digest(running) == {WORKSPACE: to_hex(expected_digest(events))}
        assert await opens(running, HONEST)
        assert not await opens(running, FORGED)
        assert not await execute(
            "SELECT 1 FROM identity.access_key WHERE key_hash = $1", FORGED.key_hash
        )
        counted = await metric(running, 'messages_rejected_total{subject="onefold.log.0"}')
        assert counted >= len(events)


async def metric(running: RunningIdentity, name: str) -> float:
    async with aiohttp.ClientSession() as http, http.get(running.http_url + "/metrics") as page:
        lines = (await page.text()).splitlines()
    return sum(float(line.rsplit(" ", 1)[1]) for line in lines if name in line)


async def forge(execute: Execute, key: IssuedKey = FORGED) -> None:
    """Put a key into the table, as a fold of forged facts would have done."""
    await execute(
        "INSERT INTO identity.access_key (key_hash, key_id, workspace_id, role, source_id, version,"
        " disabled) VALUES ($1, $2, $3, $4, '', 1, false)",
        *(key.key_hash, key.key_id, "another-tenant", int(Role.ADMIN)),
    )


@asynccontextmanager
async def with_forged_key(
    open_identity: OpenIdentity, execute: Execute
) -> AsyncIterator[RunningIdentity]:
    async with open_identity(honest_log(20)) as running:
        await execute("DELETE FROM identity.access_key WHERE key_hash <> $1", HONEST.key_hash)
        assert await differences(running) == []
        await forge(execute)
        assert await opens(running, FORGED)
        yield running


async def test_forged_key_in_a_table_is_reported_and_removed_by_a_rebuild(
    open_identity: OpenIdentity, execute: Execute
) -> None:
    async with with_forged_key(open_identity, execute) as running:
        named = f"access_key key_{FORGED.key_hash[:8].hex()} is not in the log"
        assert await differences(running) == [named]
        assert (await rebuild(running.projection, switch_over=True)).switched
        assert await differences(running) == []
        assert not await opens(running, FORGED)
        assert await opens(running, HONEST)


async def test_forged_key_in_a_table_is_removed_by_a_start(
    open_identity: OpenIdentity, execute: Execute
) -> None:
    async with with_forged_key(open_identity, execute) as running:
        log = running.log
    async with open_identity(log) as running:
        assert not await opens(running, FORGED)
        assert await opens(running, HONEST)
        assert await metric(running, 'access_rows_repaired_total{table="access_key"}') == 1


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE identity.access_key SET workspace_id = 'other' WHERE key_hash = $1",
        "UPDATE identity.access_key SET role = 1, source_id = 'site' WHERE key_hash = $1",
        "UPDATE identity.access_key SET disabled = true WHERE key_hash = $1",
        "UPDATE identity.access_key SET version = 99 WHERE key_hash = $1",
        "DELETE FROM identity.access_key WHERE key_hash = $1",
        "INSERT INTO identity.access_source SELECT 'w', 'x', 9, true WHERE $1 <> ''::bytea",
        "UPDATE identity.access_source SET disabled = true, version = 9 WHERE $1 <> ''::bytea",
        "UPDATE identity.access_workspace SET default_region = 'US' WHERE $1 <> ''::bytea",
        "INSERT INTO identity.access_workspace SELECT 'w', 'US' WHERE $1 <> ''::bytea",
    ],
)
async def test_changed_row_is_reported_and_made_again(
    open_identity: OpenIdentity, execute: Execute, change: str
) -> None:
    tables = ("access_key", "access_source", "access_workspace")
    async with open_identity(honest_log()) as running:
        await digest(running)
        await execute("DELETE FROM identity.access_key WHERE key_hash <> $1", HONEST.key_hash)
        before = [await execute(f"SELECT * FROM identity.{table}") for table in tables]
        await execute(change, HONEST.key_hash)
        assert len(await differences(running)) == 1
        await rebuild(running.projection, switch_over=True)
        assert await differences(running) == []
        after = [await execute(f"SELECT * FROM identity.{table}") for table in tables]
        assert after == before


async def test_newer_definitions_of_the_log_are_no_difference_while_they_are_folded(
    open_identity: OpenIdentity, execute: Execute
) -> None:
    async with open_identity(honest_log()) as running:
        await digest(running)
        await execute("DELETE FROM identity.access_key WHERE key_hash <> $1", HONEST.key_hash)
        # The service has not received it, so it need not have it.
        running.log.append([key_fact(HONEST, 2, disabled=True)])
        request = projection_pb.GetAccessDifferencesRequest()
        response = await running.projection.GetAccessDifferences(request)
        assert list(response.differences) == []
        await wait_until(lambda: is_disabled(execute))
        assert await differences(running) == []


async def is_disabled(execute: Execute) -> bool:
    return bool(await execute("SELECT 1 FROM identity.access_key WHERE disabled"))
