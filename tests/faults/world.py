"""A whole system of real processes, a load that remembers what was acknowledged, and a nemesis."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from random import Random
from typing import Any

from onefold.activation.v1 import activation_service_pb2 as activation_pb
from onefold.ingest.v1.admin_service_pb2 import IssueKeyRequest
from onefold.ingest.v1.ingest_service_pb2 import IngestEventsRequest
from onefold.log.v1 import log_service_pb2 as log_pb
from onefold.projection.v1 import projection_service_pb2 as projection_pb
from onefold.segment.v1 import segment_service_pb2 as segment_pb
from onefold.type.v1 import event_pb2

from services.cli.apply import apply_pack
from services.cli.client import PROJECTIONS, Client
from services.cli.definitions import read_pack
from services.cli.demo.clients import message
from services.cli.demo.dataset import Happening
from services.cli.demo.receiver import Receiver
from services.cli.endpoints import Doors
from services.devstack.process import is_alive, workers_in
from services.devstack.stack import ROOT, SERVICES, Stack
from services.kernel.errors import OnefoldError
from services.kernel.time import DAY_US

BATCH = 50
SETTINGS = {"ONEFOLD_CLOCK_ADVANCE": "allowed", "ONEFOLD_TICK_INTERVAL_S": "0.5"}
EVENT_KIND = event_pb2.Event.DESCRIPTOR.full_name
#: How long everything may take to come to rest after the last blow, seconds.
PATIENCE = 150.0


@dataclass(slots=True)
class World:
    """A running stack with the education pack and one source."""

    stack: Stack
    receiver: Receiver
    client: Client
    internal: Client
    source: Client
    #: Message ids of events that were acknowledged.
    acknowledged: set[str] = field(default_factory=set)

    async def send(self, events: Sequence[Happening], random: Random, spread_s: float) -> None:
        """Send batches by four senders; each is sent again until it is acknowledged."""
        rest = iter(events)
        batches: asyncio.Queue[list[Happening]] = asyncio.Queue()
        while part := list(islice(rest, BATCH)):
            batches.put_nowait(part)
        pause = spread_s * 4 / max(1, batches.qsize())

        async def sender() -> None:
            while not batches.empty():
                await self._send_one(batches.get_nowait())
                await asyncio.sleep(pause * random.uniform(0.5, 1.5))

        async with asyncio.TaskGroup() as group:
            for _ in range(4):
                group.create_task(sender())

    async def _send_one(self, part: list[Happening]) -> None:
        request = IngestEventsRequest(events=map(message, part))
        while True:
            try:
                answer = await self.source.call(self.source.ingest.IngestEvents, request, 10.0)
            except OnefoldError:
                await asyncio.sleep(0.1)
                continue
            assert not answer.rejections, answer.rejections[0]
            self.acknowledged.update(event.message_id for event in part)
            return

    async def rest(self) -> None:
        """Let all windows run out, and wait until every service has taken in the whole log."""
        await self.pass_time(40 * DAY_US)

    async def pass_time(self, span_us: int) -> None:
        """Move the clock, and wait until every service has taken in the log and that tick."""
        await self.patiently(self.client.log.TickClock, log_pb.TickClockRequest(advance_us=span_us))
        for _ in range(2):
            answer = await self.patiently(self.client.log.TickClock, log_pb.TickClockRequest())
            for service in PROJECTIONS:
                await self.patiently(
                    self.internal.projection(service).AwaitToken,
                    projection_pb.AwaitTokenRequest(token=answer.token),
                )

    async def members(self, segment_id: str) -> list[str]:
        """The profile ids of a segment's members, at most 1,000."""
        request = segment_pb.ListMembersRequest(segment_id=segment_id, page_size=1_000)
        answer = await self.patiently(self.client.segment.ListMembers, request, self.client)
        return [member.profile_id for member in answer.members]

    async def patiently(self, method: Any, request: Any, client: Client | None = None) -> Any:
        """Call until there is an answer; as another service, or with the key of `client`."""
        caller = client or self.internal
        async with asyncio.timeout(PATIENCE):
            while True:
                with suppress(OnefoldError):
                    return await caller.call(method, request, 20.0)
                await asyncio.sleep(0.2)

    async def log_ids(self) -> list[str]:
        """The message id of every event in the log, repeats included."""
        head = await self.patiently(self.internal.log.GetHead, log_pb.GetHeadRequest())
        found: list[str] = []
        for shard, until in enumerate(head.token.offsets):
            request = log_pb.ReadRequest(shard=shard, until_offset=until, kinds=[EVENT_KIND])
            async for answer in self.internal.stream(self.internal.log.Read, request):
                found += [
                    event_pb2.Event.FromString(fact.payload).message_id
                    for fact in answer.batch.facts
                ]
        return found

    async def digests(self) -> dict[str, dict[str, str]]:
        """By projection and workspace."""
        found = {}
        for service in ("identity", "profile", "segment"):
            request = projection_pb.GetDigestRequest()
            answer = await self.patiently(self.internal.projection(service).GetDigest, request)
            found[service] = dict(answer.digests)
        return found

    async def delivered(self) -> dict[str, bytes]:
        """The effects that were delivered, once none waits any more: key → state."""
        async with asyncio.timeout(PATIENCE):
            while True:
                effects = await self._effects()
                waiting = [e for e in effects if e.state in (1, 2)]
                if not waiting:
                    return {e.effect_id: e.state for e in effects}
                await asyncio.sleep(0.2)

    async def _effects(self) -> list[Any]:
        found: list[Any] = []
        token = ""
        while True:
            request = activation_pb.ListDeliveriesRequest(page_size=1_000, page_token=token)
            answer = await self.client.call(self.client.activation.ListDeliveries, request)
            found += answer.deliveries
            token = answer.next_page_token
            if not token:
                return found


class Nemesis:
    """Breaks things at random moments; the same seed breaks the same things."""

    def __init__(self, world: World, seed: int) -> None:
        self._world = world
        self._random = Random(seed)
        #: What was done, for whom a seed fails.
        self.done: list[str] = []

    async def strike(self, blows: int, spread_s: float) -> None:
        """Deal blows at random moments within the time."""
        for _ in range(blows):
            await asyncio.sleep(self._random.uniform(0.3, 1.7) * spread_s / blows)
            await self._blow()

    async def _blow(self) -> None:
        targets = [*SERVICES, *SERVICES, "postgres", "backend", "nats", "wipe"]
        target = self._random.choice(targets)
        self.done.append(target)
        stack = self._world.stack
        if target in SERVICES:
            with suppress(ProcessLookupError):
                stack.services[target].kill()
        elif target == "postgres":
            _kill_all([stack.postgres.pid, *workers_in(stack.postgres.cluster)])
        elif target == "backend":
            backends = [p for p in workers_in(stack.postgres.cluster) if p != stack.postgres.pid]
            _kill_all([self._random.choice(backends)] if backends else [])
        elif target == "nats":
            _kill_all([stack.nats.pid])
        else:
            await stack.nats.wipe()


def _kill_all(pids: Sequence[int]) -> None:
    for pid in pids:
        if is_alive(pid):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


async def make_world(stack: Stack, receiver: Receiver) -> World:
    """Define the pack and a source over a stack that has just started."""
    doors = Doors({s: a["grpc"] for s, a in stack.addresses().items()}, {}, stack.admin_key)
    client = Client(doors)
    values = {"COUPON_URL": receiver.url, "COUPON_SECRET": receiver.secret}
    await apply_pack(client, read_pack(ROOT / "packs" / "education", values))
    request = IssueKeyRequest(role="ROLE_SOURCE", source_id="school-app", title="faults")
    key = (await client.call(client.admin.IssueKey, request)).key
    return World(stack, receiver, client, Client(doors, stack.internal_key), Client(doors, key))


async def close_world(world: World) -> None:
    """Close the channels."""
    for client in (world.client, world.internal, world.source):
        await client.__aexit__(None, None, None)


def keep_seed(folder: Path, seed: int, blows: Sequence[str]) -> None:
    """Keep a seed that failed beside the others, so that it is run again."""
    with (folder / "failed_seeds.txt").open("a", encoding="utf-8") as file:
        file.write(f"{seed}  # {' '.join(blows)}\n")
