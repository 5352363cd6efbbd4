"""The ProjectionService over a real gRPC door."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from onefold.projection.v1 import projection_service_pb2 as pb
from onefold.projection.v1 import projection_service_pb2_grpc as stubs
from toy.running import DEADLINE, Replica, replica, say
from toy.words import WordLog, WordsRebuilder, story

from services.chassis.access.authenticator import Authenticator
from services.chassis.access.keys import hash_key
from services.chassis.access.principal import Principal, Role
from services.chassis.access.tables import AccessKey
from services.chassis.codec.tokens import token_from_proto, token_to_proto
from services.chassis.projection.grpc import ALLOWED, ProjectionRpc
from services.chassis.projection.rebuild_runner import RebuildRunner
from services.chassis.rpc.channel import open_channel
from services.chassis.rpc.server import RpcServer
from services.chassis.runtime.settings import ServiceSettings
from services.chassis.runtime.telemetry import Metrics
from services.kernel.errors import InvalidField, NotAllowed, NotFound, TokenNotReached
from services.kernel.ids import WorkspaceId
from services.kernel.tokens import Token

INTERNAL = "the-internal-key-of-this-test"
KEY = AccessKey(Principal(WorkspaceId("w0"), Role.SERVICE, "key_w0"), False)


async def load_key(key_hash: bytes) -> AccessKey | None:
    return KEY if key_hash == hash_key("service-key-of-w0") else None


async def count_words(conn: asyncpg.Connection) -> dict[str, int]:
    return {"words": await conn.fetchval("SELECT count(*) FROM word_count")}


@asynccontextmanager
async def door(toy: Replica, rebuild: RebuildRunner | None = None) -> AsyncIterator[str]:
    """The address of the toy's ProjectionService."""
    required = {"postgres_dsn": "x", "nats_url": "x", "internal_key": INTERNAL}
    server = RpcServer(
        ServiceSettings(**required), Authenticator(load_key, INTERNAL), ALLOWED, Metrics("toy")
    )
    service = ProjectionRpc(toy.runner, toy.database, counts=count_words, rebuild=rebuild)
    server.add(stubs.add_ProjectionServiceServicer_to_server, service)
    async with server:
        yield f"127.0.0.1:{server.port}"


@asynccontextmanager
async def stub(url: str, key: str = INTERNAL, **options: Any) -> AsyncIterator[Any]:
    async with open_channel(url, key, **options) as peer:
        yield stubs.ProjectionServiceStub(peer)


async def test_status_digest_and_tokens_are_answered(
    database: str, nats_url: str, word_log: WordLog, tmp_path: Path
) -> None:
    async with (
        replica(database, nats_url, word_log, tmp_path) as toy,
        door(toy) as url,
        stub(url) as asked,
    ):
        token = token_to_proto(await say(word_log, None, story(30)))
        answer = await asked.AwaitToken(pb.AwaitTokenRequest(token=token))
        assert token_from_proto(answer.token) == Token((30,))
        digest = await asked.GetDigest(pb.GetDigestRequest(at_least=token))
        assert dict(digest.digests) == await toy.digests()
        assert token_from_proto(digest.token) == Token((30,))
        status = await asked.GetStatus(pb.GetStatusRequest())
        assert (status.service, status.generation) == ("toy", 1)
        assert status.counts["words"] > 0
        [shard] = status.shards
        assert (shard.shard, shard.log_offset, shard.leased) == (0, 30, True)


async def test_a_workspace_sees_its_own_digest_and_no_counts(
    database: str, nats_url: str, word_log: WordLog, tmp_path: Path
) -> None:
    async with (
        replica(database, nats_url, word_log, tmp_path) as toy,
        door(toy) as url,
        stub(url, "service-key-of-w0") as asked,
    ):
        await toy.runner.wait_for(await say(word_log, None, story(30)), DEADLINE)
        digest = await asked.GetDigest(pb.GetDigestRequest())
        assert dict(digest.digests) == {"w0": (await toy.digests())["w0"]}
        assert not (await asked.GetStatus(pb.GetStatusRequest())).counts
        with pytest.raises(NotAllowed):
            [each async for each in asked.Rebuild(pb.RebuildRequest())]


async def test_a_token_out_of_reach_is_told(
    database: str, nats_url: str, word_log: WordLog, tmp_path: Path
) -> None:
    async with (
        replica(database, nats_url, word_log, tmp_path) as toy,
        door(toy) as url,
        stub(url, timeout_s=0.3) as asked,
    ):
        with pytest.raises(TokenNotReached):
            await asked.AwaitToken(
                pb.AwaitTokenRequest(token=token_to_proto(Token((5,)))), timeout=0.5
            )
        with pytest.raises(InvalidField):
            await asked.AwaitToken(
                pb.AwaitTokenRequest(token=token_to_proto(Token((0, 5)))), timeout=5
            )


async def test_a_rebuild_streams_its_progress_and_its_proof(
    database: str, nats_url: str, word_log: WordLog, tmp_path: Path
) -> None:
    async with replica(database, nats_url, word_log, tmp_path) as toy:
        rebuild = RebuildRunner(toy.database, WordsRebuilder(word_log), shards=1, root=tmp_path)
        await toy.runner.wait_for(await say(word_log, None, story(50)), DEADLINE)
        async with door(toy, rebuild) as url, stub(url) as asked:
            request = pb.RebuildRequest(switch_over=True, workers=2)
            told = [each async for each in asked.Rebuild(request, timeout=DEADLINE)]
            assert [each.finished for each in told] == [*[False] * (len(told) - 1), True]
            last = told[-1]
            assert last.equal
            assert dict(last.live_digests) == dict(last.rebuilt_digests) == await toy.digests()
            assert (last.done, last.total) == (50, 50)
            assert (await asked.GetStatus(pb.GetStatusRequest())).generation == 2
        async with door(toy) as url, stub(url) as asked:
            with pytest.raises(NotFound):
                [each async for each in asked.Rebuild(pb.RebuildRequest())]
