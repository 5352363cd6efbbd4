"""The lives of Li, who is erased, and of Wang, who is named beside Li and loses nothing."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from random import Random
from typing import Any

import asyncpg
from integration.whole.lag import Lag, Shard
from integration.whole.whole_system import SHARDS, WholeSystem, identifier
from onefold.identity.v1.identity_service_pb2 import RequestErasureRequest
from onefold.ingest.v1 import admin_service_pb2 as admin_pb
from onefold.ingest.v1.ingest_service_pb2 import IngestEventsRequest
from onefold.log.v1.log_service_pb2 import TickClockRequest
from onefold.profile.v1.profile_service_pb2 import GetProfileRequest
from onefold.type.v1 import event_pb2
from planted_words import check_erased, word
from service_fixtures import wait_until

from services.cli.commands.packs import apply_pack
from services.cli.definitions import read_pack
from services.kernel.errors import NotFound

WANG, WANG_MAIL, SHARED = "user_id:wang", "email:wang@mail.example", "anonymous_id:shared"
STEPS = 8
PACK = """
identity_policy:
  namespaces:
    - {name: user_id, limit: 1}
    - {name: email, limit: 1}
    - {name: anonymous_id, shared_after: 1}
segments:
  - {id: fans, title: Fans, rule: {count: {event: viewed, at_least: 2}}}
journeys:
  - id: patience
    enter: {event: viewed, again: always}
    steps: [{wait: 30d}, {put: {tag: patient}}]
"""
#: What is published is deleted by its age, as its readers need it until then.
BY_AGE = {"outbox"}
#: The runs of a workspace, and the events for which its journeys have waited.
COUNTS = """
SELECT (SELECT count(*) FROM activation.run WHERE workspace_id = $1) AS runs,
    (SELECT count(*) FROM activation.journey_fact WHERE workspace_id = $1) AS events
"""


class ErasedLife:
    """Sends events of Li and Wang while services lag and Li is erased, and checks what is left."""

    def __init__(self, system: WholeSystem, lag: Lag, seed: int) -> None:
        self._system, self._lag, self._random = system, lag, Random(seed)
        self._mark = f"pl4nted{seed}q"
        self._li = [
            f"user_id:{word(self._mark, 'li')}",
            f"email:{word(self._mark, 'mail')}@mail.example",
            f"anonymous_id:{word(self._mark, 'device')}",
        ]
        self._block = seed % 2 == 1
        self._number = 0
        self._began_us = 0
        self._request_id = ""
        self.viewed_by_wang = 0

    async def begin(self, folder: Path) -> None:
        """Give Li and Wang a life together that every service has folded."""
        file = folder / "pack.yaml"
        file.write_text(PACK, encoding="utf-8")
        await apply_pack(self._system.admin, read_pack(file, {}))
        # What happened before a journey was defined begins no run.
        self._began_us = await self._system.now_us()
        for names in (self._li, [self._li[0], SHARED]):
            await self._view(names)
        for names in ([WANG, WANG_MAIL], [WANG, SHARED], [WANG, self._li[1]]):
            await self._view(names)
        traits = json.dumps({"name": word(self._mark, "name")}).encode()
        await self._send(event_pb2.EVENT_TYPE_IDENTIFY, self._li[:1], traits=traits)
        await self._send(event_pb2.EVENT_TYPE_GROUP, self._li[:1], group_id="acme")
        refused = await self._send(event_pb2.EVENT_TYPE_TRACK, self._li[:2])
        assert refused.rejections
        await self._system.drain()

    async def go_on(self) -> None:
        """Let services lag, and events arrive, before, while and after Li is erased."""
        random, begins = self._random, self._random.randrange(STEPS // 2)
        for step in range(STEPS):
            await self._lag.change(random)
            if step == begins:
                await self._request()
            for _ in range(random.randrange(3)):
                await self._view([self._li[0], *random.sample(self._li[1:], random.randrange(3))])
            await self._view([WANG, *random.sample([WANG_MAIL, SHARED], random.randrange(3))])
            if self._request_id and random.random() < 0.5:
                await self._erased()
            if random.random() < 0.5:
                await self._lag.catch_up(self._system)
        await self._lag.let_all_go()

    async def check(self, dsn: str) -> admin_pb.ErasureSummary:
        """Check what is left of both."""
        summary = await self._erased()
        await self._system.drain()
        alive = await check_erased(dsn, self._mark, summary.token.offsets, BY_AGE)
        assert not (self._block and alive), "a blocked person has a new life"
        assert await self._count_events(WANG) == self.viewed_by_wang
        assert await self._count_events(self._li[0]) == len(alive)
        wang, li = await self._system.profiles(WANG, self._li[0])
        assert await self._system.members("fans") == {wang, *([li] if len(alive) > 1 else [])}
        await self._check_activation(dsn, 1 + bool(alive), self.viewed_by_wang + len(alive))
        return summary

    async def _check_activation(self, dsn: str, runs: int, events: int) -> None:
        """Wait until journeys have so many runs, which begin by events that are folded."""
        conn = await asyncpg.connect(dsn)
        try:

            async def are_counted() -> bool:
                counts = await conn.fetchrow(COUNTS, self._system.workspace_id)
                return tuple(counts) == (runs, events)

            await wait_until(are_counted)
        finally:
            await conn.close()

    async def _view(self, names: Iterable[str]) -> None:
        names = list(names)
        self._number += 1
        mark = {} if names[0] == WANG else {"note": word(self._mark, self._number)}
        properties = json.dumps(mark).encode()
        response = await self._send(
            event_pb2.EVENT_TYPE_TRACK, names, name="viewed", properties=properties
        )
        self.viewed_by_wang += names[0] == WANG
        assert response.accepted or (self._block and names[0] != WANG), response

    async def _send(self, kind: Any, names: Iterable[str], **fields: Any) -> Any:
        self._number += 1
        event = event_pb2.Event(
            type=kind,
            message_id=f"m-{self._number}",
            identifiers=[identifier(one) for one in names],
            # Each has a time of its own, as the earlier of two links decides.
            occurred_at_us=self._began_us + self._number,
            **fields,
        )
        return await self._system.source.ingest.IngestEvents(IngestEventsRequest(events=[event]))

    async def _request(self) -> None:
        for number in range(SHARDS):
            # The request waits until identity has folded the log.
            await self._lag.let_go(Shard("identity", number))
        request = RequestErasureRequest(
            identifier=identifier(self._li[0]), legal_ground="GDPR 17(1)(b)", block=self._block
        )
        requested = await self._system.admin.identity.RequestErasure(request)
        self._request_id = requested.request_id

    async def _erased(self) -> admin_pb.ErasureSummary:
        """Return the erasure once the log has nothing of Li."""

        async def found() -> list[admin_pb.ErasureSummary]:
            await self._system.internal.log.TickClock(TickClockRequest())
            listing = admin_pb.ListErasuresRequest(request_id=self._request_id)
            erasures = (await self._system.admin.admin.ListErasures(listing)).erasures
            return [one for one in erasures if one.state == admin_pb.ERASURE_STATE_ERASED]

        [summary] = await wait_until(found)
        return summary

    async def _count_events(self, name: str) -> int:
        request = GetProfileRequest(identifier=identifier(name))
        try:
            response = await self._system.service.profile.GetProfile(request)
        except NotFound:
            return 0
        return int(response.profile.event_count)
