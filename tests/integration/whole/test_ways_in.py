"""What enters in different ways: behaviour by channel, equal facts, exports that are imported."""

from __future__ import annotations

import asyncio
import csv
import json
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime, timedelta
from itertools import product
from pathlib import Path
from typing import Any

import aiohttp
import asyncpg
import pytest
import pytest_asyncio
from google.protobuf.message import Message
from integration.whole.whole_system import WholeSystem, identifier
from onefold.ingest.v1.ingest_service_pb2 import IngestEventsRequest
from onefold.profile.v1 import profile_service_pb2 as profile_pb
from onefold.segment.v1.segment_service_pb2 import ListMembersRequest
from onefold.type.v1.event_pb2 import EVENT_TYPE_IDENTIFY, EVENT_TYPE_TRACK, Event
from service_fixtures import create_database

from services.cli.commands.exports import export_segment
from services.cli.commands.imports import import_file
from services.cli.commands.packs import apply_pack
from services.cli.commands.pulls import load_source, pull_database
from services.cli.databases.position import PositionFile
from services.cli.definitions import read_pack
from services.devstack.postgres import PostgresServer
from services.kernel.errors import NotFound
from services.kernel.time import to_rfc3339, to_us

CHANNELS = ("web", "app", "mini_program", "h5")
KINDS = {
    "Page Viewed": ("page", {"path": "/courses"}),
    "Button Clicked": ("track", {"button": "buy"}),
    "Page Dwelt": ("track", {"duration_ms": 31_250}),
    "Searched": ("track", {"query": "钢琴"}),
}
BEGIN = datetime(2026, 6, 1, 8, tzinfo=UTC)
PACK = """
segments:
  - {id: readers, title: Readers, rule: {count: {event: Page Dwelt, at_least: 4}}}
  - {id: buyers, title: Buyers, rule: {sum: {event: order_paid, property: amount, at_least: 60}}}
  - {id: returned, title: Returned, rule: {trait: {name: from, eq: buyers}}}
"""


async def define(system: WholeSystem, folder: Path) -> None:
    pack = folder / "pack.yaml"
    pack.write_text(PACK, encoding="utf-8")
    await apply_pack(system.service, read_pack(pack, {}))


async def test_behaviour_of_an_anonymous_visitor_by_four_channels_is_on_the_timeline(
    workspace: WholeSystem, tmp_path: Path
) -> None:
    await define(workspace, tmp_path)
    calls, expected = [], set()
    for n, (channel, (name, (kind, values))) in enumerate(product(CHANNELS, KINDS.items())):
        named = {"name": name} if kind == "page" else {"event": name}
        at = to_rfc3339(to_us(BEGIN + timedelta(minutes=n)))
        call = {"type": kind, "anonymousId": "visitor-1", "channel": channel, "timestamp": at}
        calls.append({**call, **named, "properties": values, "messageId": f"b-{n}"})
        expected.add((kind, channel, json.dumps(values, ensure_ascii=False)))
    endpoints = workspace.source.endpoints
    headers = {"Authorization": f"Bearer {endpoints.key}"}
    async with (
        aiohttp.ClientSession() as http,
        http.post(f"{endpoints.events_url}/v1/batch", json={"batch": calls}, headers=headers) as r,
    ):
        assert (r.status, (await r.json())["accepted"]) == (200, 16)
    await workspace.drain()
    request = profile_pb.ListTimelineRequest(
        identifier=identifier("anonymous_id:visitor-1"), page_size=100
    )
    entries = (await workspace.service.profile.ListTimeline(request)).entries
    found = [(e.type, e.channel, without_name(e)) for e in reversed(entries)]
    assert len(found) == 16
    assert set(found) == expected
    assert [e.occurred_at_us for e in reversed(entries)] == [
        to_us(BEGIN + timedelta(minutes=n)) for n in range(16)
    ]
    # The visitor, who has nothing but the anonymous id, has a profile and is a member.
    [profile_id] = await workspace.profiles("anonymous_id:visitor-1")
    assert await workspace.members("readers") == {profile_id}
    read = profile_pb.GetProfileRequest(profile_id=profile_id)
    profile = (await workspace.service.profile.GetProfile(read)).profile
    assert [(i.namespace, i.value) for i in profile.identifiers] == [("anonymous_id", "visitor-1")]
    assert profile.event_count == 16


def without_name(entry: profile_pb.TimelineEntry) -> str:
    values = json.loads(entry.properties)
    values.pop("name", None)  # of a page, the protocol repeats it here
    return json.dumps(values, ensure_ascii=False)


class Fact:
    """A fact of the business: a customer is registered, or pays an order."""

    def __init__(self, number: int) -> None:
        self.message_id = f"fact-{number}"
        self.user_id = f"c-{number % 20}"
        self.at = BEGIN + timedelta(hours=number)
        self.is_order = number >= 20
        self.amount = number / 4
        self.traits = {"name": f"客户{number}", "level": number % 3}

    @property
    def row(self) -> tuple[Any, ...]:
        kind = ("track", "order_paid") if self.is_order else ("identify", None)
        traits = (None, None) if self.is_order else tuple(self.traits.values())
        amount = self.amount if self.is_order else None
        return (self.message_id, *kind, self.user_id, self.at, amount, *traits)


FACTS = [Fact(number) for number in range(100)]
COLUMNS = ("message_id", "type", "event", "user_id", "at", "amount", "name", "level")
MAPPING = """
type: {column: type}
event: {column: event}
message_id: {column: message_id}
time: {column: at}
identifiers: {user_id: {column: user_id}}
properties: {amount: {column: amount, type: number}}
traits: {name: {column: name}, level: {column: level, type: integer}}
"""


async def send_by_sdk(system: WholeSystem, _folder: Path, _shop: str) -> None:
    from segment.analytics.client import Client

    endpoints, errors = system.source.endpoints, list[Any]()
    client = Client(
        endpoints.key, host=endpoints.events_url, on_error=lambda e, _: errors.append(e)
    )
    for fact in FACTS:
        same = {"timestamp": fact.at, "message_id": fact.message_id}
        if fact.is_order:
            client.track(fact.user_id, "order_paid", {"amount": fact.amount}, **same)
        else:
            client.identify(fact.user_id, fact.traits, **same)
    await asyncio.to_thread(client.flush)
    await asyncio.to_thread(client.join)
    assert not errors


async def send_by_api(system: WholeSystem, _folder: Path, _shop: str) -> None:
    events = [
        Event(
            type=EVENT_TYPE_TRACK if fact.is_order else EVENT_TYPE_IDENTIFY,
            name="order_paid" if fact.is_order else "",
            message_id=fact.message_id,
            identifiers=[identifier(f"user_id:{fact.user_id}")],
            occurred_at_us=to_us(fact.at),
            properties=json.dumps({"amount": fact.amount}).encode() if fact.is_order else b"",
            traits=b"" if fact.is_order else json.dumps(fact.traits).encode(),
        )
        for fact in FACTS
    ]
    response = await system.source.ingest.IngestEvents(IngestEventsRequest(events=events))
    assert response.accepted == 100


async def send_by_file(system: WholeSystem, folder: Path, _shop: str) -> None:
    file, mapping = folder / "facts.csv", folder / "mapping.yaml"
    with file.open("w", newline="", encoding="utf-8") as opened:
        writer = csv.writer(opened)
        writer.writerows([COLUMNS, *(fact.row for fact in FACTS)])
    mapping.write_text(MAPPING)
    endpoints = system.source.endpoints
    report = await import_file(file, mapping, endpoints.grpc["ingest"], endpoints.key)
    assert (report.accepted, report.rejections) == (100, [])


async def send_by_database(system: WholeSystem, folder: Path, shop: str) -> None:
    file = folder / "shop.yaml"
    indented = MAPPING.replace("\n", "\n  ")
    file.write_text(
        f"name: facts\nurl: {shop}\ntable: shop.facts\ncursor: at\nkey: message_id\n"
        f"mapping:{indented}\n"
    )
    source = load_source(file)
    report = await pull_database(
        source, PositionFile(folder / "position.json", source), system.source.endpoints
    )
    assert (report.events.accepted, report.events.rejections) == (100, [])


WAYS = (send_by_sdk, send_by_api, send_by_file, send_by_database)


@pytest_asyncio.fixture(loop_scope="session")
async def shop(
    postgres_server: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[str]:
    """The variable with the URL of a shop's database, which has the facts."""
    admin = await asyncpg.connect(postgres_server.admin_dsn)
    name = await create_database(admin)
    url = postgres_server.dsn.rpartition("/")[0] + f"/{name}"
    connection = await asyncpg.connect(url)
    await connection.execute(
        "CREATE SCHEMA shop; CREATE TABLE shop.facts (message_id text PRIMARY KEY, type text,"
        " event text, user_id text, at timestamptz, amount numeric(12, 2), name text, level int)"
    )
    await connection.copy_records_to_table(
        "facts", schema_name="shop", records=[fact.row for fact in FACTS], columns=COLUMNS
    )
    await connection.close()
    monkeypatch.setenv("SHOP_DATABASE", url)
    yield "${SHOP_DATABASE}"
    await admin.execute(f"DROP DATABASE {name} WITH (FORCE)")
    await admin.close()


async def test_facts_by_sdk_api_file_and_database_are_one_profile_state(
    running: WholeSystem, shop: str, tmp_path: Path
) -> None:
    systems = [await running.new_workspace() for _ in WAYS]
    for way, system in zip(WAYS, systems, strict=True):
        await define(system, tmp_path)
        await way(system, tmp_path, shop)
    await systems[0].drain()
    first, *others = [await states(system) for system in systems]
    assert len(first) == 20
    assert any("buyers" in membership for _, membership in first.values())
    for way, other in zip(WAYS[1:], others, strict=True):
        assert other == first, way.__name__


async def states(system: WholeSystem) -> dict[str, tuple[bytes, set[str]]]:
    """Return the bytes of each profile and its timeline without the ids of the workspace."""
    found = {}
    for user_id in sorted({fact.user_id for fact in FACTS}):
        by = {"identifier": identifier(f"user_id:{user_id}")}
        profile = await system.service.profile.GetProfile(profile_pb.GetProfileRequest(**by))
        timeline = await system.service.profile.ListTimeline(
            profile_pb.ListTimelineRequest(page_size=100, **by)
        )
        messages: Sequence[Message] = (profile.profile, *timeline.entries)
        own = {s for s in ("buyers",) if profile.profile.profile_id in await system.members(s)}
        for message in messages:
            clear_ids(message)
        for entry in timeline.entries:
            # The log has documents as they were sent, with the blanks of each client.
            entry.properties, entry.traits = map(compact, (entry.properties, entry.traits))
        state = b"".join(each.SerializeToString(deterministic=True) for each in messages)
        found[user_id] = (state, own)
    return found


def compact(document: bytes) -> bytes:
    return json.dumps(json.loads(document or b"{}"), sort_keys=True).encode()


#: What differs between workspaces that have equal facts: ids, keys, and when the log took them.
_OF_WORKSPACE = frozenset({"profile_id", "leaf_ids", "fact_id", "recorded_at_us", "actor"})


def clear_ids(message: Message) -> None:
    for field, value in message.ListFields():
        if field.name in _OF_WORKSPACE:
            message.ClearField(field.name)
        elif field.message_type is not None and not field.message_type.GetOptions().map_entry:
            for each in value if field.is_repeated else (value,):
                clear_ids(each)


async def test_exported_segment_has_the_values_of_its_position_and_enters_again(
    running: WholeSystem, tmp_path: Path
) -> None:
    system, again = await running.new_workspace(), await running.new_workspace()
    for each in (system, again):
        await define(each, tmp_path)
    await send_by_api(system, tmp_path, "")
    dangerous = {"name": '=HYPERLINK("http://x")', "phone": "+8613800000019"}
    event = Event(
        type=EVENT_TYPE_IDENTIFY,
        identifiers=[identifier("user_id:c-19"), identifier(f"phone:{dangerous['phone']}")],
        traits=json.dumps({"name": dangerous["name"]}).encode(),
        message_id="dangerous",
    )
    await system.source.ingest.IngestEvents(IngestEventsRequest(events=[event]))
    token = await system.drain()
    file = tmp_path / "buyers.csv"
    names = ("user_id", "phone"), ("name", "level")
    result = await export_segment(system.service, "buyers", file, *names)
    listed = await system.service.segment.ListMembers(
        ListMembersRequest(segment_id="buyers", page_size=1_000)
    )
    assert (result.members, result.without_identifier) == (len(listed.members), 0)
    assert 0 < result.members < 20
    with pytest.raises(NotFound, match="there is no segment nothing"):
        await export_segment(system.service, "nothing", tmp_path / "no.csv", *names)
    with file.open(newline="", encoding="utf-8-sig") as opened:
        rows = {row["profile_id"]: row for row in csv.DictReader(opened)}
    assert list(rows) == [member.profile_id for member in listed.members]
    # The service of segments and the export agree on each value at the position of the export.
    for profile_id, row in rows.items():
        read = profile_pb.GetProfileRequest(profile_id=profile_id, as_of_token=token)
        profile = (await system.service.profile.GetProfile(read)).profile
        values = {trait.name: json.loads(trait.value) for trait in profile.traits}
        if values["name"] != dangerous["name"]:
            assert (row["name"], row["level"]) == (values["name"], str(values["level"]))
        assert set(profile.past_segment_ids) == {"buyers"}
    [marked] = [row for row in rows.values() if row["user_id"] == "c-19"]
    assert marked["name"] == '="=HYPERLINK(""http://x"")"'
    mapping = tmp_path / "again.yaml"
    mapping.write_text(
        "type: identify\nidentifiers: {user_id: {column: user_id}, phone: {column: phone}}\n"
        "traits: {from: buyers, name: {column: name}, level: {column: level, type: integer}}\n"
    )
    endpoints = again.source.endpoints
    report = await import_file(file, mapping, endpoints.grpc["ingest"], endpoints.key)
    assert (report.accepted, report.rejections) == (result.members, [])
    await again.drain()
    assert await users(again, "returned") == {row["user_id"] for row in rows.values()}
    read = profile_pb.GetProfileRequest(identifier=identifier(f"phone:{dangerous['phone']}"))
    traits = (await again.service.profile.GetProfile(read)).profile.traits
    assert {t.name: json.loads(t.value) for t in traits}["name"] == dangerous["name"]


async def users(system: WholeSystem, segment_id: str) -> set[str]:
    """Return the user ids of the members of a segment."""
    ids = profile_pb.BatchGetProfilesRequest(profile_ids=await system.members(segment_id))
    found = (await system.service.profile.BatchGetProfiles(ids)).profiles
    return {i.value for p in found for i in p.identifiers if i.namespace == "user_id"}
