"""Runs a whole system of real processes, loads it, and injects faults."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any, TypeVar

from onefold.activation.v1.activation_facts_pb2 import (
    DELIVERY_STATE_PENDING,
    DELIVERY_STATE_UNKNOWN,
)
from onefold.activation.v1.activation_service_pb2 import ListDeliveriesRequest
from onefold.activation.v1.journeys_pb2 import Journey
from onefold.ingest.v1.admin_service_pb2 import IssueKeyRequest
from onefold.ingest.v1.ingest_service_pb2 import IngestEventsRequest
from onefold.log.v1 import log_service_pb2 as log_pb
from onefold.projection.v1 import projection_service_pb2 as projection_pb
from onefold.segment.v1.segment_service_pb2 import ListMembersRequest
from onefold.type.v1 import event_pb2

from services import SERVICES
from services.cli.commands.development import FAULT_SEEDS
from services.cli.commands.packs import apply_pack
from services.cli.commands.rebuild import REBUILT
from services.cli.definitions import read_pack
from services.cli.demo.clients import to_message
from services.cli.demo.dataset import VisitorEvent
from services.cli.demo.receiver import WebhookReceiver
from services.client.api import Unary, pages
from services.client.client import PROJECTIONS, ApiEndpoints, Client
from services.devstack.folders import ROOT
from services.devstack.process import is_alive, workers_in
from services.devstack.stack import Stack
from services.kernel.errors import OnefoldError
from services.kernel.time import DAY_US
from tests.index_key import INDEX_KEY_TEXT

BATCH, SENDERS = 50, 4
#: In the folder of the tests that failed.
FAILED_SEEDS = "failed_seeds.txt"
SETTINGS = {
    "ONEFOLD_CLOCK_ADVANCE": "allowed",
    "ONEFOLD_TICK_INTERVAL_S": "0.5",
    # The digests of two systems are equal only if their ids are derived with one key.
    "ONEFOLD_INDEX_KEY": INDEX_KEY_TEXT,
}
EVENT_KIND = event_pb2.Event.DESCRIPTOR.full_name
#: How long everything may take to recover after the last fault, seconds.
RECOVERY_S = 300.0
_IN_PROGRESS = (DELIVERY_STATE_PENDING, DELIVERY_STATE_UNKNOWN)
_Request = TypeVar("_Request")
_Response = TypeVar("_Response")


@dataclass(slots=True)
class RunningSystem:
    """A running stack with the education pack and the key of one source."""

    stack: Stack
    receiver: WebhookReceiver
    client: Client
    internal: Client
    source: Client
    #: Message ids of acknowledged events.
    acknowledged: set[str] = field(default_factory=set)

    async def send(self, events: Sequence[VisitorEvent], random: Random, spread_s: float) -> None:
        """Send batches from four senders within about `spread_s`, each until acknowledged."""
        batches: asyncio.Queue[Sequence[VisitorEvent]] = asyncio.Queue()
        for start in range(0, len(events), BATCH):
            batches.put_nowait(events[start : start + BATCH])
        pause = spread_s * SENDERS / max(1, batches.qsize())

        async def sender() -> None:
            while not batches.empty():
                await self._send_batch(batches.get_nowait())
                await asyncio.sleep(pause * random.uniform(0.5, 1.5))

        async with asyncio.TaskGroup() as group:
            for _ in range(SENDERS):
                group.create_task(sender())

    async def _send_batch(self, batch: Sequence[VisitorEvent]) -> None:
        request = IngestEventsRequest(events=map(to_message, batch))
        while True:
            try:
                response = await self.source.ingest.IngestEvents(request, timeout=10.0)
            except OnefoldError:
                await asyncio.sleep(0.1)
                continue
            assert not response.rejections, response.rejections[0]
            self.acknowledged.update(event.message_id for event in batch)
            return

    async def drain(self) -> None:
        """Let all windows expire, and wait until every service has folded the whole log."""
        await self.advance_clock(40 * DAY_US)

    async def advance_clock(self, span_us: int) -> None:
        """Move the clock, and wait until every service has folded that tick."""
        tick = self.internal.log.TickClock
        await retry(tick, log_pb.TickClockRequest(advance_us=span_us))
        for _ in range(2):
            ticked = await retry(tick, log_pb.TickClockRequest())
            for service in PROJECTIONS:
                request = projection_pb.AwaitTokenRequest(token=ticked.token)
                await retry(self.internal.projection(service).AwaitToken, request)

    async def members(self, segment_id: str) -> list[str]:
        """Return the profile ids of a segment's members, at most 1,000."""
        request = ListMembersRequest(segment_id=segment_id, page_size=1_000)
        response = await retry(self.client.segment.ListMembers, request)
        return [member.profile_id for member in response.members]

    async def logged_message_ids(self) -> list[str]:
        """Return the message id of every event in the log, repeats included."""
        head = await retry(self.internal.log.GetHead, log_pb.GetHeadRequest())
        found: list[str] = []
        for shard, end in enumerate(head.token.offsets):
            request = log_pb.ReadRequest(shard=shard, end_offset=end, kinds=[EVENT_KIND])
            async for response in self.internal.log.Read(request):
                found += [
                    event_pb2.Event.FromString(fact.payload).message_id
                    for fact in response.batch.facts
                ]
        return found

    async def digests(self) -> dict[str, dict[str, str]]:
        """Return the digests by projection and workspace."""
        found = {}
        for service in REBUILT:
            get_digest = self.internal.projection(service).GetDigest
            response = await retry(get_digest, projection_pb.GetDigestRequest())
            found[service] = dict(response.digests)
        return found

    async def final_deliveries(self) -> dict[str, int]:
        """Return the state of each effect of a membership by its id, once none is in progress.

        Those of the journeys of the pack go to files, and are left out.
        """
        async with asyncio.timeout(RECOVERY_S):
            while True:
                effects = await self._effects()
                if not any(effect.state in _IN_PROGRESS for effect in effects):
                    return {effect.effect_id: effect.state for effect in effects}
                await asyncio.sleep(0.2)

    async def _effects(self) -> list[Any]:
        request = ListDeliveriesRequest(page_size=1_000)
        return [
            delivery
            async for page in pages(self.client.activation.ListDeliveries, request)
            for delivery in page.deliveries
            if delivery.segment_id
        ]


async def retry(method: Unary[_Request, _Response], request: _Request) -> _Response:
    """Call until the call succeeds. Raises the last error where none does within RECOVERY_S."""
    ends_at = asyncio.get_running_loop().time() + RECOVERY_S
    while True:
        try:
            return await method(request, timeout=20.0)
        except OnefoldError:
            if asyncio.get_running_loop().time() > ends_at:
                raise
        await asyncio.sleep(0.2)


#: What is killed, or wiped.
TARGETS = (*SERVICES, "postgres", "backend", "nats", "wipe")


class FaultInjector:
    """Injects faults at random moments; the same seed injects the same faults.

    No target comes a second time before each of the others.
    """

    def __init__(self, stack: Stack, seed: int) -> None:
        self._stack = stack
        self._random = Random(seed)
        #: The faults injected so far, to be reported with a failing seed.
        self.injected: list[str] = []

    async def run(self, faults: int, spread_s: float) -> None:
        """Inject faults at random moments within about `spread_s`."""
        targets: list[str] = []
        for _ in range(faults):
            await asyncio.sleep(self._random.uniform(0.3, 1.7) * spread_s / faults)
            targets = targets or self._random.sample(TARGETS, len(TARGETS))
            await self._inject(targets.pop())

    async def _inject(self, target: str) -> None:
        self.injected.append(target)
        stack = self._stack
        if target in SERVICES:
            kill_all([stack.services[target].pid])
        elif target == "postgres":
            kill_all([stack.postgres.pid, *workers_in(stack.postgres.cluster)])
        elif target == "backend":
            backends = [p for p in workers_in(stack.postgres.cluster) if p != stack.postgres.pid]
            kill_all([self._random.choice(backends)] if backends else [])
        elif target == "nats":
            kill_all([stack.nats.pid])
        else:
            await stack.nats.wipe()


def kill_all(pids: Sequence[int]) -> None:
    """Kill processes with SIGKILL; those that have ended are passed over."""
    for pid in pids:
        if is_alive(pid):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


async def open_system(
    stack: Stack, receiver: WebhookReceiver, *, with_tasks: bool = False
) -> RunningSystem:
    """Define the education pack and issue a key over a stack that has just started.

    Tasks of journeys are facts of persons, whose times are those at which the runs come to them, so
    no two systems have the same: those whose digests are compared are without them.
    """

    def client(key: str) -> Client:
        return Client(ApiEndpoints(grpc={s: stack.address(s) for s in SERVICES}, key=key))

    admin = client(stack.admin_key)
    variables = {"COUPON_URL": receiver.url, "COUPON_SECRET": receiver.secret}
    pack = read_pack(ROOT / "packs" / "education", variables)
    if not with_tasks:
        for journey in pack.journeys:
            leave_out_tasks(journey)
    await apply_pack(admin, pack)
    request = IssueKeyRequest(role="ROLE_SOURCE", source_id="school-app", title="faults")
    key = (await admin.admin.IssueKey(request)).key
    return RunningSystem(stack, receiver, admin, client(stack.internal_key), client(key))


def leave_out_tasks(journey: Journey) -> None:
    """Take the steps of a journey that open and close tasks out of it."""
    for steps in (journey.steps, journey.on_goal):
        others = [step for step in steps if step.WhichOneof("kind") not in ("task", "close")]
        del steps[:]
        steps.extend(others)


async def close_system(system: RunningSystem) -> None:
    """Close the channels."""
    for client in (system.client, system.internal, system.source):
        await client.close()


def seeds(folder: Path, default: int) -> list[int]:
    """Return the seeds that failed before, then the requested number of new ones."""
    saved = folder / FAILED_SEEDS
    failed = (
        [int(line.split()[0]) for line in saved.read_text().splitlines()] if saved.exists() else []
    )
    count = int(os.environ.get(FAULT_SEEDS, default))
    return [*dict.fromkeys(failed), *range(1, count + 1)]


def save_failed_seed(folder: Path, seed: int, faults: Sequence[str]) -> None:
    """Append a failed seed to a file, from which it is run again."""
    with (folder / FAILED_SEEDS).open("a", encoding="utf-8") as file:
        file.write(f"{seed}  # {' '.join(faults)}\n")
