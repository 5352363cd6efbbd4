"""A running system of real processes from which persons are erased."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncpg
from faults.running_system import SETTINGS, retry
from onefold.identity.v1.identity_service_pb2 import RequestErasureRequest
from onefold.ingest.v1 import admin_service_pb2 as admin_pb
from onefold.ingest.v1.ingest_service_pb2 import IngestEventsRequest
from onefold.log.v1 import log_service_pb2 as log_pb
from onefold.profile.v1.profile_service_pb2 import GetProfileRequest
from onefold.projection.v1 import projection_service_pb2 as projection_pb
from onefold.type.v1 import event_pb2
from onefold.type.v1.errors_pb2 import ERROR_REASON_SUPPRESSED
from onefold.type.v1.identifier_pb2 import Identifier

from services import SERVICES
from services.cli.commands.packs import apply_pack
from services.cli.definitions import read_pack
from services.client.client import PROJECTIONS, ApiEndpoints, Client
from services.devstack.stack import Stack
from services.kernel.errors import NotFound, OnefoldError
from tests.planted_words import word
from tests.service_fixtures import wait_until

PACK = """
sources:
  - {id: app, title: App, channel: app, trust: server}
segments:
  - {id: fans, title: Fans, rule: {count: {event: viewed, at_least: 2}}}
journeys:
  - id: patience
    enter: {event: viewed, again: always}
    steps: [{wait: 30d}, {put: {tag: patient}}]
"""
#: The events for which journeys have waited.
AWAITED = "SELECT count(*) FROM activation.journey_fact"


@dataclass
class Person:
    """A person whose values all have a mark."""

    mark: str
    #: Whether later events of the person are refused once it is erased.
    block: bool = False
    #: Events that were acknowledged and not refused.
    accepted: int = 0
    sent: int = 0

    @property
    def user_id(self) -> Identifier:
        return Identifier(namespace="user_id", value=word(self.mark, "user"))

    def view(self) -> event_pb2.Event:
        """Return the next event of the person."""
        self.sent += 1
        mail = Identifier(namespace="email", value=f"{word(self.mark, 'mail')}@mail.example")
        return event_pb2.Event(
            type=event_pb2.EVENT_TYPE_TRACK,
            name="viewed",
            message_id=f"{self.mark}-{self.sent}",
            identifiers=[self.user_id, *([mail] if self.sent % 2 else [])],
            properties=json.dumps({"note": word(self.mark, self.sent)}).encode(),
        )

    def identify(self) -> event_pb2.Event:
        """Return the traits of the person."""
        traits = json.dumps({"name": word(self.mark, "name")}).encode()
        return event_pb2.Event(
            type=event_pb2.EVENT_TYPE_IDENTIFY,
            message_id=f"{self.mark}-traits",
            identifiers=[self.user_id],
            traits=traits,
        )


@dataclass
class ErasingSystem:
    """The system, and a client for each role."""

    stack: Stack
    admin: Client
    internal: Client
    source: Client
    source_key: str

    async def send(self, person: Person, event: event_pb2.Event) -> None:
        """Send an event of a person until it is acknowledged."""
        request = IngestEventsRequest(events=[event])
        response = await retry(self.source.ingest.IngestEvents, request)
        reasons = [each.reason for each in response.rejections]
        assert not reasons or (person.block and reasons == [ERROR_REASON_SUPPRESSED]), reasons
        person.accepted += not reasons

    async def view_often(self, person: Person, injected: Sequence[str], faults: int) -> None:
        """Send an event of a person at the beginning, and one after each fault that is injected."""
        for number in range(faults + 1):
            await wait_until(lambda least=number: len(injected) >= least)
            await self.send(person, person.view())

    async def request_erasure(self, person: Person) -> None:
        """Request the erasure of a person until the request is acknowledged.

        One whose acknowledgement was lost is requested a second time, or is erased already.
        """
        request = RequestErasureRequest(
            identifier=person.user_id, legal_ground=ground_of(person), block=person.block
        )
        try:
            await retry(self.admin.identity.RequestErasure, request)
        except NotFound:
            assert await self.erasures(person)

    async def erasures(self, person: Person) -> list[admin_pb.ErasureSummary]:
        """Return the erasures of a person."""
        listing = admin_pb.ListErasuresRequest(page_size=1_000)
        found = (await retry(self.admin.admin.ListErasures, listing)).erasures
        return [one for one in found if one.legal_ground == ground_of(person)]

    async def erased(self, person: Person) -> admin_pb.ErasureSummary:
        """Return the last erasure of a person, once every one is carried out."""

        async def all_erased() -> list[admin_pb.ErasureSummary]:
            found = await self.erasures(person)
            is_over = all(one.state == admin_pb.ERASURE_STATE_ERASED for one in found)
            return found if is_over else []

        return max(await wait_until(all_erased), key=lambda one: one.erased_at_us)

    async def catch_up(self) -> None:
        """Wait until every service has folded the log, and what follows from it."""
        for _ in range(3):
            ticked = await retry(self.internal.log.TickClock, log_pb.TickClockRequest())
            for service in PROJECTIONS:
                request = projection_pb.AwaitTokenRequest(token=ticked.token)
                await retry(self.internal.projection(service).AwaitToken, request)

    async def count_events(self, person: Person) -> int:
        """Return the number of events that the profile of a person counts."""
        request = GetProfileRequest(identifier=person.user_id)
        try:
            response = await retry_but(NotFound, self.admin.profile.GetProfile, request)
        except NotFound:
            return 0
        return int(response.profile.event_count)

    async def fetchval(self, statement: str) -> Any:
        """Return a value of the database."""
        conn = await asyncpg.connect(self.stack.postgres.superuser_dsn)
        try:
            return await conn.fetchval(statement)
        finally:
            await conn.close()


def ground_of(person: Person) -> str:
    """Return a legal ground by which the erasures of a person are found; it is never erased."""
    return f"GDPR 17(1)(b), request of {person.mark[::-1]}"


async def retry_but(error: type[OnefoldError], method: Any, request: Any) -> Any:
    """Call until the call succeeds, or fails with an error."""
    found: list[Any] = []

    async def called() -> bool:
        try:
            found.append(await method(request, timeout=20.0))
        except error as raised:
            found.append(raised)
        except OnefoldError:
            return False
        return True

    await wait_until(called)
    if isinstance(found[-1], error):
        raise found[-1]
    return found[-1]


@asynccontextmanager
async def erasing_system(folder: Path) -> AsyncIterator[ErasingSystem]:
    """Run the system over a folder."""
    (folder / "pack.yaml").write_text(PACK, encoding="utf-8")
    async with Stack(folder / "data", settings=SETTINGS) as stack:

        def client(key: str) -> Client:
            grpc = {service: stack.address(service) for service in SERVICES}
            return Client(ApiEndpoints(grpc=grpc, key=key))

        admin, internal = client(stack.admin_key), client(stack.internal_key)
        await apply_pack(admin, read_pack(folder / "pack.yaml", {}))
        request = admin_pb.IssueKeyRequest(role="ROLE_SOURCE", source_id="app", title="faults")
        key = (await admin.admin.IssueKey(request)).key
        source = client(key)
        try:
            yield ErasingSystem(stack, admin, internal, source, key)
        finally:
            for each in (admin, internal, source):
                await each.close()
