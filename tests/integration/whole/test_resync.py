"""Services that were away until what they missed was deleted: after a resync they end in the state
of an undisturbed run, and each change is published once."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import AsyncIterator, Collection, Mapping
from typing import Any

import asyncpg
import nats
import pytest_asyncio
from integration.whole.chain import Chain, chain
from laws.profile_model import RULES, definition, random_events
from onefold.activation.v1 import activation_facts_pb2 as facts_pb
from onefold.log.v1.log_pb2 import Fact
from service_fixtures import MakeSettings, create_database, wait_until

from services.cli.commands.rebuild import REBUILT
from services.devstack.postgres import PostgresServer
from services.kernel.ids import WorkspaceId, definition_fact_id

SEGMENTS = [f"s{number}" for number in range(len(RULES))]


def destination(workspace: str = "school") -> Fact:
    kind = facts_pb.DestinationDefined.DESCRIPTOR.full_name
    defined = facts_pb.DestinationDefined(
        destination_id="all",
        version=1,
        file=facts_pb.NdjsonFile(name="all.ndjson"),
        segment_ids=[*SEGMENTS, "late"],
        triggers=[1, 2],
    )
    fact_id = definition_fact_id(WorkspaceId(workspace), kind, "all", 1)
    payload = defined.SerializeToString()
    return Fact(workspace_id=workspace, fact_id=fact_id, kind=kind, payload=payload)


def parts_of_history() -> list[list[Fact]]:
    """Return four parts of a history: the same persons in each, with ever more identifiers."""
    chance = random.Random(7)
    events = random_events(chance, 400, 80)
    parts: list[list[Fact]] = []
    for number in range(4):
        part = events[number * 100 : number * 100 + 100]
        parts.append([fact for event in part for fact in event.facts()])
    definitions = [definition(s, rule) for s, rule in zip(SEGMENTS, RULES, strict=True)]
    parts[0] = [*definitions[:-1], *parts[0]]
    parts[1] = [definitions[-1], definition(SEGMENTS[0], RULES[1], version=2), *parts[1]]
    parts[2] = [definition("late", RULES[4]), *parts[2]]
    return parts


@pytest_asyncio.fixture(loop_scope="session")
async def other_database(postgres_server: PostgresServer) -> AsyncIterator[str]:
    admin = await asyncpg.connect(postgres_server.admin_dsn)
    name = await create_database(admin)
    yield postgres_server.dsn.rpartition("/")[0] + f"/{name}"
    await admin.execute(f"DROP DATABASE {name} WITH (FORCE)")
    await admin.close()


async def delete_streams(nats_url: str) -> None:
    connection = await nats.connect(nats_url)
    stream = connection.jetstream()
    for info in await stream.streams_info():
        await stream.delete_stream(info.config.name or "")
    await connection.close()


async def published_changes(services: Chain) -> Counter[tuple[str, bytes, int, bool]]:
    """Count segment, profile, ordinal and direction of each membership change."""
    rows = await services.query(
        "SELECT segment_id, profile_id, ordinal, entered FROM segment.history"
    )
    return Counter((r[0], bytes(r[1]), r[2], r[3]) for r in rows)


async def own_times(services: Chain) -> dict[tuple[str, bytes, int], tuple[int, int | None]]:
    """Return when each membership change was learnt, and its own time; Unix microseconds."""
    rows = await services.query(
        "SELECT segment_id, profile_id, ordinal, changed_at_us, occurred_at_us FROM segment.history"
    )
    return {(r[0], bytes(r[1]), r[2]): (r[3], r[4]) for r in rows}


def check_own_times(known: Collection[Any], after: Mapping[Any, tuple[int, int | None]]) -> None:
    """Check that what a resync has found took place before it is learnt: so its age is known."""
    found = [times for key, times in after.items() if key not in known]
    assert any(own_us is not None and own_us < at_us for at_us, own_us in found)


async def effects(services: Chain) -> Counter[tuple[str, bytes, int, bool]]:
    """Count segment, profile, ordinal and direction of each effect."""
    rows = await services.query(
        "SELECT segment_id, profile_id, ordinal, trigger = 1 FROM activation.effect"
    )
    return Counter((r[0], bytes(r[1]), r[2], r[3]) for r in rows)


async def members(services: Chain) -> set[tuple[str, bytes]]:
    [[live]] = await services.query("SELECT live FROM segment.generation")
    rows = await services.query(f"SELECT segment_id, profile_id FROM segment_g{live}.membership")
    return {(r[0], bytes(r[1])) for r in rows}


async def assert_rebuilds_are_equal(services: Chain) -> None:
    for name in REBUILT:
        result = await services.rebuild(name)
        assert result.equal, f"{name}: {list(result.differing_rows)}"


async def test_stalled_services_after_a_resync_end_in_the_state_of_an_undisturbed_run(
    make_settings: MakeSettings,
    internal_key: str,
    database: str,
    other_database: str,
    nats_url: str,
) -> None:
    parts = parts_of_history()
    async with chain(make_settings, internal_key, other_database, nats_url) as undisturbed:
        for part in parts:
            await undisturbed.append(part)
            await undisturbed.drain()
        expected_digests = await undisturbed.digests()
        expected_members = await members(undisturbed)
    await delete_streams(nats_url)

    async with chain(make_settings, internal_key, database, nats_url) as services:
        await services.append([destination()])
        await services.drain()
        await services.append(parts[0])
        await services.drain()
        for number, (name, before) in enumerate([("profile", "identity"), ("segment", "profile")]):
            await services.stop(name)
            await services.append(parts[number + 1])
            await services.reach(before)
            # One more message: the newest one, which stays, must not cover the facts.
            await services.append(())
            await services.reach(before)
            await services.expire_outputs(before)
            await services.start(name)
            await wait_until(lambda name=name: services.is_stalled(name))
            known = await own_times(services)
            result = await services.rebuild(name, resync=True)
            assert (result.switched, result.finished) == (True, True)
            await services.drain()
            check_own_times(known, await own_times(services))
        # Activation needs no resync: segment's history has every change.
        await services.stop("activation")
        await services.append(parts[3])
        await services.reach("segment")
        for _ in range(3):
            await services.append(())
            await services.reach("segment")
        await services.expire_outputs("segment")
        await services.start("activation")
        await services.drain()

        assert await services.digests() == expected_digests
        assert await members(services) == expected_members
        changes = await published_changes(services)
        # Each change is published once; entries and exits alternate and end in the state.
        assert set(changes.values()) == {1}
        assert all(entered == (ordinal % 2 == 1) for _, _, ordinal, entered in changes)
        last = {}
        for segment, profile, ordinal, entered in sorted(changes):
            last[segment, profile] = (ordinal, entered)
        assert {key for key, (_, entered) in last.items() if entered} == expected_members
        assert await effects(services) == changes
        await assert_rebuilds_are_equal(services)


async def test_resync_of_healthy_services_publishes_nothing(
    make_settings: MakeSettings, internal_key: str, database: str, nats_url: str
) -> None:
    parts = parts_of_history()
    async with chain(make_settings, internal_key, database, nats_url) as services:
        for part in ([destination()], *parts[:2]):
            await services.append(part)
            await services.drain()
        before, changes = await services.digests(), await published_changes(services)
        for name in REBUILT:
            result = await services.rebuild(name, resync=True)
            assert (result.switched, result.equal) == (True, True)
        await services.drain()
        assert await services.digests() == before
        assert await published_changes(services) == changes == await effects(services)
        await services.append(parts[2])
        await services.drain()
        await assert_rebuilds_are_equal(services)
