"""The ProjectionService over a real gRPC endpoint."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from onefold.projection.v1 import projection_service_pb2 as pb
from onefold.projection.v1 import projection_service_pb2_grpc as stubs
from service_fixtures import BUS_KEY
from toy.running import DEADLINE, Replica, append, replica
from toy.words import WordLog, WordsRebuilder, sample_facts

from services.chassis.access.authenticator import Authenticator
from services.chassis.access.keys import hash_key
from services.chassis.access.principal import Principal, Role
from services.chassis.access.tables import AccessKey
from services.chassis.codec.fields import token_from_proto, token_to_proto
from services.chassis.projection.grpc import ALLOWED, ProjectionRpc
from services.chassis.projection.rebuild import RebuildRunner
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
async def endpoint(toy: Replica, rebuild: RebuildRunner | None = None) -> AsyncIterator[str]:
    """Serve the toy's ProjectionService; yield its address."""
    required = {"postgres_dsn": "x", "nats_url": "x", "internal_key": INTERNAL, "bus_key": BUS_KEY}
    server = RpcServer(
        ServiceSettings(**required), Authenticator(load_key, INTERNAL), ALLOWED, Metrics("toy")
    )
    service = ProjectionRpc(toy.runner, toy.database, counts=count_words, rebuild=rebuild)
    server.add(stubs.add_ProjectionServiceServicer_to_server, service)
    async with server:
        yield f"127.0.0.1:{server.internal_port}"


@asynccontextmanager
async def stub(url: str, key: str = INTERNAL, **options: Any) -> AsyncIterator[Any]:
    async with open_channel(url, key, **options) as channel:
        yield stubs.ProjectionServiceStub(channel)


async def test_status_digest_and_token_are_those_of_the_folded_facts(
    database: str, nats_url: str, word_log: WordLog, tmp_path: Path
) -> None:
    async with (
        replica(database, nats_url, word_log, tmp_path) as toy,
        endpoint(toy) as url,
        stub(url) as service,
    ):
        token = token_to_proto(await append(word_log, None, sample_facts(30)))
        response = await service.AwaitToken(pb.AwaitTokenRequest(token=token))
        assert token_from_proto(response.token) == Token((30,))
        digest = await service.GetDigest(pb.GetDigestRequest(at_least=token))
        assert dict(digest.digests) == await toy.digests()
        assert token_from_proto(digest.token) == Token((30,))
        assert not (await service.GetStatus(pb.GetStatusRequest())).counts, "no table is read"
        status = await service.GetStatus(pb.GetStatusRequest(counts=True))
        assert (status.service, status.generation) == ("toy", 1)
        assert status.counts["words"] > 0
        [shard] = status.shards
        assert (shard.shard, shard.log_offset, shard.leased) == (0, 30, True)


async def test_workspace_key_sees_its_own_digest_and_no_counts(
    database: str, nats_url: str, word_log: WordLog, tmp_path: Path
) -> None:
    async with (
        replica(database, nats_url, word_log, tmp_path) as toy,
        endpoint(toy) as url,
        stub(url, "service-key-of-w0") as service,
    ):
        await toy.runner.wait_for(await append(word_log, None, sample_facts(30)), DEADLINE)
        digest = await service.GetDigest(pb.GetDigestRequest())
        assert dict(digest.digests) == {"w0": (await toy.digests())["w0"]}
        assert not (await service.GetStatus(pb.GetStatusRequest(counts=True))).counts
        with pytest.raises(NotAllowed):
            [each async for each in service.Rebuild(pb.RebuildRequest())]


async def test_token_that_is_not_reached_in_time_is_an_error(
    database: str, nats_url: str, word_log: WordLog, tmp_path: Path
) -> None:
    async with (
        replica(database, nats_url, word_log, tmp_path) as toy,
        endpoint(toy) as url,
        stub(url, timeout_s=0.3) as service,
    ):
        with pytest.raises(TokenNotReached):
            await service.AwaitToken(
                pb.AwaitTokenRequest(token=token_to_proto(Token((5,)))), timeout=0.5
            )
        with pytest.raises(InvalidField):
            await service.AwaitToken(
                pb.AwaitTokenRequest(token=token_to_proto(Token((0, 5)))), timeout=5
            )


async def test_rebuild_streams_its_progress_and_its_result(
    database: str, nats_url: str, word_log: WordLog, tmp_path: Path
) -> None:
    async with replica(database, nats_url, word_log, tmp_path) as toy:
        rebuild = RebuildRunner(toy.database, WordsRebuilder(word_log), shards=1, root=tmp_path)
        await toy.runner.wait_for(await append(word_log, None, sample_facts(50)), DEADLINE)
        async with endpoint(toy, rebuild) as url, stub(url) as service:
            request = pb.RebuildRequest(switch_over=True, workers=2)
            reports = [each async for each in service.Rebuild(request, timeout=DEADLINE)]
            assert [each.finished for each in reports] == [*[False] * (len(reports) - 1), True]
            last = reports[-1]
            assert last.equal
            assert dict(last.live_digests) == dict(last.rebuilt_digests) == await toy.digests()
            assert (last.done, last.total) == (50, 50)
            assert (await service.GetStatus(pb.GetStatusRequest())).generation == 2
        async with endpoint(toy) as url, stub(url) as service:
            with pytest.raises(NotFound):
                [each async for each in service.Rebuild(pb.RebuildRequest())]
