"""Kills processes while journeys send: whatever a channel promises, it holds.

A receiver that drops repeats by their key has each message once, a provider that can be queried
has sent each once, and one that can do neither has sent each at most once: what it may not have
sent is shown. Afterwards no run is stuck, and each decision follows from the log.
`./onefold test --faults N` runs N seeds; the whole suite runs two. With `--minutes 60` faults go on
for an hour besides.
"""

from __future__ import annotations

import asyncio
import json
import os
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from random import Random

import asyncpg
import pytest
from contract.channels.fakes import Fake, FakeAliyun, FakeTwilio, serving
from faults import outages
from faults.running_system import SETTINGS, kill_all, retry, save_failed_seed, seeds
from onefold.activation.v1 import journey_service_pb2 as pb
from onefold.activation.v1.activation_facts_pb2 import DeliveryState
from onefold.activation.v1.activation_service_pb2 import Delivery, ListDeliveriesRequest
from onefold.ingest.v1.admin_service_pb2 import IssueKeyRequest
from onefold.ingest.v1.ingest_service_pb2 import IngestEventsRequest
from onefold.type.v1 import event_pb2
from onefold.type.v1.identifier_pb2 import Identifier

from services import SERVICES
from services.cli.commands.development import FAULT_MINUTES
from services.cli.commands.packs import apply_pack
from services.cli.definitions import read_pack
from services.cli.demo.receiver import WebhookReceiver
from services.cli.health import load_problems
from services.client.api import pages
from services.client.client import ApiEndpoints, Client
from services.devstack.errors import ServerError
from services.devstack.process import is_alive, workers_in
from services.devstack.stack import Stack
from services.kernel.errors import OnefoldError
from tests.service_fixtures import wait_until

pytestmark = [pytest.mark.faults, pytest.mark.usefixtures("forked_services")]

FOLDER = Path(__file__).parent
PERSONS, SPREAD_S, FAULTS = 24, 3.0, 4
#: How long faults go on in the long test.
MINUTES = float(os.environ.get(FAULT_MINUTES, "0"))
#: No other test has the persons of these seeds.
FIRST_SEED_OF_LONG_FAULTS = 2_001
#: What is stopped for a while, as what journeys depend on.
FROZEN, FROZEN_S = ("identity", "profile", "segment", "nats"), 1.0
TARGETS = [*["activation"] * 4, *["ingest", "postgres"] * 2, *FROZEN]
PACK = """
sources:
  - {id: app, title: App, channel: app, trust: server}
contact_policy:
  purposes: {marketing: {consent: implied}}
templates:
  - id: hello
    locales: {en: {text: hello, provider_template: SMS_1}}
destinations:
  - {id: keyed, webhook: {url: "${COUPON_URL}", secret: "${COUPON_SECRET}"}}
  - id: queried
    aliyun_sms:
      {access_key_id: AKID, access_key_secret: "${SECRET}", sign_name: x, endpoint: "${QUERIED}"}
  - id: keyless
    twilio_sms:
      account_sid: AC1
      auth_token: "${SECRET}"
      sender: "+12025550123"
      status_callback: "https://x.example/{key}"
      endpoint: "${KEYLESS}"
journeys:
  - id: hello
    enter: {event: joined, again: never}
    steps:
      - wait: 1s
      - choose:
          - when: {trait: {name: vip, exists: true}}
            steps: [{put: {tag: greeted}}]
      - send: {id: first, to: keyed, template: hello}
      - send: {id: second, to: queried, template: hello}
      - send: {id: third, to: keyless, template: hello}
"""
State = DeliveryState
SENT = {State.DELIVERY_STATE_DELIVERED, State.DELIVERY_STATE_ACCEPTED}
OPEN = {
    State.DELIVERY_STATE_PENDING,
    State.DELIVERY_STATE_UNKNOWN,
    State.DELIVERY_STATE_PLANNED,
    State.DELIVERY_STATE_HELD,
}
#: Lets what waits for its time be due.
HURRY = "UPDATE activation.effect SET due_at = now() WHERE state = 1 AND run_id IS NOT NULL"
#: Ends the leases of attempts that have begun by now.
END_LEASES = """
UPDATE activation.effect SET due_at = now()
WHERE state = 2
  AND due_at < now() + CASE destination_id WHEN 'keyed' THEN 60 ELSE 120 END * interval '1 s'
"""


@dataclass
class Journeys:
    """A running system with a journey, and what its messages go to."""

    stack: Stack
    receiver: WebhookReceiver
    queried: Fake
    keyless: Fake
    client: Client
    internal: Client
    source: Client

    async def join(self, seed: int, number: int) -> None:
        """Send the event that begins the journey of a person, until it is acknowledged."""
        event = event_pb2.Event(
            type=event_pb2.EVENT_TYPE_TRACK,
            name="joined",
            message_id=f"{seed}-{number}",
            identifiers=[
                Identifier(namespace="user_id", value=f"{seed}-{number}"),
                Identifier(namespace="phone", value=phone(seed, number)),
            ],
            properties=json.dumps({"n": number}).encode(),
        )
        while True:
            try:
                request = IngestEventsRequest(events=[event])
                response = await self.source.ingest.IngestEvents(request, timeout=10.0)
            except OnefoldError:
                await asyncio.sleep(0.1)
                continue
            assert not response.rejections, response.rejections[0]
            return

    async def join_all(self, seed: int, random: Random) -> None:
        for number in range(PERSONS):
            await self.join(seed, number)
            await asyncio.sleep(random.uniform(0.0, 2 * SPREAD_S / PERSONS))

    async def kill(self, random: Random, injected: list[str]) -> None:
        """Kill processes at random moments, activation most often, or stop others for a while."""
        for _ in range(FAULTS):
            await asyncio.sleep(random.uniform(0.3, 1.7) * SPREAD_S / FAULTS)
            target = random.choice(TARGETS)
            injected.append(target)
            with suppress(ServerError):  # it is starting again, after an earlier fault
                await self._inject(target)

    async def _inject(self, target: str) -> None:
        stack = self.stack
        if target in FROZEN:
            async with outages.frozen(stack, target):
                await asyncio.sleep(FROZEN_S)
        elif target == "postgres":
            kill_all([stack.postgres.pid, *workers_in(stack.postgres.cluster)])
        else:
            kill_all([stack.services[target].pid])

    async def ended(self, number: int) -> list[Delivery]:
        """Return all messages of the journey once there are so many, and none is open."""
        found: list[Delivery] = []

        async def all_ended() -> bool:
            try:
                await self._execute(HURRY)
                found[:] = await self.deliveries()
            except (OnefoldError, asyncpg.PostgresError, OSError):
                return False
            return len(found) >= number and not any(each.state in OPEN for each in found)

        await wait_until(all_ended)
        return found

    async def end_leases(self) -> None:
        """End activation once more: no attempt of before goes on, so all leases can end."""
        urls = {name: self.stack.operations_url(name) for name in self.stack.endpoints()}

        async def are_ready() -> bool:
            return not await load_problems(urls)

        await wait_until(are_ready)
        pid = self.stack.services["activation"].pid
        kill_all([pid])
        await wait_until(lambda: not is_alive(pid))
        await self._execute(END_LEASES)
        await wait_until(are_ready)

    async def _execute(self, statement: str) -> None:
        conn = await asyncpg.connect(self.stack.postgres.superuser_dsn)
        try:
            await conn.execute(statement)
        finally:
            await conn.close()

    async def deliveries(self) -> list[Delivery]:
        request = ListDeliveriesRequest(page_size=1_000)
        return [
            delivery
            async for page in pages(self.client.activation.ListDeliveries, request)
            for delivery in page.deliveries
            if delivery.destination_id
        ]

    async def check(self, entered: int) -> None:
        """Check every promise, over all messages that there have ever been."""
        await self.end_leases()
        found = await self.ended(3 * entered)
        assert len({each.effect_id for each in found}) == len(found) == 3 * entered
        of = {name: [d for d in found if d.destination_id == name] for name in ROUTES}
        assert {len(own) for own in of.values()} == {entered}, "a person lacks a message"
        assert {each.state for each in of["keyed"] + of["queried"]} <= SENT
        assert {each.effect_id for each in of["keyed"]} == set(self.receiver.received)
        assert not self.receiver.forged
        assert not self.receiver.changed, "two messages have one key"
        once = Counter(key for key, _ in self.queried.taken)
        assert once == Counter(each.effect_id for each in of["queried"]), "each exactly once"
        taken = Counter(key for key, _ in self.keyless.taken)
        assert max(taken.values()) == 1, "a message was sent twice"
        sent = {each.effect_id for each in of["keyless"] if each.state in SENT}
        shown = {
            each.effect_id
            for each in of["keyless"]
            if each.state == State.DELIVERY_STATE_UNCONFIRMED
        }
        assert sent <= taken.keys() <= sent | shown, "what may be missing is shown"
        assert len(sent | shown) == entered
        await self.check_runs(entered)

    async def check_runs(self, entered: int) -> None:
        """Check that no run is stuck, and that each decision follows from the log."""
        journeys = self.client.journeys
        summary = await retry(
            journeys.SummarizeJourney, pb.SummarizeJourneyRequest(journey_id="hello")
        )
        assert summary.begun == sum(each.count for each in summary.ended) == entered
        audit = await retry(journeys.AuditRuns, pb.AuditRunsRequest())
        assert not audit.findings
        verify = partial(retry, journeys.VerifyRuns)
        verified = [page async for page in pages(verify, pb.VerifyRunsRequest(page_size=100))]
        assert sum(page.runs for page in verified) == entered
        assert not [each for page in verified for each in page.unjustified]


ROUTES = ("keyed", "queried", "keyless")


def phone(seed: int, number: int) -> str:
    return f"+86138{seed % 10_000:04}{number:04}"


@pytest.fixture(scope="module")
async def journeys(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Journeys]:
    folder = tmp_path_factory.mktemp("journeys")
    (folder / "pack.yaml").write_text(PACK, encoding="utf-8")
    queried: Fake = FakeAliyun({"access_key_secret": "key"})
    keyless: Fake = FakeTwilio({"auth_token": "key"})
    async with WebhookReceiver() as receiver, serving(queried), serving(keyless):
        targets = [f"127.0.0.1:{fake.port}" for fake in (queried, keyless)]
        (name, own), *_ = receiver.settings.items()
        settings = SETTINGS | {name: ",".join([own, *targets])}
        async with Stack(folder / "data", settings=settings) as stack:

            def client(key: str) -> Client:
                grpc = {service: stack.address(service) for service in SERVICES}
                return Client(ApiEndpoints(grpc=grpc, key=key))

            admin, internal = client(stack.admin_key), client(stack.internal_key)
            variables = {
                "COUPON_URL": receiver.url,
                "COUPON_SECRET": receiver.secret,
                "SECRET": "key",
                "QUERIED": queried.url,
                "KEYLESS": keyless.url,
            }
            await apply_pack(admin, read_pack(folder / "pack.yaml", variables))
            request = IssueKeyRequest(role="ROLE_SOURCE", source_id="app", title="faults")
            source = client((await admin.admin.IssueKey(request)).key)
            yield Journeys(stack, receiver, queried, keyless, admin, internal, source)
            for each in (admin, internal, source):
                await each.close()


@pytest.fixture(scope="module")
def entered() -> Counter[str]:
    """How many persons have entered, over all tests of the running system."""
    return Counter()


async def live_through_faults(journeys: Journeys, seed: int, injected: list[str]) -> None:
    """Let persons enter while processes are killed; the receivers lose some answers."""
    random = Random(seed)
    for fake in (journeys.queried, journeys.keyless):
        fake.script = random.choices(["accepted", "lost", "unanswered"], [8, 1, 1], k=PERSONS)
    async with asyncio.TaskGroup() as group:
        group.create_task(journeys.join_all(seed, random))
        group.create_task(journeys.kill(Random(seed), injected))


@pytest.mark.timeout(300)
@pytest.mark.parametrize("seed", seeds(FOLDER, 2))
async def test_killed_processes_send_what_each_channel_promises(
    seed: int, journeys: Journeys, entered: Counter[str]
) -> None:
    injected: list[str] = []
    try:
        await live_through_faults(journeys, seed, injected)
        entered["all"] += PERSONS
        await journeys.check(entered["all"])
    except BaseException:
        save_failed_seed(FOLDER, seed, injected)
        print(f"seed {seed} failed: {' '.join(injected)}")
        raise


@pytest.mark.timeout(7_200)
@pytest.mark.skipif(not MINUTES, reason="`./onefold test --faults N --minutes 60` runs it")
async def test_faults_that_go_on_for_long_leave_no_run_stuck(
    journeys: Journeys, entered: Counter[str]
) -> None:
    """T11: every run ends, though a dependency is killed or paused again and again."""
    ends, seed = time.monotonic() + 60 * MINUTES, FIRST_SEED_OF_LONG_FAULTS
    injected: list[str] = []
    while time.monotonic() < ends:
        await live_through_faults(journeys, seed, injected)
        entered["all"] += PERSONS
        seed += 1
    print(f"{seed - FIRST_SEED_OF_LONG_FAULTS} rounds, {len(injected)} faults")
    await journeys.check(entered["all"])
