"""Services that were away for longer than what they missed is kept: they end where a clean run
does, and each change is told once."""

from __future__ import annotations

import random
import secrets
from collections import Counter
from collections.abc import AsyncIterator

import asyncpg
import nats
import pytest
import pytest_asyncio
from integration.whole.chain import Chain, chain
from laws.profile_world import RULES, definition, life
from onefold.activation.v1 import activation_facts_pb2 as facts_pb
from onefold.log.v1.log_pb2 import Fact

from services.chassis.testing import MakeSettings, wait_until
from services.devstack.postgres import PostgresServer
from services.kernel.ids import WorkspaceId, definition_fact_id

SEGMENTS = [f"s{number}" for number in range(len(RULES))]


def destination(workspace: str = "school") -> Fact:
    kind = facts_pb.DestinationDefined.DESCRIPTOR.full_name
    told = facts_pb.DestinationDefined(
        destination_id="all",
        version=1,
        file=facts_pb.NdjsonFile(name="all.ndjson"),
        segment_ids=[*SEGMENTS, "late"],
        triggers=[1, 2],
    )
    fact_id = definition_fact_id(WorkspaceId(workspace), kind, "all", 1)
    payload = told.SerializeToString()
    return Fact(workspace_id=workspace, fact_id=fact_id, kind=kind, payload=payload)


def chapters() -> list[list[Fact]]:
    """What happens, in parts. The same people come again in each, under more and more names."""
    chance = random.Random(7)
    people = life(chance, 400, 80)
    told: list[list[Fact]] = []
    for number in range(4):
        part = people[number * 100 : number * 100 + 100]
        told.append([fact for h in part for fact in h.facts()])
    definitions = [definition(s, rule) for s, rule in zip(SEGMENTS, RULES, strict=True)]
    told[0] = [*definitions[:-1], *told[0]]
    told[1] = [definitions[-1], definition(SEGMENTS[0], RULES[1], version=2), *told[1]]
    told[2] = [definition("late", RULES[4]), *told[2]]
    return told


@pytest_asyncio.fixture(loop_scope="session")
async def other_database(postgres_server: PostgresServer) -> AsyncIterator[str]:
    name = f"onefold_{secrets.token_hex(6)}"
    admin = await asyncpg.connect(postgres_server.admin_dsn)
    await admin.execute(f"CREATE DATABASE {name} OWNER onefold")
    yield postgres_server.dsn.rpartition("/")[0] + f"/{name}"
    await admin.execute(f"DROP DATABASE {name} WITH (FORCE)")
    await admin.close()


async def forget_streams(nats_url: str) -> None:
    connection = await nats.connect(nats_url)
    stream = connection.jetstream()
    for info in await stream.streams_info():
        await stream.delete_stream(info.config.name or "")
    await connection.close()


async def announced(services: Chain) -> Counter[tuple[str, bytes, int, bool]]:
    rows = await services.query(
        "SELECT segment_id, profile_id, ordinal, entered FROM segment.history"
    )
    return Counter((r[0], bytes(r[1]), r[2], r[3]) for r in rows)


async def effects(services: Chain) -> Counter[tuple[str, bytes, int, bool]]:
    rows = await services.query(
        "SELECT segment_id, profile_id, ordinal, trigger = 1 FROM activation.effect"
    )
    return Counter((r[0], bytes(r[1]), r[2], r[3]) for r in rows)


async def members(services: Chain) -> set[tuple[str, bytes]]:
    [[live]] = await services.query("SELECT live FROM segment.generation")
    rows = await services.query(f"SELECT segment_id, profile_id FROM segment_g{live}.membership")
    return {(r[0], bytes(r[1])) for r in rows}


@pytest.mark.timeout(400)
async def test_who_was_away_for_too_long_ends_where_a_clean_run_ends(
    make_settings: MakeSettings,
    internal_key: str,
    database: str,
    other_database: str,
    nats_url: str,
) -> None:
    parts = chapters()
    async with chain(make_settings, internal_key, other_database, nats_url) as clean:
        for part in parts:
            await clean.append(part)
            await clean.rest()
        wanted, inside = await clean.digests(), await members(clean)
    await forget_streams(nats_url)

    async with chain(make_settings, internal_key, database, nats_url) as services:
        await services.append([destination()])
        await services.rest()
        await services.append(parts[0])
        await services.rest()
        for number, (name, before) in enumerate([("profile", "identity"), ("segment", "profile")]):
            await services.stop(name)
            await services.append(parts[number + 1])
            await services.reach(before)
            await services.forget(before)
            await services.start(name)
            await wait_until(lambda name=name: services.stands_still(name))
            outcome = await services.rebuild(name, replace=True)
            assert (outcome.switched, outcome.finished) == (True, True)
            await services.rest()
        # Activation does not have to be built anew: segment tells it all.
        await services.stop("activation")
        await services.append(parts[3])
        await services.reach("segment")
        for _ in range(3):
            await services.append(())
            await services.reach("segment")
        await services.forget("segment")
        await services.start("activation")
        await services.rest()

        assert await services.digests() == wanted
        assert await members(services) == inside
        told = await announced(services)
        # Each change is told once, and in turns: in, out, in. What is told ends in what is so.
        assert set(told.values()) == {1}
        assert all(entered == (ordinal % 2 == 1) for _, _, ordinal, entered in told)
        last = {}
        for segment, profile, ordinal, entered in sorted(told):
            last[segment, profile] = (ordinal, entered)
        assert {key for key, (_, entered) in last.items() if entered} == inside
        assert await effects(services) == told
        for name in ("identity", "profile", "segment"):
            compared = await services.rebuild(name)
            assert compared.equal, f"{name}: {list(compared.differing_rows)}"


@pytest.mark.timeout(300)
async def test_a_healthy_state_can_be_replaced_too_and_says_nothing(
    make_settings: MakeSettings, internal_key: str, database: str, nats_url: str
) -> None:
    async with chain(make_settings, internal_key, database, nats_url) as services:
        for part in ([destination()], *chapters()[:2]):
            await services.append(part)
            await services.rest()
        before, told = await services.digests(), await announced(services)
        for name in ("identity", "profile", "segment"):
            outcome = await services.rebuild(name, replace=True)
            assert (outcome.switched, outcome.equal) == (True, True)
        await services.rest()
        assert await services.digests() == before
        assert await announced(services) == told == await effects(services)
        await services.append(chapters()[2])
        await services.rest()
        for name in ("identity", "profile", "segment"):
            compared = await services.rebuild(name)
            assert compared.equal, f"{name}: {list(compared.differing_rows)}"
