"""Tests subscriptions to the changes of profiles behind the real log and the real identity."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, aclosing, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

import asyncpg
import pytest
from integration.profile.profile_stack import ProfileStack
from laws.profile_model import SourceEvent
from onefold.ingest.v1 import admin_service_pb2 as admin_pb
from onefold.ingest.v1.ingest_facts_pb2 import ROLE_SERVICE
from onefold.profile.v1 import profile_service_pb2 as pb
from onefold.projection.v1 import projection_service_pb2 as projection_pb

from services.kernel.errors import InvalidField, RangeExpired
from services.kernel.identifiers.model import Identifier
from tests.service_fixtures import wait_until

OpenStack = Callable[..., AbstractAsyncContextManager[ProfileStack]]
SUBSCRIBER = Path(__file__).with_name("profile_subscriber.py")
HANG_S = 120.0


def stated_by(identifiers: tuple[Identifier, ...], number: int) -> SourceEvent:
    """Return an event that states a number as a trait."""
    return SourceEvent(identifiers, number, number, type="identify", traits={"n": number})


def stated(person: int, number: int, *more: Identifier) -> SourceEvent:
    return stated_by((Identifier("user_id", f"u-{person}"), *more), number)


@dataclass
class Copy:
    """The profiles as another system knows them."""

    address: str
    key: str
    rows: dict[str, Any] = field(default_factory=dict)
    #: The values of the trait of each profile, in the order in which they came.
    seen: dict[str, list[int]] = field(default_factory=dict)
    token: str = ""

    def read(self, line: bytes) -> None:
        message = json.loads(line)
        self.token = message["token"]
        for profile_id, row in message["rows"].items():
            self.rows[profile_id] = row
            if isinstance(row, dict):
                self.seen.setdefault(profile_id, []).append(row["traits"]["n"])

    @property
    def persons(self) -> dict[str, Any]:
        return {id_: row for id_, row in self.rows.items() if isinstance(row, dict)}

    @asynccontextmanager
    async def following(self) -> AsyncIterator[None]:
        """Follow in a process of its own, which is killed at the end."""
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, str(SUBSCRIBER), self.address, self.key, self.token),
            stdout=asyncio.subprocess.PIPE,
            env={"PYTHONPATH": "gen"},
        )
        reading = asyncio.create_task(self._read_lines(process))
        try:
            yield
        finally:
            process.kill()
            await process.wait()
            await reading

    async def _read_lines(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdout
        while line := await process.stdout.readline():
            if line.endswith(b"\n"):
                self.read(line)


@asynccontextmanager
async def connected(database: str) -> AsyncIterator[asyncpg.Connection]:
    conn = await asyncpg.connect(database)
    try:
        yield conn
    finally:
        await conn.close()


async def stored(stack: ProfileStack) -> dict[str, Any]:
    """Return the profiles as the service has them, as a copy has them."""
    request = pb.ListProfilesRequest(page_size=1_000, at_least=stack.token)
    return {
        profile.profile_id: {
            "traits": {trait.name: json.loads(trait.value) for trait in profile.traits},
            "identifiers": sorted(f"{i.namespace}:{i.value}" for i in profile.identifiers),
            "events": profile.event_count,
        }
        for profile in (await stack.profile.ListProfiles(request)).profiles
    }


async def test_other_system_with_a_key_alone_follows_all_profiles_through_merges_and_kills(
    open_stack: OpenStack,
) -> None:
    random = Random(7)
    async with open_stack() as stack, asyncio.timeout(HANG_S):
        await stack.ingest(stated(person, person + 1) for person in range(10))
        request = admin_pb.IssueKeyRequest(role=ROLE_SERVICE, title="the other system")
        issued = await stack.admin.IssueKey(request)
        copy = Copy(stack.profile_address, issued.key)
        number = 100
        for _ in range(3):
            async with copy.following():
                for _ in range(4):
                    number += 1
                    person, other = random.sample(range(12), 2)
                    own = Identifier("email", f"u-{random.choice((person, other))}@x.cn")
                    await stack.ingest([stated(person, number, own)])
                # A cookie alone, and then the cookie of a person whose profile is older.
                cookie, number = Identifier("anonymous_id", f"a-{number}"), number + 2
                await stack.ingest([stated_by((cookie,), number - 1)])
                await stack.ingest([stated(1, number, cookie)])
                expected = await stored(stack)
                await wait_until(lambda e=expected: copy.persons == e, HANG_S)
            # Changes between two processes come with the next start, from the token on.
            number += 1
            await stack.ingest([stated(number % 12, number)])
        async with copy.following():
            expected = await stored(stack)
            await wait_until(lambda: copy.persons == expected, HANG_S)
        assert all(values == sorted(values) for values in copy.seen.values())
        merged = {id_: row for id_, row in copy.rows.items() if isinstance(row, str)}
        assert any(merged.values())
        assert set(filter(None, merged.values())) <= copy.rows.keys()


async def test_watch_begins_now_or_at_a_state_of_the_log_that_is_still_there(
    open_stack: OpenStack, database: str
) -> None:
    async with open_stack() as stack, asyncio.timeout(HANG_S):
        await stack.ingest([stated(1, 1)])
        async with aclosing(stack.profile.WatchProfiles(pb.WatchProfilesRequest())) as responses:
            first = await anext(responses)
            assert not first.updates
            await stack.ingest([stated(2, 2)])
            response = await anext(responses)
            assert [u.profile.traits[0].value for u in response.updates] == [b"2"]
        resumed = pb.WatchProfilesRequest(from_token=first.token)
        async with aclosing(stack.profile.WatchProfiles(resumed)) as responses:
            await anext(responses)
            assert (await anext(responses)).updates == response.updates

        async with aclosing(
            stack.profile.WatchProfiles(
                pb.WatchProfilesRequest(from_token={"offsets": [1, 1, 1, 1]})
            )
        ) as responses:
            with pytest.raises(InvalidField, match="shard"):
                await anext(responses)
        await stack.ingest([stated(2, 3)])
        async with connected(database) as conn:
            await conn.execute(
                "DELETE FROM identity.outbox o WHERE first <"
                " (SELECT max(first) FROM identity.outbox n WHERE n.shard = o.shard)"
            )
        async with aclosing(stack.profile.WatchProfiles(resumed)) as responses:
            await anext(responses)
            with pytest.raises(RangeExpired, match="ListProfiles"):
                await anext(responses)


async def test_status_has_the_facts_that_are_visible_and_those_that_are_late(
    open_stack: OpenStack,
) -> None:
    async def counts() -> dict[str, int]:
        request = projection_pb.GetStatusRequest(counts=True)
        return dict((await stack.projection.GetStatus(request)).counts)

    async with open_stack() as stack, asyncio.timeout(HANG_S):
        before = await counts()
        await stack.ingest(stated(person, person + 1) for person in range(3))
        after = await counts()
        assert after["facts_visible"] - before["facts_visible"] == 3
        assert after["facts_visible_late"] <= after["facts_visible"]
