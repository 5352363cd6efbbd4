"""Makes events of every kind for two workspaces, and sends each through any of the four doors."""

from __future__ import annotations

import asyncio
import csv
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from random import Random
from typing import Any, TypeVar
from zlib import crc32

import aiohttp
import nats
from faults.running_system import retry
from onefold.ingest.v1.admin_service_pb2 import (
    CreateWorkspaceRequest,
    DefineSourceRequest,
    IssueKeyRequest,
)
from onefold.ingest.v1.ingest_facts_pb2 import ROLE_SOURCE, SourceDefined
from onefold.ingest.v1.ingest_service_pb2 import IngestEventsRequest
from onefold.profile.v1.profile_facts_pb2 import ScoreRecorded
from onefold.profile.v1.profile_service_pb2 import PersonScore, RecordScoresRequest
from onefold.type.v1 import event_pb2
from onefold.type.v1.identifier_pb2 import Identifier
from service_fixtures import wait_until

from services import SERVICES
from services.client.client import Client
from services.devstack.folders import ROOT
from services.devstack.nats_config import ClientId
from services.devstack.stack import Stack
from services.kernel.time import HOUR_US, MINUTE_US, to_rfc3339
from services.kernel.trust import SourceTrust

_T = TypeVar("_T")
WORKSPACES = ("default", "branch")
#: Which doors carry an event is a matter of the system that gets it.
GRPC, HTTP, NATS, FILE = "grpc", "http", "nats", "file"
#: The source whose events may come from files.
FILED = SourceTrust.SYSTEM_OF_RECORD
#: One column for each part of an event that a file has.
COLUMNS = (
    "what",
    "id",
    "when",
    "user_id",
    "anonymous_id",
    "item",
    "order",
    "amount",
    "city",
    "born",
    "phone",
    "email",
)
_AMOUNT = "\n  amount: {column: amount, type: integer}"
_NAMESPACES = ("user_id", "anonymous_id", "email", "phone", "account_id")
_KINDS = ("track",) * 9 + ("identify",) * 4 + ("page", "screen", "group", "group", "alias")
_TYPES = {n.removeprefix("EVENT_TYPE_").lower(): v for n, v in event_pb2.EventType.items()}
_NAMES = ("viewed", "bought", "returned")


@dataclass(frozen=True, slots=True)
class MixedEvent:
    """One event as a call of the Segment specification, and who sends it."""

    workspace: str
    trust: SourceTrust
    call: Mapping[str, Any]

    @property
    def message_id(self) -> str:
        return str(self.call["messageId"])

    @property
    def may_be_filed(self) -> bool:
        return self.trust == FILED and self.call["type"] in ("track", "identify")

    def to_message(self) -> event_pb2.Event:
        """Return the event as a gRPC client sends it."""
        call = self.call
        names = [("user_id", call.get("userId")), ("anonymous_id", call.get("anonymousId"))]
        if previous := call.get("previousId"):
            names += [("user_id", previous), ("anonymous_id", previous)]
        traits = call.get("traits", {})
        if call["type"] == "identify":
            names += [(name, traits.get(name)) for name in ("email", "phone")]
        return event_pb2.Event(
            type=_TYPES[call["type"]],  # type: ignore[arg-type]  # the numbers are the enum's
            name=call.get("event") or call.get("name") or "",
            message_id=self.message_id,
            identifiers=[Identifier(namespace=n, value=v) for n, v in names if v],
            occurred_at_us=call["at"],
            properties=json.dumps(call["properties"]).encode() if "properties" in call else b"",
            traits=json.dumps(traits).encode() if traits else b"",
            group_id=call.get("groupId", ""),
        )

    def to_json(self) -> dict[str, Any]:
        """Return the event as an SDK sends it over HTTP, and a back end over NATS."""
        parts = {name: value for name, value in self.call.items() if name != "at"}
        return parts | {"timestamp": to_rfc3339(self.call["at"])}

    def to_row(self) -> list[Any]:
        """Return the event as a row of a file; see `COLUMNS`."""
        call = self.call
        parts = call.get("properties", {}) | call.get("traits", {})
        return [
            call.get("event", ""),
            self.message_id,
            to_rfc3339(call["at"]),
            call.get("userId", ""),
            call.get("anonymousId", ""),
            *(parts.get(name, "") for name in COLUMNS[5:]),
        ]


def make_events(number: int, end_us: int, seed: int = 1) -> list[MixedEvent]:
    """Return events of every type about few people, the late ones among them, in order of sending.

    The same arguments give the same events. None leaves a window of whole hours in the 20 minutes
    after `end_us` plus any number of hours.
    """
    chance = Random(seed)
    people = max(8, number // 12)
    events = []
    for n in range(number):
        workspace = WORKSPACES[chance.random() < 0.3]
        message_id = f"{workspace}-{n}"
        trust = list(SourceTrust)[crc32(message_id.encode()) % len(SourceTrust)]
        late = chance.random() < 0.1
        hours = 24 * chance.randrange(40, 60) if late else chance.randrange(20 * 24)
        age_us = hours * HOUR_US + chance.randrange(25, 36) * MINUTE_US
        # Events of one millisecond in one batch would be set apart, and batches differ by the feed.
        at_us = end_us - age_us + n * 1_000
        call = _call(chance, people) | {"messageId": message_id, "at": at_us}
        events.append(MixedEvent(workspace, trust, call))
    return events


def make_scores(events: Sequence[MixedEvent], as_of_us: int) -> dict[str, list[PersonScore]]:
    """Return two scores of each user by workspace; some are of one instant."""
    scores: dict[str, list[PersonScore]] = {workspace: [] for workspace in WORKSPACES}
    for workspace, own in scores.items():
        # An event of a group or an alias alone may be kept under another identifier.
        users = {
            e.call["userId"]
            for e in events
            if e.workspace == workspace
            and "userId" in e.call
            and e.call["type"] not in ("group", "alias")
        }
        for user in sorted(users):
            for version in ("1", "2"):
                chance = Random(f"{workspace} {user} {version}")
                recorded = ScoreRecorded(
                    model_id="churn",
                    model_version=version,
                    score=chance.choice((0.2, 0.7)),
                    as_of_us=as_of_us - chance.randrange(2) * HOUR_US,
                )
                own.append(
                    PersonScore(
                        identifier=Identifier(namespace="user_id", value=user), score=recorded
                    )
                )
    return scores


def _call(chance: Random, people: int) -> dict[str, Any]:
    person, kind = chance.randrange(people), chance.choice(_KINDS)
    call: dict[str, Any] = {"type": kind, "userId": f"u-{person}"}
    if chance.random() < 0.5:
        call["anonymousId"] = f"device-{person}-{chance.randrange(3)}"
    if kind == "identify":
        traits = {"city": chance.choice(("北京", "上海", "广州"))}
        if chance.random() < 0.5:
            traits["born"] = f"{1980 + person % 30}-05-17"
        if chance.random() < 0.6:
            # A phone is that of a family now and then.
            traits["phone"] = f"+86139{person // chance.choice((1, 1, 1, 2)):08d}"
        if chance.random() < 0.5:
            traits["email"] = f"person{person}@example.cn"
        return call | {"traits": traits}
    if kind == "group":
        group = chance.choice(("account-", "course:c-")) + str(chance.randrange(1 + people // 6))
        return call | {"groupId": group, "traits": {"plan": chance.choice(("free", "pro"))}}
    if kind == "alias":
        previous = chance.choice((f"device-{person}-0", f"u-{chance.randrange(people)}-old"))
        return {"type": kind, "userId": f"u-{person}", "previousId": previous}
    properties = {
        "item": f"i-{chance.randrange(5)}",
        "order": f"o-{person}-{chance.randrange(4)}",
        "amount": chance.randrange(1, 500),
    }
    if kind == "track":
        if chance.random() < 0.4:
            call.pop("userId")
            call["anonymousId"] = f"device-{person}-{chance.randrange(3)}"
        return call | {"event": chance.choice(_NAMES), "properties": properties}
    return call | {"name": "catalogue", "properties": properties}


@dataclass(frozen=True)
class Doors:
    """The doors of one system, and the keys of the sources of each workspace."""

    stack: Stack
    client: Client
    #: By workspace: a client with its admin key.
    admins: Mapping[str, Client]
    keys: Mapping[tuple[str, SourceTrust], str]

    async def send(self, door: str, events: Sequence[MixedEvent], batch: int) -> None:
        """Send events through one door, in order, in batches of this size."""
        parts: dict[tuple[str, SourceTrust], list[MixedEvent]] = {}
        for event in events:
            parts.setdefault((event.workspace, event.trust), []).append(event)
        for sender, part in parts.items():
            if door == FILE:
                await asyncio.to_thread(self._send_files, sender, part)
            elif door == NATS:
                await self._send_nats(sender, list(_batches(part, batch)))
            elif door == HTTP:
                await self._send_http(sender, list(_batches(part, batch)))
            else:
                await self._send_grpc(sender, list(_batches(part, batch)))

    async def record(
        self, scores: Mapping[str, Sequence[PersonScore]], chance: Random, batch: int
    ) -> None:
        """Record scores in any order, some of them twice."""
        for workspace, own in scores.items():
            ordered = chance.sample([*own, *own[::3]], len(own) + len(own[::3]))
            for part in _batches(ordered, batch):
                request = RecordScoresRequest(scores=part)
                await retry(self.admins[workspace].profile.RecordScores, request)

    async def _send_grpc(self, sender: tuple[str, SourceTrust], batches: list[Any]) -> None:
        endpoints = replace(self.client.endpoints, key=self.keys[sender])
        async with Client(endpoints) as client:
            for events in batches:
                request = IngestEventsRequest(events=[event.to_message() for event in events])
                response = await retry(client.ingest.IngestEvents, request)
                assert not response.rejections, response.rejections[0]

    async def _send_http(self, sender: tuple[str, SourceTrust], batches: list[Any]) -> None:
        headers = {"Authorization": f"Bearer {self.keys[sender]}"}
        async with aiohttp.ClientSession(self.stack.events_url, headers=headers) as session:
            for events in batches:
                body = {"batch": [event.to_json() for event in events]}
                await wait_until(partial(_is_taken, session, body))

    async def _send_nats(self, sender: tuple[str, SourceTrust], batches: list[Any]) -> None:
        publisher = ClientId(sender[0], source_id(sender[1]))
        url = await self.stack.publisher_url(publisher)
        connection = await nats.connect(url, inbox_prefix=publisher.inbox_prefix)
        headers = {"Authorization": f"Bearer {self.keys[sender]}"}
        for events in batches:
            body = json.dumps({"batch": [event.to_json() for event in events]}).encode()
            await connection.jetstream().publish(publisher.subject, body, headers=headers)
        await connection.close()

    def _send_files(self, sender: tuple[str, SourceTrust], events: Sequence[MixedEvent]) -> None:
        folder = self.stack.data_dir
        key = folder / "write.key"
        key.touch(0o600)
        key.write_text(self.keys[sender], encoding="utf-8")
        for kind, parts in (
            ("track", "event: {column: what}\nproperties:" + _columns("item", "order") + _AMOUNT),
            ("identify", "traits:" + _columns("city", "born", "phone", "email")),
        ):
            filed = [event for event in events if event.call["type"] == kind]
            if not filed:
                continue
            mapping = folder / f"{kind}.yaml"
            contact = ("phone", "email") if kind == "identify" else ()
            mapping.write_text(
                f"type: {kind}\nmessage_id: {{column: id}}\ntime: {{column: when}}\n{parts}\n"
                f"identifiers:{_columns('user_id', 'anonymous_id', *contact)}\n",
                encoding="utf-8",
            )
            rows = folder / f"{kind}.csv"
            with rows.open("w", encoding="utf-8", newline="") as out:
                csv.writer(out).writerows([COLUMNS, *(event.to_row() for event in filed)])
            options = ("--mapping", str(mapping), "--key", f"@{key}")
            run_command(self.stack, "import", str(rows), *options)


async def _is_taken(session: aiohttp.ClientSession, body: object) -> bool:
    """Post a batch; return False where it is to be sent again later."""
    async with session.post("/v1/batch", json=body) as response:
        answer = await response.json()
    assert response.status in (200, 429, 503), answer
    assert not answer.get("rejections"), answer
    return response.status == 200


def _columns(*names: str) -> str:
    """Return the part of a mapping that takes each of these from the column of its name."""
    return "".join(f"\n  {name}: {{column: {name}}}" for name in names)


def source_id(trust: SourceTrust) -> str:
    return f"source-{trust:d}"


def run_command(stack: Stack, *arguments: str) -> str:
    """Run `./onefold` with the key of the services of a running stack, and return its output."""
    urls = {f"ONEFOLD_{name.upper()}_URL": stack.address(name) for name in SERVICES}
    own = {"ONEFOLD_KEY": stack.internal_key, "COLUMNS": "300", "NO_COLOR": "1"}
    run = subprocess.run(
        [sys.executable, "-m", "services.cli", *arguments],
        cwd=ROOT,
        env=os.environ | urls | own,
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stdout + run.stderr
    return run.stdout


async def open_doors(stack: Stack, admin: Client, internal: Client) -> Doors:
    """Create the second workspace, and a source of each trust class in both."""
    request = CreateWorkspaceRequest(workspace_id=WORKSPACES[1])
    created = await retry(internal.admin.CreateWorkspace, request)
    branch = Client(replace(admin.endpoints, key=created.admin_key))
    admins = dict(zip(WORKSPACES, (admin, branch), strict=True))
    keys = {}
    for workspace, client in admins.items():
        for trust in SourceTrust:
            source = SourceDefined(source_id=source_id(trust))
            source.trust = trust  # type: ignore[assignment]  # the numbers are the enum's
            if trust == SourceTrust.PUBLIC:
                # What its operator has to allow: old events, and those of accounts.
                source.max_age_days = 90
                source.allowed_namespaces.extend(_NAMESPACES)
            await retry(client.admin.DefineSource, DefineSourceRequest(source=source))
            issue = IssueKeyRequest(role=ROLE_SOURCE, source_id=source.source_id)
            keys[workspace, trust] = (await retry(client.admin.IssueKey, issue)).key
    return Doors(stack, admin, admins, keys)


def _batches(items: Sequence[_T], size: int) -> Iterator[Sequence[_T]]:
    for start in range(0, len(items), size):
        yield items[start : start + size]
