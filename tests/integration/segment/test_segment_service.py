"""Tests segment as a whole: its API, its history and its rebuild, with fake services around it."""

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
from integration.segment.fake_peers import FakePeers, fake_peers
from integration.segment.segment_fixture import (
    BOUGHT,
    BOUGHT_ID,
    CITY,
    CITY_ID,
    SHARDS,
    VISITED,
    VISITED_ID,
    W,
    defined,
    evaluated,
    members_from,
    profile,
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
from onefold.type.v1.token_pb2 import StreamPosition, Token
from rebuilds import rebuild
from service_fixtures import MakeSettings, open_bus, wait_until

from services.chassis.access.keys import IssuedKey, issue_key
from services.chassis.access.principal import Role
from services.chassis.codec.named_rules import SEGMENT_DEFINED
from services.chassis.codec.rules import rule_to_proto
from services.chassis.messaging.jetstream import JetStreamBus
from services.chassis.messaging.stream import OutboxMessage
from services.chassis.rpc.channel import open_channel
from services.kernel.errors import Conflict, InvalidField, NotAllowed, NotFound
from services.kernel.ids import from_hex, to_hex
from services.kernel.rules.forms.json_form import parse_rule
from services.segment.service import serve
from services.segment.settings import SegmentSettings

SCHOOL, OTHER, SOURCE = (issue_key(r) for r in (Role.SERVICE, Role.ADMIN, Role.SOURCE))
KEYS = ((SCHOOL, W, Role.SERVICE), (OTHER, "other", Role.ADMIN), (SOURCE, W, Role.SOURCE))


@dataclass
class RunningSegment:
    """A running segment, and the services around it."""

    peers: FakePeers
    bus: JetStreamBus
    #: By key id.
    stubs: dict[str, Any] = field(default_factory=dict)
    #: Ids of the facts that profile has published.
    published_facts: set[bytes] = field(default_factory=set)
    projection: Any = None
    internal: Any = None

    async def publish(self, shard: int, *changes: Any, **fields: Any) -> Token:
        """Publish a message of profile; return the token that includes it."""
        message = self.peers.profile.publish(shard, *changes, **fields)
        at = message.sequence
        output = OutboxMessage(at, at + 1, message.SerializeToString())
        await (await self.bus.publish(f"onefold.profile.{shard}", output))
        return self.token()

    def token(self) -> Token:
        return Token(offsets=self._published_offsets())

    def _published_offsets(self) -> list[int]:
        published = self.peers.profile.published
        return [len(published.get(shard, [])) for shard in range(SHARDS)]

    def log_head(self) -> list[int]:
        """Return the offsets after the published facts, and after definitions still to come."""
        unpublished = len(self.peers.log.facts.keys() - self.published_facts)
        return [offset + unpublished for offset in self._published_offsets()]

    async def publish_everywhere(self, **fields: Any) -> Token:
        for shard in range(SHARDS):
            token = await self.publish(shard, **fields)
        return token

    async def publish_definitions(self) -> Token:
        """Publish the definitions that are new in the log."""
        facts = self.peers.log.facts
        new = [facts[fact_id] for fact_id in facts.keys() - self.published_facts]
        self.published_facts |= facts.keys()
        return await self.publish_everywhere(broadcast_facts=new)

    async def fold(self) -> Token:
        """Wait until every published message is folded, and every sweep has ended.

        The second message of a shard waits for the sweeps that the other shards have scheduled.
        """
        for _ in range(2):
            token = await self.publish_everywhere()
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
            response = await self.stub(key).ListMembers(request)
            page = [from_hex(m.profile_id) for m in response.members]
            assert not found & set(page)
            assert len(page) <= 7
            found |= set(page)
            token = response.next_page_token
            if not token:
                return found

    async def rebuild(self, **fields: Any) -> projection_pb.RebuildResponse:
        return await rebuild(self.projection, **fields)


def key_fact(issued: IssuedKey, workspace: str, role: Role) -> Fact:
    message = KeyDefined(
        key_id=issued.key_id, key_hash=issued.key_hash, role=role.value, version=1, source_id="web"
    )
    kind = KeyDefined.DESCRIPTOR.full_name
    return Fact(workspace_id=workspace, kind=kind, payload=message.SerializeToString())


@pytest_asyncio.fixture(loop_scope="session")
async def whole(
    make_settings: MakeSettings, nats_url: str, internal_key: str
) -> AsyncIterator[RunningSegment]:
    async with fake_peers(SHARDS) as peers:
        peers.log.definitions = [key_fact(*key) for key in KEYS]
        urls = {"profile_url": peers.url, "identity_url": peers.url, "ingest_url": peers.url}
        settings = make_settings(SegmentSettings, shards=SHARDS, **urls)
        async with (
            serve(settings) as running,
            open_bus(nats_url, "profile") as bus,
            AsyncExitStack() as stack,
        ):
            url = f"127.0.0.1:{running.internal_grpc_port}"
            await bus.ready()
            await bus.ensure_stream("onefold.profile")
            whole = RunningSegment(peers, bus)
            peers.log.head = whole.log_head
            for key, _, _ in KEYS:
                opened = await stack.enter_async_context(open_channel(url, key.key, timeout_s=20.0))
                whole.stubs[key.key_id] = SegmentServiceStub(opened)
            internal = await stack.enter_async_context(open_channel(url, internal_key))
            whole.projection = ProjectionServiceStub(internal)
            whole.internal = SegmentServiceStub(internal)
            await whole.publish_everywhere(broadcast_facts=[key_fact(*key) for key in KEYS])
            await wait_until(lambda: _has_keys(whole))
            yield whole


async def _has_keys(whole: RunningSegment) -> bool:
    try:
        for key in (SCHOOL, OTHER):
            await whole.stub(key).ListSegments(pb.ListSegmentsRequest())
    except NotAllowed:
        return False
    return True


async def publish_school(whole: RunningSegment, profiles: int = 30) -> None:
    """Publish profiles, of which two of three have bought."""
    await whole.publish_everywhere(
        broadcast_facts=[defined("buyers", BOUGHT)],
        backfilled_predicates=[BOUGHT_ID, VISITED_ID, CITY_ID],
    )
    await whole.fold()
    for n in range(profiles):
        await whole.publish(n % SHARDS, evaluated(n, 1, *([BOUGHT_ID] if n % 3 else [])))
    await whole.fold()


async def test_members_are_listed_in_pages(whole: RunningSegment) -> None:
    await publish_school(whole)
    assert await whole.members("buyers") == {profile(n) for n in range(30) if n % 3}
    assert await whole.members("undefined") == set()
    assert await whole.members("buyers", OTHER) == set()
    (listed,) = (await whole.stub().ListSegments(pb.ListSegmentsRequest())).segments
    assert (listed.segment.segment_id, listed.size, listed.live) == ("buyers", 20, True)
    response = await whole.stub().ListMembers(pb.ListMembersRequest(segment_id="buyers"))
    ids = [m.profile_id for m in response.members]
    assert ids == sorted(ids)
    assert all(m.since_us > 0 for m in response.members)


async def test_members_are_listed_as_of_an_instant(whole: RunningSegment) -> None:
    await publish_school(whole, 6)
    before = 1_000 * len(whole.peers.profile.published[0])
    await whole.publish(0, evaluated(1, 2), evaluated(3, 2, BOUGHT_ID))
    await whole.fold()
    assert await whole.members("buyers") == {profile(n) for n in (2, 3, 4, 5)}
    assert await whole.members("buyers", as_of_us=before) == {profile(n) for n in (1, 2, 4, 5)}
    assert await whole.members("buyers", as_of_us=1) == set()


async def test_memberships_of_a_profile_have_their_history(whole: RunningSegment) -> None:
    await publish_school(whole, 3)
    await whole.publish(0, evaluated(1, 2))
    await whole.fold()  # otherwise the newer evaluation, of another shard, may come first
    await whole.publish(1, evaluated(1, 3, BOUGHT_ID))
    await whole.fold()
    for by in (
        {"profile_id": to_hex(profile(1))},
        {"identifier": Identifier(namespace="user_id", value="1")},
    ):
        found = await whole.stub().ListMemberships(pb.ListMembershipsRequest(**by))
        assert found.profile_id == to_hex(profile(1))
        assert list(found.segment_ids) == ["buyers"]
        assert [(h.ordinal, h.entered) for h in found.history] == [(1, True), (2, False), (3, True)]
    with pytest.raises(NotFound):
        await whole.stub().ListMemberships(pb.ListMembershipsRequest(profile_id="f" * 32))


async def test_change_by_an_event_has_the_own_time_of_the_event_and_others_their_instant(
    whole: RunningSegment,
) -> None:
    """As it is published, in the history, and in what a late consumer reads from the history."""
    await publish_school(whole, 0)
    await whole.publish(0, evaluated(1, 1, BOUGHT_ID, occurred_at_us=-7))
    await whole.publish(0, evaluated(2, 1, BOUGHT_ID))
    # Another shard may know the definition before this one has the evaluations.
    await whole.fold()
    await whole.publish_everywhere(broadcast_facts=[defined("all buyers", BOUGHT)])
    await whole.fold()
    changes, _ = await watch(whole, START, 4)
    found = {(c.segment_id, c.profile_id): c.occurred_at_us - c.changed_at_us for c in changes}
    [old] = [c for c in changes if (c.segment_id, c.profile_id) == ("buyers", profile(1))]
    assert old.occurred_at_us == -7 < 0 < old.changed_at_us
    del found["buyers", profile(1)]
    assert found == {
        ("buyers", profile(2)): 0,
        ("all buyers", profile(1)): 0,
        ("all buyers", profile(2)): 0,
    }
    request = pb.ListMembershipsRequest(profile_id=to_hex(profile(1)))
    history = (await whole.stub().ListMemberships(request)).history
    assert sorted(history, key=str) == sorted(
        (c for c in changes if c.profile_id == profile(1)), key=str
    )


#: Before all changes.
START = StreamPosition(sequences=[0] * SHARDS)


async def watch(
    whole: RunningSegment,
    position: StreamPosition,
    count: int,
    key: IssuedKey = SCHOOL,
    **fields: Any,
) -> tuple[list[MembershipChange], StreamPosition]:
    """Watch until `count` changes have arrived; return them, and the position to go on from."""
    request = pb.WatchMembershipsRequest(from_position=position, **fields)
    responses = whole.stub(key).WatchMemberships(request)
    changes: list[MembershipChange] = []
    async for response in responses:
        changes += response.changes
        position = response.position
        if len(changes) >= count:
            break
    await responses.aclose()
    return changes, position


async def test_resumed_watch_misses_no_change(whole: RunningSegment) -> None:
    """The watch is interrupted repeatedly while profiles enter and leave."""
    await publish_school(whole, 8)
    versions = [(n % 8, n) for n in range(8, 60)]

    async def publish_changes() -> None:
        for n, version in versions:
            await whole.publish(
                version % SHARDS, evaluated(n, version, *([BOUGHT_ID] * (version % 2)))
            )
        await whole.fold()

    async def count_published() -> int:
        status = await whole.projection.GetStatus(projection_pb.GetStatusRequest(counts=True))
        return status.counts["published_changes"]

    async def has_more_or_is_done() -> bool:
        return publishing.done() or await count_published() > len(seen)

    publishing = asyncio.ensure_future(publish_changes())
    seen: list[MembershipChange] = []
    following = START
    while not publishing.done() or await count_published() > len(seen):
        await wait_until(has_more_or_is_done)
        if await count_published() > len(seen):
            changes, following = await watch(whole, following, 1)
            seen += changes
    await publishing
    assert len({(c.profile_id, c.segment_id, c.ordinal) for c in seen}) == len(seen)
    assert members_from(seen) == {("buyers", p) for p in await whole.members("buyers")}


async def test_watch_has_the_changes_of_its_workspace_and_segments(whole: RunningSegment) -> None:
    await whole.publish_everywhere(
        broadcast_facts=[
            defined("buyers", BOUGHT),
            defined("visitors", VISITED),
            defined("buyers", BOUGHT, workspace="other"),
        ],
        backfilled_predicates=[BOUGHT_ID, VISITED_ID],
    )
    await whole.publish_everywhere(
        backfilled_predicates=[BOUGHT_ID], backfilled_workspace_id="other"
    )
    await whole.fold()
    await whole.publish(0, evaluated(1, 1, BOUGHT_ID, VISITED_ID))
    await whole.publish(0, evaluated(2, 1, BOUGHT_ID, workspace="other"))
    await whole.fold()
    changes, _ = await watch(whole, START, 1, segment_ids=["visitors"])
    assert [(c.segment_id, c.profile_id) for c in changes] == [("visitors", profile(1))]
    changes, _ = await watch(whole, START, 1, OTHER)
    assert [(c.workspace_id, c.profile_id) for c in changes] == [("other", profile(2))]


async def test_repeated_definition_changes_nothing(whole: RunningSegment) -> None:
    stub = whole.stub()

    async def define(dry_run: bool = False, **fields: Any) -> Any:
        segment = SegmentDefined(segment_id="buyers", rule=rule_to_proto(BOUGHT), **fields)
        request = pb.DefineSegmentRequest(segment=segment, dry_run=dry_run)
        response = await stub.DefineSegment(request)
        if not response.changed:
            assert list(response.token.offsets) == whole.log_head()
        await whole.publish_definitions()
        await whole.fold()
        return response.changed, response.segment.version

    assert await define(dry_run=True) == (True, 1)
    assert not whole.peers.log.facts
    assert await define() == (True, 1)
    assert await define() == (False, 1)
    assert await define(title="买家") == (True, 2)
    assert [f.kind for f in whole.peers.log.facts.values()] == [SEGMENT_DEFINED] * 2
    assert not (await whole.stub(OTHER).ListSegments(pb.ListSegmentsRequest())).segments


def define_request(**fields: Any) -> pb.DefineSegmentRequest:
    segment = SegmentDefined(segment_id="buyers", rule=rule_to_proto(BOUGHT), **fields)
    return pb.DefineSegmentRequest(segment=segment)


async def test_definition_repeated_before_it_is_folded_changes_nothing(
    whole: RunningSegment,
) -> None:
    stub = whole.stub()
    first = await stub.DefineSegment(define_request())
    repeating = asyncio.ensure_future(stub.DefineSegment(define_request()))
    await asyncio.wait({repeating}, timeout=0.2)
    assert not repeating.done(), "the state does not include the head of the log yet"
    await whole.publish_definitions()
    repeated = await repeating
    assert (first.changed, repeated.changed) == (True, False)
    assert (repeated.segment, repeated.etag) == (first.segment, "1")
    assert len(whole.peers.log.facts) == 1


async def test_definition_with_an_outdated_etag_is_rejected(whole: RunningSegment) -> None:
    stub = whole.stub()
    await stub.DefineSegment(define_request())
    await whole.publish_definitions()
    await stub.DefineSegment(define_request(title="b"))
    await whole.publish_definitions()
    outdated = define_request(title="c")
    outdated.etag = "1"
    with pytest.raises(Conflict) as raised:
        await stub.DefineSegment(outdated)
    assert raised.value.metadata["etag"] == "2"
    await whole.fold()
    (listed,) = (await stub.ListSegments(pb.ListSegmentsRequest())).segments
    assert (listed.segment.title, listed.etag) == ("b", "2")


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
async def test_invalid_request_is_rejected_with_its_field(
    whole: RunningSegment, method: str, request_: Any, path: str
) -> None:
    with pytest.raises(InvalidField) as raised:
        await getattr(whole.stub(), method)(request_)
    assert raised.value.field.startswith(path)


@pytest.mark.parametrize("starts", [[0], [0, 0, 0], [2**63, 0]])
async def test_watch_needs_a_sequence_for_every_shard(
    whole: RunningSegment, starts: list[int]
) -> None:
    with pytest.raises(InvalidField) as raised:
        await watch(whole, StreamPosition(sequences=starts), 1)
    assert raised.value.field == "from_position"


async def test_key_of_a_source_may_call_nothing(whole: RunningSegment) -> None:
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


async def read_outbox(whole: RunningSegment, shard: int, **fields: int) -> list[Any]:
    responses = whole.internal.ReadOutbox(pb.ReadOutboxRequest(shard=shard, **fields))
    return [response async for response in responses]


async def test_outbox_can_be_read_from_any_sequence(whole: RunningSegment) -> None:
    await publish_school(whole, 9)
    batches: list[Any] = []
    for shard in range(SHARDS):
        of_shard = [r.batch for r in await read_outbox(whole, shard)]
        assert [b.sequence for b in of_shard] == list(range(len(of_shard)))
        part = await read_outbox(whole, shard, from_sequence=2, end_sequence=4)
        assert [r.batch for r in part] == of_shard[2:4]
        batches += of_shard
    changes = [change for batch in batches for change in batch.changes]
    assert members_from(changes) == {("buyers", p) for p in await whole.members("buyers")}


async def test_deleted_messages_are_replayed_from_the_history(
    whole: RunningSegment, database: str
) -> None:
    """All changes and facts are replayed in order, facts before the changes they apply to."""
    await publish_school(whole, 9)
    await whole.publish_everywhere(broadcast_facts=[defined("buyers", CITY, version=2)])
    await whole.publish(0, evaluated(1, 2, CITY_ID))
    await whole.fold()

    def contents(responses: list[Any]) -> list[Any]:
        return [each for r in responses for each in (*r.batch.broadcast_facts, *r.batch.changes)]

    for shard in range(SHARDS):
        before = await read_outbox(whole, shard)
        conn = await asyncpg.connect(database)
        await conn.execute(
            "DELETE FROM segment.outbox WHERE shard = $1 AND first <"
            " (SELECT max(first) FROM segment.outbox WHERE shard = $1)",
            shard,
        )
        await conn.close()
        replayed = await read_outbox(whole, shard)
        assert contents(replayed) == contents(before)
        assert len(replayed) < len(before)
        assert replayed[0].batch.sequence == 0
        for one, two in pairwise(replayed):
            assert one.next_sequence == two.batch.sequence
        assert replayed[-1] == before[-1]
        parts = await read_outbox(whole, shard, from_sequence=2, end_sequence=5)
        assert (parts[0].batch.sequence, parts[-1].next_sequence) == (2, 5)
        assert contents(parts) == contents([r for r in before if 2 <= r.batch.sequence < 5])


async def digest(whole: RunningSegment) -> dict[str, str]:
    request = projection_pb.GetDigestRequest(at_least=whole.token())
    return dict((await whole.projection.GetDigest(request)).digests)


async def test_rebuild_has_the_same_digest_and_entries(whole: RunningSegment) -> None:
    await publish_school(whole)
    await whole.publish(0, evaluated(1, 2), evaluated(40, 1, BOUGHT_ID), evaluated(2, 2, into=40))
    await whole.fold()
    live = await digest(whole)
    request = pb.ListMembersRequest(segment_id="buyers", page_size=1_000)
    since = list((await whole.stub().ListMembers(request)).members)
    compared = await whole.rebuild()
    assert compared.equal
    assert dict(compared.rebuilt_digests) == live
    switched = await whole.rebuild(switch_over=True)
    assert switched.equal
    status = await whole.projection.GetStatus(projection_pb.GetStatusRequest(counts=True))
    assert status.generation == 2

    async def is_unchanged() -> bool:
        return list((await whole.stub().ListMembers(request)).members) == since

    await wait_until(is_unchanged)
    await whole.publish(1, evaluated(1, 3, BOUGHT_ID))
    await whole.publish(0, evaluated(40, 2))
    await whole.fold()
    assert profile(1) in await whole.members("buyers")
    assert profile(40) not in await whole.members("buyers")
    found = await whole.stub().ListMemberships(
        pb.ListMembershipsRequest(profile_id=to_hex(profile(1)))
    )
    assert [h.ordinal for h in found.history] == [1, 2, 3]
    assert (await whole.rebuild()).equal


async def test_rebuild_with_other_shards_has_the_same_digest(whole: RunningSegment) -> None:
    await publish_school(whole)
    result = await whole.rebuild(shards=1)
    assert result.equal
    assert dict(result.rebuilt_digests) == await digest(whole)


async def test_rebuild_follows_evaluations_and_definitions_between_its_readings(
    whole: RunningSegment,
) -> None:
    await publish_school(whole)
    late = [{"changes": (evaluated(n, 2, CITY_ID),), "fields": {}} for n in range(10)]
    rules = [defined("late", CITY), defined("buyers", CITY, version=2)]
    step = 0

    async def meanwhile(shard: int) -> None:
        nonlocal step
        if step < len(late):
            each = late[step]
            await whole.publish(step % SHARDS, *each["changes"])
            if step in (3, 5):
                await whole.publish_everywhere(broadcast_facts=[rules[step // 4]])
            step += 1

    whole.peers.profile.before_evaluations = meanwhile
    result = await whole.rebuild(switch_over=True)
    assert result.equal, list(result.differing_rows)
    await whole.fold()
    assert (await whole.rebuild()).equal
    assert step >= 5


async def test_rebuild_applies_a_definition_of_its_last_stretch_to_every_profile(
    whole: RunningSegment,
) -> None:
    await publish_school(whole)
    for n in range(10):
        await whole.publish(n % SHARDS, evaluated(n, 2, CITY_ID))
    await whole.fold()

    async def late() -> None:
        await whole.publish_everywhere(broadcast_facts=[defined("buyers", CITY, version=2)])
        await whole.fold()

    whole.peers.profile.before_read = late
    result = await whole.rebuild(switch_over=True)
    assert result.equal, list(result.differing_rows)
    assert await whole.members("buyers") == {profile(n) for n in range(10)}


async def test_rebuild_copies_the_members_of_a_pending_segment(whole: RunningSegment) -> None:
    """The rule has a predicate that is not backfilled, so no profile enters or leaves."""
    await publish_school(whole)
    unknown = parse_rule({"count": {"event": "danced", "at_least": 1}})
    await whole.publish_everywhere(broadcast_facts=[defined("buyers", unknown, version=2)])
    await whole.publish(0, evaluated(1, 2), evaluated(40, 1, BOUGHT_ID), evaluated(2, 2, into=40))
    await whole.fold()
    pending = await whole.members("buyers")
    assert profile(1) in pending
    assert profile(2) not in pending
    result = await whole.rebuild(switch_over=True)
    assert result.equal, list(result.differing_rows)
    await whole.fold()
    assert await whole.members("buyers") == pending
    assert (await whole.rebuild()).equal


async def test_rebuild_names_differing_rows(whole: RunningSegment, database: str) -> None:
    await publish_school(whole, 4)
    conn = await asyncpg.connect(database)
    deleted = await conn.fetchval(
        "DELETE FROM segment_g1.membership WHERE profile_id = $1 RETURNING profile_id", profile(1)
    )
    await conn.execute("UPDATE segment_g1.digest SET value = value + 1")
    await conn.close()
    result = await whole.rebuild(switch_over=True)
    assert not result.equal
    assert list(result.differing_rows) == [f"membership buyers {deleted.hex()}"]
    status = await whole.projection.GetStatus(projection_pb.GetStatusRequest(counts=True))
    assert status.generation == 1
