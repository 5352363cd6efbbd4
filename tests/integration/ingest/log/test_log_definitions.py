"""Tests that definitions of racing callers are gap-free and lossless in the real log."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import NamedTuple, Self

import pytest
import pytest_asyncio
from onefold.log.v1.log_service_pb2_grpc import add_LogServiceServicer_to_server
from onefold.profile.v1.profile_facts_pb2 import TagDefined
from service_fixtures import MakeSettings

from services.chassis.access.authenticator import Authenticator
from services.chassis.access.tables import AccessKey
from services.chassis.definitions import Defined, DefinitionFact, define
from services.chassis.rpc.channel import open_channel
from services.chassis.rpc.clients import LogClient
from services.chassis.rpc.server import RpcServer
from services.chassis.runtime.settings import ServiceSettings
from services.chassis.runtime.telemetry import Metrics
from services.ingest.api.log_grpc import ALLOWED, LogRpc
from services.ingest.log import EventLog
from services.kernel.errors import Conflict
from services.kernel.tokens import Token

CALLERS = 4


class Tag(NamedTuple):
    """A definition of one tag."""

    title: str
    version: int = 0

    def at_version(self, version: int) -> Self:
        return self._replace(version=version)


def to_fact(tag: Tag) -> DefinitionFact:
    message = TagDefined(tag_id="vip", version=tag.version, title=tag.title)
    return DefinitionFact.from_message(message, workspace_id="shop", key="vip", version=tag.version)


@pytest_asyncio.fixture(loop_scope="session")
async def log(
    event_log: EventLog, make_settings: MakeSettings, internal_key: str
) -> AsyncIterator[LogClient]:
    async def no_key(_: bytes) -> AccessKey | None:
        return None

    settings = make_settings(ServiceSettings, drain_s=0.5)
    server = RpcServer(settings, Authenticator(no_key, internal_key), ALLOWED, Metrics("log"))
    server.add(add_LogServiceServicer_to_server, LogRpc(event_log, may_advance=False))
    async with server, open_channel(f"127.0.0.1:{server.internal_port}", internal_key) as channel:
        yield LogClient(channel, actor="test")


async def tags(log: LogClient, token: Token) -> list[Tag]:
    kinds = [TagDefined.DESCRIPTOR.full_name]
    found = [
        TagDefined.FromString(fact.payload)
        async for page in log.read(0, 0, token.offset(0), kinds=kinds)
        for fact in page
    ]
    return [Tag(message.title, message.version) for message in found]


async def define_tag(log: LogClient, title: str, etag: str = "") -> Defined[Tag]:
    async def load(token: Token) -> Tag | None:
        return max(await tags(log, token), key=lambda tag: tag.version, default=None)

    return await define(lambda _: Tag(title), log=log, load=load, to_fact=to_fact, etag=etag)


async def test_racing_definitions_get_a_version_each(log: LogClient) -> None:
    defined = await asyncio.gather(*(define_tag(log, f"title {n}") for n in range(CALLERS)))
    assert all(d.changed for d in defined)
    recorded = await tags(log, await log.head())
    assert [tag.version for tag in recorded] == list(range(1, CALLERS + 1))
    assert sorted(recorded) == sorted(d.definition for d in defined)


async def test_racing_equal_definitions_are_recorded_once(log: LogClient) -> None:
    defined = await asyncio.gather(*(define_tag(log, "same") for _ in range(CALLERS)))
    assert sum(d.changed for d in defined) == 1
    assert {d.definition for d in defined} == {Tag("same", 1)}
    assert await tags(log, await log.head()) == [Tag("same", 1)]


async def test_racing_definitions_with_one_etag_let_one_through(log: LogClient) -> None:
    first = await define_tag(log, "first")
    results = await asyncio.gather(
        *(define_tag(log, f"title {n}", first.etag) for n in range(CALLERS)), return_exceptions=True
    )
    assert sum(isinstance(result, Conflict) for result in results) == CALLERS - 1
    assert [tag.version for tag in await tags(log, await log.head())] == [1, 2]


async def test_definition_appended_twice_is_new_once(log: LogClient) -> None:
    assert (await log.append_definition(to_fact(Tag("a", 1)))).is_new
    repeated = await log.append_definition(to_fact(Tag("a", 1)))
    assert not repeated.is_new
    assert await tags(log, repeated.token) == [Tag("a", 1)]
    with pytest.raises(Conflict):
        await log.append_definition(to_fact(Tag("b", 1)))
