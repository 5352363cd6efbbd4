"""Tests LogService as the other services call it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any

import pytest
import pytest_asyncio
from integration.ingest.log.conftest import KIND, SHARDS, Logs, make_fact, make_facts
from onefold.activation.v1.activation_facts_pb2 import Webhook
from onefold.identity.v1.identity_facts_pb2 import IdentityPolicy
from onefold.ingest.v1.ingest_facts_pb2 import KeyDefined, SourceDefined, WorkspaceDefined
from onefold.log.v1 import log_service_pb2 as pb
from onefold.log.v1.log_pb2 import ClockTicked, Fact
from onefold.log.v1.log_service_pb2_grpc import LogServiceStub, add_LogServiceServicer_to_server
from onefold.profile.v1.profile_facts_pb2 import TagDefined
from onefold.type.v1.event_pb2 import Event
from onefold.type.v1.token_pb2 import Token as TokenMessage
from service_fixtures import MakeSettings

from services.chassis.access.authenticator import Authenticator
from services.chassis.access.keys import hash_key
from services.chassis.access.principal import Principal, Role
from services.chassis.access.tables import AccessKey
from services.chassis.rpc.channel import open_channel
from services.chassis.rpc.server import RpcServer
from services.chassis.runtime.settings import ServiceSettings
from services.chassis.runtime.telemetry import Metrics
from services.ingest.api.log_grpc import ALLOWED, MAX_FACTS, MAX_LEAVES, LogRpc
from services.ingest.codec.service_facts import SERVICE_KINDS
from services.ingest.log import EventLog, NewFact
from services.kernel.errors import (
    Conflict,
    InvalidField,
    NotAllowed,
    OnefoldError,
    TooLarge,
    UpstreamWentBack,
)
from services.kernel.ids import LeafId, WorkspaceId
from services.kernel.time import DAY_US

ADMIN = "ofk_admin_of_this_test"
LEAVES = [LeafId(bytes([n]) * 16) for n in range(1, 6)]

#: The kinds that callers may append in these tests.
KINDS = frozenset({KIND, "k.0", "k.1", "k.2"})

Serve = Callable[..., Awaitable[Any]]


@pytest_asyncio.fixture(loop_scope="session")
async def serve(
    event_log: EventLog, make_settings: MakeSettings, internal_key: str
) -> AsyncIterator[Serve]:
    """Return a function that serves the log and returns a stub."""

    async def load(key_hash: bytes) -> AccessKey | None:
        admin = Principal(WorkspaceId("shop"), Role.ADMIN, "key_admin")
        return AccessKey(admin, False) if key_hash == hash_key(ADMIN) else None

    async with AsyncExitStack() as scope:

        async def start(
            *,
            key: str = internal_key,
            workspace_id: str = "",
            may_advance: bool = False,
            kinds: frozenset[str] = KINDS,
        ) -> Any:
            settings = make_settings(ServiceSettings, drain_s=0.5)
            authenticator = Authenticator(load, internal_key)
            server = RpcServer(settings, authenticator, ALLOWED, Metrics("log"))
            log_rpc = LogRpc(event_log, may_advance=may_advance, kinds=kinds)
            server.add(add_LogServiceServicer_to_server, log_rpc)
            await scope.enter_async_context(server)
            peer = open_channel(f"127.0.0.1:{server.internal_port}", key, workspace_id=workspace_id)
            return LogServiceStub(await scope.enter_async_context(peer))

        yield start


def message(fact: NewFact) -> Fact:
    return Fact(
        workspace_id=fact.workspace_id,
        fact_id=fact.fact_id,
        kind=fact.kind,
        leaf_id=fact.leaf_id or b"",
        occurred_at_us=fact.occurred_at_us,
        source_id=fact.source_id,
        actor=fact.actor,
        payload=fact.payload,
    )


def append_request(facts: list[NewFact]) -> pb.AppendRequest:
    return pb.AppendRequest(facts=[message(fact) for fact in facts])


async def facts_of(stream: Any) -> list[Fact]:
    return [fact async for response in stream for fact in response.batch.facts]


async def test_appended_facts_can_be_read(serve: Serve, logs: Logs) -> None:
    stub = await serve()
    facts = make_facts(range(1_200))
    answer = await stub.Append(append_request(facts))
    assert (answer.appended, answer.duplicates) == (1_200, 0)
    again = await stub.Append(append_request(facts))
    assert (again.appended, again.duplicates, again.token) == (0, 1_200, answer.token)
    read: list[Fact] = []
    for shard in range(SHARDS):
        facts_read = await facts_of(stub.Read(pb.ReadRequest(shard=shard)))
        assert [(fact.shard, fact.offset) for fact in facts_read] == [
            (shard, offset) for offset in range(answer.token.offsets[shard])
        ]
        read += facts_read
    for fact in read:
        assert 0 < fact.occurred_at_us <= fact.recorded_at_us
        for output in ("shard", "offset", "recorded_at_us"):
            fact.ClearField(output)  # type: ignore[arg-type]
    by_id = {fact.fact_id: fact for fact in read}
    assert by_id == {fact.fact_id: message(fact) for fact in facts}


async def test_fact_without_a_time_occurs_when_it_is_recorded(serve: Serve) -> None:
    stub = await serve()
    fact = make_fact("a", occurred_at_us=0, leaf_id=None)
    await stub.Append(append_request([fact]))
    [stored] = await facts_of(stub.Read(pb.ReadRequest(shard=1)))
    assert stored.occurred_at_us == stored.recorded_at_us > 0


async def test_range_of_a_shard_is_read_in_pages(serve: Serve) -> None:
    stub = await serve()
    await stub.Append(append_request([make_fact(n, leaf_id=LeafId(bytes(16))) for n in range(100)]))
    request = pb.ReadRequest(shard=0, from_offset=10, end_offset=55, page_size=20)
    batches = [response.batch async for response in stub.Read(request)]
    assert [(b.first_offset, len(b.facts)) for b in batches] == [(10, 20), (30, 20), (50, 5)]
    beyond = pb.ReadRequest(shard=0, from_offset=90, end_offset=10_000)
    assert len(await facts_of(stub.Read(beyond))) == 10
    assert await facts_of(stub.Read(pb.ReadRequest(shard=0, from_offset=100))) == []


async def test_log_that_went_back_and_grew_again_is_named_to_its_readers(
    serve: Serve, logs: Logs
) -> None:
    stub = await serve()
    in_shard_0 = LeafId(bytes(16))
    await stub.Append(append_request([make_fact(n, leaf_id=in_shard_0) for n in range(100)]))
    [response] = [each async for each in stub.Read(pb.ReadRequest(shard=0))]
    reached = pb.ReadRequest(shard=0, from_offset=100, life=response.life)
    assert await facts_of(stub.Read(reached)) == []
    # It is restored to its 80th fact, and other facts follow.
    await logs.fetch('DELETE FROM fact WHERE shard = 0 AND "offset" >= 80')
    await logs.fetch("UPDATE head SET next = 80 WHERE shard = 0")
    restored = await logs.replica()
    await restored.append([make_fact(n, leaf_id=in_shard_0) for n in range(200, 240)])
    with pytest.raises(UpstreamWentBack, match=r"has only 80 of the 100.*--resync"):
        await facts_of(stub.Read(reached))
    before = pb.ReadRequest(shard=0, from_offset=80, life=response.life)
    assert len(await facts_of(stub.Read(before))) == 40
    with pytest.raises(UpstreamWentBack):
        await facts_of(stub.Read(pb.ReadRequest(shard=0, from_offset=1, life=response.life + 1)))


async def test_another_replica_ends_no_life_early(serve: Serve, logs: Logs) -> None:
    """What a process appends after another one began has the life that the other one began."""
    one = await logs.replica()
    stub, in_shard_0 = await serve(), LeafId(bytes(16))
    await one.append([make_fact(n, leaf_id=in_shard_0) for n in range(10)])
    first_life = one.life
    two = await logs.replica()
    for name in (10, 11):
        await one.append([make_fact(name, leaf_id=in_shard_0)])
        assert one.life == two.life != first_life
    assert one.recent.shards[0].end == 12
    await facts_of(stub.Read(pb.ReadRequest(shard=0, from_offset=12, life=one.life)))
    await facts_of(stub.Read(pb.ReadRequest(shard=0, from_offset=10, life=first_life)))


async def test_read_with_kinds_returns_those_only(serve: Serve) -> None:
    stub = await serve()
    await stub.Append(
        append_request([make_fact(n, leaf_id=None, kind=f"k.{n % 3}") for n in range(12)])
    )
    facts_read = await facts_of(stub.Read(pb.ReadRequest(shard=2, kinds=["k.1", "k.2", "k.9"])))
    assert [fact.offset for fact in facts_read] == [1, 2, 4, 5, 7, 8, 10, 11]


async def test_read_with_kinds_and_a_workspace_returns_its_facts_alone(serve: Serve) -> None:
    stub = await serve()
    names = ("one", "two")
    await stub.Append(
        append_request(
            [
                make_fact(n, leaf_id=LEAVES[0], kind=f"k.{n % 3}", workspace_id=names[n % 2])
                for n in range(12)
            ]
        )
    )
    found = [
        fact.offset
        for shard in range(SHARDS)
        for fact in await facts_of(
            stub.Read(pb.ReadRequest(shard=shard, kinds=["k.1", "k.2"], workspace_id="two"))
        )
    ]
    assert found == [1, 5, 7, 11]


async def append_leaf_facts(stub: Any) -> list[NewFact]:
    """Append three facts for each of five leaves, in mixed order, and return them."""
    facts = [
        make_fact(f"{n}-{m}", leaf_id=leaf, occurred_at_us=1_000 * (7 * n % 5) + m + 1)
        for n, leaf in enumerate(LEAVES)
        for m in range(3)
    ]
    await stub.Append(
        append_request([*facts, make_fact("other", workspace_id="other", leaf_id=LEAVES[0])])
    )
    return facts


async def leaf_facts(stub: Any, **fields: Any) -> list[Fact]:
    request = pb.ReadLeavesRequest(**{"workspace_id": "shop", "leaf_ids": LEAVES, **fields})
    return [fact async for response in stub.ReadLeaves(request) for fact in response.facts]


def newest_first(facts: list[NewFact]) -> list[bytes]:
    ordered = sorted(facts, key=lambda f: (f.occurred_at_us, f.fact_id), reverse=True)
    return [fact.fact_id for fact in ordered]


async def test_leaf_facts_are_ordered_newest_first(serve: Serve) -> None:
    stub = await serve(workspace_id="shop")
    facts = await append_leaf_facts(stub)
    facts_read = await leaf_facts(stub)
    assert [fact.fact_id for fact in facts_read] == newest_first(facts)
    assert [fact.fact_id for fact in await leaf_facts(stub, limit=4)] == newest_first(facts)[:4]
    some = [fact for fact in facts if fact.leaf_id in LEAVES[1:3]]
    facts_read = await leaf_facts(stub, leaf_ids=[*LEAVES[1:3], LEAVES[1]])
    assert [fact.fact_id for fact in facts_read] == newest_first(some)
    before = [fact for fact in facts if fact.occurred_at_us < 2_002]
    facts_read = await leaf_facts(stub, before_us=2_002)
    assert [fact.fact_id for fact in facts_read] == newest_first(before)
    assert await leaf_facts(stub, leaf_ids=[]) == []


async def test_leaf_facts_are_bounded_by_a_token_or_an_instant(serve: Serve) -> None:
    stub = await serve(workspace_id="shop")
    facts = await append_leaf_facts(stub)
    head = await stub.GetHead(pb.GetHeadRequest())
    await stub.TickClock(pb.TickClockRequest())
    late = make_fact("late", leaf_id=LEAVES[0])
    await stub.Append(append_request([late]))
    assert len(await leaf_facts(stub)) == len(facts) + 1
    as_of_token = await leaf_facts(stub, before_token=head.token)
    as_of_instant = await leaf_facts(stub, recorded_until_us=head.now_us)
    assert len(await leaf_facts(stub, recorded_after_us=head.now_us)) == 1
    assert [f.fact_id for f in as_of_token] == [f.fact_id for f in as_of_instant]
    assert [f.fact_id for f in as_of_token] == newest_first(facts)
    assert await leaf_facts(stub, before_token=TokenMessage()) == []


async def test_long_timeline_is_streamed(serve: Serve) -> None:
    stub = await serve(workspace_id="shop")
    facts = [make_fact(n, leaf_id=LEAVES[0], occurred_at_us=n + 1) for n in range(2_600)]
    await stub.Append(append_request(facts))
    facts_read = await leaf_facts(stub)
    assert [fact.occurred_at_us for fact in facts_read] == list(range(2_600, 0, -1))


async def test_leaves_of_another_workspace_are_refused(serve: Serve) -> None:
    stub = await serve(workspace_id="other")
    with pytest.raises(NotAllowed):
        await leaf_facts(stub)


async def test_clock_ticks_and_advances_where_that_is_allowed(serve: Serve) -> None:
    stub = await serve(may_advance=True)
    before = await stub.GetHead(pb.GetHeadRequest())
    tick = await stub.TickClock(pb.TickClockRequest(advance_us=8 * DAY_US))
    after = await stub.GetHead(pb.GetHeadRequest())
    assert tick.now_us >= before.now_us + 8 * DAY_US
    assert after.now_us >= tick.now_us
    assert list(after.token.offsets) == list(tick.token.offsets) == [1] * SHARDS


async def test_clock_cannot_be_advanced_where_that_is_not_allowed(serve: Serve) -> None:
    stub = await serve(may_advance=False)
    with pytest.raises(NotAllowed) as refused:
        await stub.TickClock(pb.TickClockRequest(advance_us=1))
    assert refused.value.reason == "CLOCK_NOT_ADJUSTABLE"
    assert (await stub.TickClock(pb.TickClockRequest())).now_us > 0


async def test_conflicting_fact_id_fails_the_whole_call(serve: Serve, logs: Logs) -> None:
    stub = await serve()
    await stub.Append(append_request([make_fact("a")]))
    with pytest.raises(Conflict):
        await stub.Append(append_request([make_fact("b"), make_fact("a", payload=b"other")]))
    assert sum((await logs.check_shards()).values()) == 1


async def test_append_of_a_kind_that_no_service_appends_is_refused(
    serve: Serve, logs: Logs
) -> None:
    stub = await serve(kinds=SERVICE_KINDS)
    allowed = make_fact("a", kind=TagDefined.DESCRIPTOR.full_name)
    of_ingest = (WorkspaceDefined, SourceDefined, KeyDefined, ClockTicked, Event)
    for message_type in (*of_ingest, IdentityPolicy, Webhook):
        forged = make_fact("b", kind=message_type.DESCRIPTOR.full_name)
        with pytest.raises(NotAllowed, match=r"facts\[1\]"):
            await stub.Append(append_request([allowed, forged]))
    assert sum((await logs.check_shards()).values()) == 0


async def test_append_of_every_kind_of_a_service_succeeds(serve: Serve) -> None:
    stub = await serve(kinds=SERVICE_KINDS)
    facts = [make_fact(kind, kind=kind) for kind in sorted(SERVICE_KINDS)]
    assert (await stub.Append(append_request(facts))).appended == len(facts)


BAD: list[tuple[str, Any, type[OnefoldError]]] = [
    ("Append", append_request([make_fact("a", fact_id=b"short")]), InvalidField),
    ("Append", append_request([make_fact("a", workspace_id="")]), InvalidField),
    ("Append", pb.AppendRequest(facts=[Fact()] * (MAX_FACTS + 1)), TooLarge),
    ("Read", pb.ReadRequest(shard=SHARDS), InvalidField),
    ("ReadLeaves", pb.ReadLeavesRequest(workspace_id="shop", leaf_ids=[b"x"]), InvalidField),
    (
        "ReadLeaves",
        pb.ReadLeavesRequest(workspace_id="shop", leaf_ids=[bytes(16)] * (MAX_LEAVES + 1)),
        TooLarge,
    ),
    ("TickClock", pb.TickClockRequest(advance_us=-1), InvalidField),
    ("TickClock", pb.TickClockRequest(advance_us=2**62), InvalidField),
]


@pytest.mark.parametrize(("method", "request_", "error"), BAD)
async def test_invalid_request_is_refused(
    serve: Serve, method: str, request_: Any, error: type[OnefoldError]
) -> None:
    stub = await serve(workspace_id="shop", may_advance=True)
    with pytest.raises(error):
        await call(getattr(stub, method), request_)


@pytest.mark.parametrize(
    ("method", "request_"),
    [
        ("Append", pb.AppendRequest()),
        ("Read", pb.ReadRequest()),
        ("ReadLeaves", pb.ReadLeavesRequest(workspace_id="shop")),
    ],
)
async def test_admin_key_may_not_append_or_read(serve: Serve, method: str, request_: Any) -> None:
    stub = await serve(key=ADMIN)
    with pytest.raises(NotAllowed):
        await call(getattr(stub, method), request_)


async def test_admin_key_may_get_the_head_and_tick_where_the_clock_may_advance(
    serve: Serve,
) -> None:
    stub = await serve(key=ADMIN, may_advance=True)
    tick = await stub.TickClock(pb.TickClockRequest())
    assert (await stub.GetHead(pb.GetHeadRequest())).token == tick.token
    stub = await serve(key=ADMIN, may_advance=False)
    with pytest.raises(NotAllowed) as refused:
        await stub.TickClock(pb.TickClockRequest())
    assert refused.value.reason == "CLOCK_NOT_ADJUSTABLE"


async def call(method: Any, request: Any) -> Any:
    """Call a method; collect the responses of a stream."""
    answer = method(request)
    if hasattr(answer, "__aiter__"):
        return [response async for response in answer]
    return await answer
