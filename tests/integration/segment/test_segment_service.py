"""Segment as a whole: its doors, its memory, its rebuild, with neighbours of straw."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import asyncpg
import pytest
import pytest_asyncio
from integration.segment.segment_peers import Around, around_segment
from integration.segment.segment_world import (
    BOUGHT,
    BOUGHT_ID,
    CITY,
    CITY_ID,
    SHARDS,
    VISITED,
    VISITED_ID,
    W,
    defined,
    profile,
    rebuilt,
    stands,
)
from onefold.ingest.v1.ingest_facts_pb2 import KeyDefined
from onefold.log.v1.log_pb2 import Fact
from onefold.projection.v1 import projection_service_pb2 as projection_pb
from onefold.projection.v1.projection_service_pb2_grpc import ProjectionServiceStub
from onefold.segment.v1 import segment_service_pb2 as pb
from onefold.segment.v1.segment_facts_pb2 import SegmentDefined
from onefold.segment.v1.segment_service_pb2_grpc import SegmentServiceStub
from onefold.segment.v1.segment_stream_pb2 import MembershipChange
from onefold.type.v1.identifier_pb2 import Identifier
from onefold.type.v1.token_pb2 import Token

from services.chassis.access.keys import IssuedKey, issue_key
from services.chassis.access.principal import Role
from services.chassis.codec.rules import rule_to_proto
from services.chassis.messaging.jetstream import JetStreamBus
from services.chassis.messaging.stream import OutboxMessage
from services.chassis.rpc.channel import open_channel
from services.chassis.testing import MakeSettings, wait_until
from services.kernel.errors import InvalidField, NotAllowed, NotFound
from services.kernel.ids import from_hex, to_hex
from services.kernel.rules.json_form import parse_rule
from services.segment.codec.bus import SEGMENT_DEFINED
from services.segment.service import serve
from services.segment.settings import SegmentSettings

SCHOOL, OTHER, SOURCE = (issue_key(r) for r in (Role.SERVICE, Role.ADMIN, Role.SOURCE))
KEYS = ((SCHOOL, W, Role.SERVICE), (OTHER, "other", Role.ADMIN), (SOURCE, W, Role.SOURCE))


@dataclass
class Whole:
    """A running segment, and what it hears."""

    around: Around
    bus: JetStreamBus
    stubs: dict[str, Any] = field(default_factory=dict)
    projection: Any = None
    internal: Any = None

    async def say(self, shard: int, *changes: Any, **fields: Any) -> Token:
        message = self.around.profile.say(shard, *changes, **fields)
        at = message.sequence
        output = OutboxMessage(at, at + 1, message.SerializeToString())
        await (await self.bus.publish(f"onefold.profile.{shard}", output))
        return self.token()

    def token(self) -> Token:
        return Token(offsets=[len(self.around.profile.said.get(s, [])) for s in range(SHARDS)])

    async def say_everywhere(self, **fields: Any) -> Token:
        for shard in range(SHARDS):
            token = await self.say(shard, **fields)
        return token

    async def settled(self) -> Token:
        """Everything said is folded, and every sweep made that it asked for."""
        for _ in range(2):
            token = await self.say_everywhere()
            await self.stub().ListSegments(pb.ListSegmentsRequest(at_least=token))
        return token

    def stub(self, key: IssuedKey = SCHOOL) -> Any:
        return self.stubs[key.key_id]

    async def members(self, segment_id: str, key: IssuedKey = SCHOOL, **fields: Any) -> set[bytes]:
        found: set[bytes] = set()
        token = ""
        while True:
            request = pb.ListMembersRequest(
                segment_id=segment_id, page_size=7, page_token=token, **fields
            )
            answer = await self.stub(key).ListMembers(request)
            page = [from_hex(m.profile_id) for m in answer.members]
            assert not found & set(page)
            assert len(page) <= 7
            found |= set(page)
            token = answer.next_page_token
            if not token:
                return found

    async def rebuild(self, **fields: Any) -> projection_pb.RebuildResponse:
        told = self.projection.Rebuild(projection_pb.RebuildRequest(**fields), timeout=60.0)
        return [answer async for answer in told][-1]


def key_fact(issued: IssuedKey, workspace: str, role: Role) -> Fact:
    told = KeyDefined(
        key_id=issued.key_id, key_hash=issued.key_hash, role=role.value, version=1, source_id="web"
    )
    kind = KeyDefined.DESCRIPTOR.full_name
    return Fact(workspace_id=workspace, kind=kind, payload=told.SerializeToString())


@pytest_asyncio.fixture(loop_scope="session")
async def whole(
    make_settings: MakeSettings, nats_url: str, internal_key: str
) -> AsyncIterator[Whole]:
    async with around_segment(SHARDS) as around:
        urls = {"profile_url": around.url, "identity_url": around.url, "ingest_url": around.url}
        settings = make_settings(SegmentSettings, shards=SHARDS, **urls)
        async with (
            serve(settings) as running,
            JetStreamBus(nats_url, name="profile") as bus,
            AsyncExitStack() as stack,
        ):
            url = f"127.0.0.1:{running.grpc_port}"
            await bus.ready()
            await bus.ensure_stream("onefold.profile")
            whole = Whole(around, bus)
            for key, _, _ in KEYS:
                opened = await stack.enter_async_context(open_channel(url, key.key, timeout_s=20.0))
                whole.stubs[key.key_id] = SegmentServiceStub(opened)
            internal = await stack.enter_async_context(open_channel(url, internal_key))
            whole.projection = ProjectionServiceStub(internal)
            whole.internal = SegmentServiceStub(internal)
            await whole.say_everywhere(broadcast_facts=[key_fact(*told) for told in KEYS])
            await wait_until(lambda: _is_known(whole))
            yield whole


async def _is_known(whole: Whole) -> bool:
    try:
        for key in (SCHOOL, OTHER):
            await whole.stub(key).ListSegments(pb.ListSegmentsRequest())
    except NotAllowed:
        return False
    return True


async def a_small_school(whole: Whole, people: int = 30) -> None:
    await whole.say_everywhere(
        broadcast_facts=[defined("buyers", BOUGHT)],
        backfilled_predicates=[BOUGHT_ID, VISITED_ID, CITY_ID],
    )
    await whole.settled()
    for n in range(people):
        await whole.say(n % SHARDS, stands(n, 1, *([BOUGHT_ID] if n % 3 else [])))
    await whole.settled()


async def test_members_are_listed_page_by_page(whole: Whole) -> None:
    await a_small_school(whole)
    wanted = {profile(n) for n in range(30) if n % 3}
    assert await whole.members("buyers") == wanted
    assert await whole.members("nobody knows it") == set()
    assert await whole.members("buyers", OTHER) == set()
    (told,) = (await whole.stub().ListSegments(pb.ListSegmentsRequest())).segments
    assert (told.segment.segment_id, told.size, told.live) == ("buyers", 20, True)
    answer = await whole.stub().ListMembers(pb.ListMembersRequest(segment_id="buyers"))
    ids = [m.profile_id for m in answer.members]
    assert ids == sorted(ids)
    assert all(m.since_us > 0 for m in answer.members)


async def test_members_of_an_earlier_instant(whole: Whole) -> None:
    await a_small_school(whole, 6)
    before = 1_000 * len(whole.around.profile.said[0])
    await whole.say(0, stands(1, 2), stands(3, 2, BOUGHT_ID))
    await whole.settled()
    assert await whole.members("buyers") == {profile(n) for n in (2, 3, 4, 5)}
    assert await whole.members("buyers", as_of_us=before) == {profile(n) for n in (1, 2, 4, 5)}
    assert await whole.members("buyers", as_of_us=1) == set()


async def test_one_persons_memberships_and_history(whole: Whole) -> None:
    await a_small_school(whole, 3)
    await whole.say(0, stands(1, 2))
    await whole.settled()  # or the newer word, from another shard, may come first
    await whole.say(1, stands(1, 3, BOUGHT_ID))
    await whole.settled()
    for by in (
        {"profile_id": to_hex(profile(1))},
        {"identifier": Identifier(namespace="user_id", value="1")},
    ):
        told = await whole.stub().ListMemberships(pb.ListMembershipsRequest(**by))
        assert told.profile_id == to_hex(profile(1))
        assert list(told.segment_ids) == ["buyers"]
        assert [(h.ordinal, h.entered) for h in told.history] == [(1, True), (2, False), (3, True)]
    with pytest.raises(NotFound):
        await whole.stub().ListMemberships(pb.ListMembershipsRequest(profile_id="f" * 32))


async def watch(
    whole: Whole, starts: list[int], until: int, key: IssuedKey = SCHOOL, **fields: Any
) -> tuple[list[MembershipChange], list[int]]:
    """Watches until so many changes came; they, and from where to watch on."""
    request = pb.WatchMembershipsRequest(from_sequences=starts, **fields)
    told = whole.stub(key).WatchMemberships(request)
    got: list[MembershipChange] = []
    following = list(starts)
    async for answer in told:
        got += answer.changes
        following[answer.shard] = answer.next_sequence
        if len(got) >= until:
            break
    await told.aclose()
    return got, following


async def test_a_watcher_goes_on_where_it_stopped_and_misses_nothing(whole: Whole) -> None:
    """Watched in pieces, while people enter and leave: the pieces are the whole."""
    await a_small_school(whole, 8)
    chance = [(n % 8, n) for n in range(8, 60)]

    async def live() -> None:
        for n, version in chance:
            await whole.say(version % SHARDS, stands(n, version, *([BOUGHT_ID] * (version % 2))))
        await whole.settled()

    async def announced() -> int:
        status = await whole.projection.GetStatus(projection_pb.GetStatusRequest())
        return status.counts["announcements"]

    async def more_or_over() -> bool:
        return living.done() or await announced() > len(seen)

    living = asyncio.ensure_future(live())
    seen: list[MembershipChange] = []
    following = [0] * SHARDS
    while not living.done() or await announced() > len(seen):
        await wait_until(more_or_over)
        if await announced() > len(seen):
            got, following = await watch(whole, following, 1)
            seen += got
    await living
    assert len({(c.profile_id, c.segment_id, c.ordinal) for c in seen}) == len(seen)
    assert rebuilt(seen) == {("buyers", p) for p in await whole.members("buyers")}


async def test_a_watcher_sees_its_workspace_and_its_segments(whole: Whole) -> None:
    await whole.say_everywhere(
        broadcast_facts=[
            defined("buyers", BOUGHT),
            defined("visitors", VISITED),
            defined("buyers", BOUGHT, workspace="other"),
        ],
        backfilled_predicates=[BOUGHT_ID, VISITED_ID],
    )
    await whole.say_everywhere(backfilled_predicates=[BOUGHT_ID], backfilled_workspace_id="other")
    await whole.settled()
    await whole.say(0, stands(1, 1, BOUGHT_ID, VISITED_ID))
    await whole.say(0, stands(2, 1, BOUGHT_ID, workspace="other"))
    await whole.settled()
    got, _ = await watch(whole, [0, 0], 1, segment_ids=["visitors"])
    assert [(c.segment_id, c.profile_id) for c in got] == [("visitors", profile(1))]
    got, _ = await watch(whole, [0, 0], 1, OTHER)
    assert [(c.workspace_id, c.profile_id) for c in got] == [("other", profile(2))]


async def test_a_definition_becomes_a_fact_once(whole: Whole) -> None:
    stub = whole.stub()

    async def define(dry_run: bool = False, **fields: Any) -> Any:
        told = SegmentDefined(segment_id="buyers", rule=rule_to_proto(BOUGHT), **fields)
        request = pb.DefineSegmentRequest(segment=told, dry_run=dry_run)
        answer = await stub.DefineSegment(request)
        if not answer.changed:
            # What stands unchanged is in the state that was looked at.
            assert list(answer.token.offsets) == list(whole.token().offsets)
        facts = [f for f in whole.around.log.facts.values() if f.kind == SEGMENT_DEFINED]
        await whole.say_everywhere(broadcast_facts=facts)
        await whole.settled()
        return answer.changed, answer.segment.version

    assert await define(dry_run=True) == (True, 1)
    assert not whole.around.log.facts
    assert await define() == (True, 1)
    assert await define() == (False, 1)
    assert await define(title="买家") == (True, 2)
    assert len(whole.around.log.facts) == 2
    assert not (await whole.stub(OTHER).ListSegments(pb.ListSegmentsRequest())).segments


@pytest.mark.parametrize(
    ("method", "request_", "path"),
    [
        ("ListMembers", pb.ListMembersRequest(), "segment_id"),
        ("ListMembers", pb.ListMembersRequest(segment_id="a\0"), "segment_id"),
        ("ListMembers", pb.ListMembersRequest(segment_id="a", page_size=1_001), "page_size"),
        ("ListMembers", pb.ListMembersRequest(segment_id="a", page_token="x"), "page_token"),
        ("ListMemberships", pb.ListMembershipsRequest(profile_id="x"), "profile_id"),
        ("DefineSegment", pb.DefineSegmentRequest(), "segment"),
        (
            "DefineSegment",
            pb.DefineSegmentRequest(
                segment=SegmentDefined(segment_id="\0", rule=rule_to_proto(BOUGHT))
            ),
            "segment.segment_id",
        ),
        (
            "DefineSegment",
            pb.DefineSegmentRequest(
                segment=SegmentDefined(segment_id="a", title="\0", rule=rule_to_proto(BOUGHT))
            ),
            "segment.title",
        ),
    ],
)
async def test_what_cannot_be_answered_is_refused(
    whole: Whole, method: str, request_: Any, path: str
) -> None:
    with pytest.raises(InvalidField) as told:
        await getattr(whole.stub(), method)(request_)
    assert told.value.field.startswith(path)


@pytest.mark.parametrize("starts", [[0], [0, 0, 0], [2**63, 0]])
async def test_a_watcher_names_every_shard(whole: Whole, starts: list[int]) -> None:
    with pytest.raises(InvalidField) as told:
        await watch(whole, starts, 1)
    assert told.value.field == "from_sequences"


async def test_who_may_only_send_events_may_do_nothing_here(whole: Whole) -> None:
    stub = whole.stub(SOURCE)
    for call, request in (
        (stub.ListSegments, pb.ListSegmentsRequest()),
        (stub.ListMembers, pb.ListMembersRequest(segment_id="s")),
        (stub.ListMemberships, pb.ListMembershipsRequest()),
        (stub.DefineSegment, pb.DefineSegmentRequest()),
    ):
        with pytest.raises(NotAllowed):
            await call(request)
    with pytest.raises(NotAllowed):
        [_ async for _ in whole.stub(OTHER).ReadOutbox(pb.ReadOutboxRequest(shard=0))]


async def test_what_was_said_can_be_read_again(whole: Whole) -> None:
    await a_small_school(whole, 9)
    said: list[Any] = []
    for shard in range(SHARDS):
        told = [a.batch async for a in whole.internal.ReadOutbox(pb.ReadOutboxRequest(shard=shard))]
        assert [b.sequence for b in told] == list(range(len(told)))
        part = pb.ReadOutboxRequest(shard=shard, from_sequence=2, until_sequence=4)
        assert [a.batch async for a in whole.internal.ReadOutbox(part)] == told[2:4]
        said += told
    changes = [change for batch in said for change in batch.changes]
    assert rebuilt(changes) == {("buyers", p) for p in await whole.members("buyers")}


async def test_what_the_outbox_has_forgotten_is_told_again(whole: Whole, database: str) -> None:
    """Every announcement and every fact, in order, and facts before the changes they hold for."""
    await a_small_school(whole, 9)
    await whole.say_everywhere(broadcast_facts=[defined("buyers", CITY, version=2)])
    await whole.say(0, stands(1, 2, CITY_ID))
    await whole.settled()

    async def read(shard: int, first: int = 0) -> list[Any]:
        request = pb.ReadOutboxRequest(shard=shard, from_sequence=first)
        return [answer async for answer in whole.internal.ReadOutbox(request)]

    def told(answers: list[Any]) -> list[Any]:
        return [each for a in answers for each in (*a.batch.facts, *a.batch.changes)]

    for shard in range(SHARDS):
        before = await read(shard)
        conn = await asyncpg.connect(database)
        await conn.execute(
            "DELETE FROM segment.outbox WHERE shard = $1 AND first <"
            " (SELECT max(first) FROM segment.outbox WHERE shard = $1)",
            shard,
        )
        await conn.close()
        again = await read(shard)
        assert told(again) == told(before)
        assert len(again) < len(before)
        assert again[0].batch.sequence == 0
        for one, two in pairwise(again):
            assert one.next_sequence == two.batch.sequence
        assert again[-1] == before[-1]
        part = pb.ReadOutboxRequest(shard=shard, from_sequence=2, until_sequence=5)
        parts = [answer async for answer in whole.internal.ReadOutbox(part)]
        assert (parts[0].batch.sequence, parts[-1].next_sequence) == (2, 5)
        assert told(parts) == told([a for a in before if 2 <= a.batch.sequence < 5])


async def digest(whole: Whole) -> dict[str, str]:
    request = projection_pb.GetDigestRequest(at_least=whole.token())
    return dict((await whole.projection.GetDigest(request)).digests)


async def test_a_rebuild_comes_to_the_same_digest_and_members_stay_in_since_they_came(
    whole: Whole,
) -> None:
    await a_small_school(whole)
    await whole.say(0, stands(1, 2), stands(40, 1, BOUGHT_ID), stands(2, 2, into=40))
    await whole.settled()
    live = await digest(whole)
    request = pb.ListMembersRequest(segment_id="buyers", page_size=1_000)
    since = list((await whole.stub().ListMembers(request)).members)
    compared = await whole.rebuild()
    assert compared.equal
    assert dict(compared.rebuilt_digests) == live
    switched = await whole.rebuild(switch_over=True)
    assert switched.equal
    status = await whole.projection.GetStatus(projection_pb.GetStatusRequest())
    assert status.generation == 2

    async def same() -> bool:
        return list((await whole.stub().ListMembers(request)).members) == since

    await wait_until(same)
    await whole.say(1, stands(1, 3, BOUGHT_ID))
    await whole.say(0, stands(40, 2))
    await whole.settled()
    assert profile(1) in await whole.members("buyers")
    assert profile(40) not in await whole.members("buyers")
    told = await whole.stub().ListMemberships(
        pb.ListMembershipsRequest(profile_id=to_hex(profile(1)))
    )
    assert [h.ordinal for h in told.history] == [1, 2, 3]
    assert (await whole.rebuild()).equal


async def test_a_rebuild_in_other_shards_comes_to_the_same(whole: Whole) -> None:
    await a_small_school(whole)
    outcome = await whole.rebuild(shards=1)
    assert outcome.equal
    assert dict(outcome.rebuilt_digests) == await digest(whole)


async def test_a_rebuild_while_people_and_rules_change(whole: Whole) -> None:
    """What comes between its readings is followed: people, and rules that are about everybody."""
    await a_small_school(whole)
    late = [{"changes": (stands(n, 2, CITY_ID),), "fields": {}} for n in range(10)]
    rules = [defined("late", CITY), defined("buyers", CITY, version=2)]
    step = 0

    async def meanwhile(shard: int) -> None:
        nonlocal step
        if step < len(late):
            each = late[step]
            await whole.say(step % SHARDS, *each["changes"])
            if step in (3, 5):
                await whole.say_everywhere(broadcast_facts=[rules[step // 4]])
            step += 1

    whole.around.profile.before_standings = meanwhile
    outcome = await whole.rebuild(switch_over=True)
    assert outcome.equal, list(outcome.differing_rows)
    await whole.settled()
    assert (await whole.rebuild()).equal
    assert step >= 5


async def test_a_rule_that_comes_at_the_last_stretch_is_about_everybody(whole: Whole) -> None:
    await a_small_school(whole)
    for n in range(10):
        await whole.say(n % SHARDS, stands(n, 2, CITY_ID))
    await whole.settled()

    async def late() -> None:
        await whole.say_everywhere(broadcast_facts=[defined("buyers", CITY, version=2)])
        await whole.settled()

    whole.around.profile.before_read = late
    outcome = await whole.rebuild(switch_over=True)
    assert outcome.equal, list(outcome.differing_rows)
    assert await whole.members("buyers") == {profile(n) for n in range(10)}


async def test_members_of_a_segment_that_waits_are_no_difference(whole: Whole) -> None:
    """Its rule asks what is not known yet: nobody enters or leaves, whoever was in stays in."""
    await a_small_school(whole)
    unknown = parse_rule({"count": {"event": "danced", "at_least": 1}})
    await whole.say_everywhere(broadcast_facts=[defined("buyers", unknown, version=2)])
    await whole.say(0, stands(1, 2), stands(40, 1, BOUGHT_ID), stands(2, 2, into=40))
    await whole.settled()
    waiting = await whole.members("buyers")
    assert profile(1) in waiting
    assert profile(2) not in waiting
    outcome = await whole.rebuild(switch_over=True)
    assert outcome.equal, list(outcome.differing_rows)
    await whole.settled()
    assert await whole.members("buyers") == waiting
    assert (await whole.rebuild()).equal


async def test_a_difference_is_named(whole: Whole, database: str) -> None:
    await a_small_school(whole, 4)
    conn = await asyncpg.connect(database)
    gone = await conn.fetchval(
        "DELETE FROM segment_g1.membership WHERE profile_id = $1 RETURNING profile_id", profile(1)
    )
    await conn.execute("UPDATE segment_g1.digest SET value = value + 1")
    await conn.close()
    outcome = await whole.rebuild(switch_over=True)
    assert not outcome.equal
    assert list(outcome.differing_rows) == [f"membership buyers {gone.hex()}"]
    status = await whole.projection.GetStatus(projection_pb.GetStatusRequest())
    assert status.generation == 1
