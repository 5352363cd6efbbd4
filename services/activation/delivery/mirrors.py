"""Keeps the mirrors of one destination equal to the members of its segments.

A change of a membership makes a profile due: its entries are derived from what it has now. What
changes makes entries due: they are written together, each until the receiver confirms it. Both are
leased, so that replicas share the work and a process that dies holds nothing up for long.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Mapping, Sequence, Set
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import msgspec
import structlog
from onefold.profile.v1 import profile_service_pb2 as profile_pb
from onefold.profile.v1.profile_service_pb2_grpc import ProfileServiceStub
from onefold.segment.v1 import segment_service_pb2 as segment_pb
from onefold.segment.v1.segment_service_pb2_grpc import SegmentServiceStub

from services.activation.channels.change import ChangedIdentifier, ChangedProfile
from services.activation.channels.mirrors import MirrorSender, MirrorWrite
from services.activation.codec.recipients import ids_of
from services.activation.delivery.metrics import DeliveryMetrics
from services.activation.delivery.queue_worker import QueueWorker
from services.activation.domain.channels import name_of
from services.activation.domain.journeys.catalogue import JourneyHistory
from services.activation.domain.mirrors import (
    MirrorEntry,
    after_write,
    assign,
    begin_write,
    is_member,
)
from services.activation.domain.model import Destination
from services.activation.domain.transitions import AttemptResult, AttemptStatus, RetryPolicy
from services.activation.store import mirrors as store
from services.activation.store.journeys import load_journeys
from services.chassis.access.principal import workspace_metadata
from services.chassis.postgres.database import Database, acquire, transaction
from services.chassis.rpc.channel import ServiceChannel
from services.chassis.runtime.backoff import Backoff
from services.kernel.errors import NotFound
from services.kernel.ids import ProfileId, WorkspaceId, from_hex, to_hex
from services.kernel.journeys.model import DropStep, JoinStep

#: Profiles of one step, and members of one page.
PROFILES, PAGE = 500, 1_000
#: Seconds after which a profile or an entry whose step gave no result is due again.
LEASE_S = 120.0
#: Seconds after which the entries of a member are derived again without a change of its
#: memberships: its identifiers and traits may have changed.
REFRESH_S = 86_400.0

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class MirrorContext:
    """The resources that all mirrors share."""

    database: Database
    profiles: ServiceChannel
    segments: ServiceChannel
    #: By the type of the destination's channel.
    senders: Mapping[type, MirrorSender]
    retry_policy: RetryPolicy
    #: The shards of the log.
    shards: int
    metrics: DeliveryMetrics


class MirrorWorker(QueueWorker):
    """Derives and writes the entries of one mirror."""

    def __init__(self, destination: Destination, context: MirrorContext) -> None:
        super().__init__(destination)
        self._context = context
        self._profiles: Any = ProfileServiceStub(context.profiles)
        self._segments: Any = SegmentServiceStub(context.segments)

    async def run(self) -> None:
        """Keep the mirror until stopped. Errors are logged and retried."""
        backoff = Backoff()
        while not self._is_stopping:
            self._wakeup.clear()
            try:
                busy = not self._destination.retired and await self.step()
                backoff.reset()
            except Exception as error:
                self._log.warning("mirror_delayed", error=type(error).__name__)
                await asyncio.sleep(backoff.next_s())
                continue
            if not busy:
                await self._wakeup.wait()

    async def step(self) -> bool:
        """Derive and write what is due, once; return whether there was anything."""
        destination = self._destination
        await self._load(destination)
        joined = await self._join()
        derived = await self._derive(destination)
        written = 0
        if _now() >= self._breaker.open_until:
            written = await self._write(destination)
        return bool(joined or derived or written)

    async def _load(self, destination: Destination) -> None:
        """Take in those who were members before the destination, once for each of its versions."""
        async with acquire(self._context.database.pool) as conn:
            loaded = await conn.fetchval(store.Q.loaded_version, *self._key) or 0
            if loaded >= destination.version:
                return
            version, shards = destination.version, self._context.shards
            # Changes that a shard has folded before the definition are members by now; those after
            # it are matched with it.
            if not await conn.fetchval(store.Q.is_defined_everywhere, *self._key, version, shards):
                return
        for segment_id in destination.segment_ids:
            await self._load_segment(segment_id)
        async with transaction(self._context.database.pool) as conn:
            await conn.execute(store.Q.derive_all, *self._key)
            await conn.execute(store.Q.save_loaded, *self._key, destination.version)
        self._log.info("mirror_loaded", version=destination.version)

    async def _load_segment(self, segment_id: str) -> None:
        """Take in the members of a segment, page by page in the order of their ids."""
        request = segment_pb.ListMembersRequest(segment_id=segment_id, page_size=PAGE)
        after = b""
        while True:
            async with acquire(self._context.database.pool) as conn:
                listed_s = await conn.fetchval(store.Q.now_s)
            try:
                page = await self._segments.ListMembers(request, metadata=self._metadata())
            except NotFound:  # it is not defined, or not yet: the changes that follow say the rest
                return
            members = [ProfileId(from_hex(each.profile_id)) for each in page.members]
            last = members[-1] if page.next_page_token else None
            async with transaction(self._context.database.pool) as conn:
                await store.save_page(
                    conn, self._key, segment_id, members, listed_s=listed_s, after=after, last=last
                )
            if last is None:
                return
            request.page_token, after = page.next_page_token, last

    async def _join(self) -> int:
        """Add and remove the persons for which runs of journeys ask; return how many there were."""
        async with transaction(self._context.database.pool) as conn:
            rows = await store.lock_joins(conn, self._key, PROFILES)
            if rows:
                histories = await load_journeys(conn, {self._key.workspace_id})
                await store.save_joins(conn, self._key, [(r, _joined(r, histories)) for r in rows])
        return len(rows)

    async def _derive(self, destination: Destination) -> int:
        """Derive the entries of profiles that are due; return how many there were."""
        async with transaction(self._context.database.pool) as conn:
            claimed = await store.claim_members(conn, self._key, PROFILES, LEASE_S)
        if not claimed:
            return 0
        members = {c.profile_id for c in claimed if is_member(c.memberships, destination)}
        targets = await self._targets(destination, members)
        versions = {each.profile_id: each.version for each in claimed}
        async with transaction(self._context.database.pool) as conn:
            locked = await store.lock_members(conn, self._key, versions)
            # One that has changed since is due again.
            current = [each for each in locked if each.version == versions[each.profile_id]]
            keys = {k for each in current for k in (*each.keys, *targets.get(each.profile_id, {}))}
            entries: dict[str, MirrorEntry] = await store.lock_entries(conn, self._key, keys)
            now_us = int(await conn.fetchval(store.Q.now_s) * 1e6)
            changed: dict[str, MirrorEntry | None] = {}
            for each in current:
                has = targets.get(each.profile_id, {})
                own = assign(each.profile_id, each.keys, has, entries, now_us)
                changed |= own
                for key, entry in own.items():
                    if entry is None:
                        entries.pop(key, None)
                    else:
                        entries[key] = entry
            await store.save_entries(conn, self._key, changed)
            saved = [
                (id_, targets.get(id_, {}), _refresh_s() if id_ in members else None)
                for id_ in (each.profile_id for each in current)
            ]
            await store.save_members(conn, self._key, saved)
        return len(claimed)

    async def _targets(
        self, destination: Destination, members: Set[ProfileId]
    ) -> dict[ProfileId, dict[str, bytes]]:
        """Return the entries that members have to have; one without a profile has none.

        A member that a run has added is a leaf.
        """
        if not members:
            return {}
        request = profile_pb.BatchGetProfilesRequest(profile_ids=sorted(map(to_hex, members)))
        response = await self._profiles.BatchGetProfiles(request, metadata=self._metadata())
        sender = self._context.senders[type(destination.channel)]
        found: dict[ProfileId, dict[str, bytes]] = {}
        for profile in response.profiles:
            entries = sender.entries(destination, _changed(profile, destination))
            found |= dict.fromkeys(members & ids_of(profile), entries)
        return found

    async def _write(self, destination: Destination) -> int:
        """Write entries that are due; return how many there were."""
        sender = self._context.senders[type(destination.channel)]
        async with transaction(self._context.database.pool) as conn:
            due = await store.lock_due_entries(conn, self._key, sender.limit)
            if not due:
                return 0
            now_s = await conn.fetchval(store.Q.now_s)
            begun = {key: begin_write(entry, now_s, LEASE_S) for key, entry in due.items()}
            await store.save_entries(conn, self._key, begun)
        writes = [MirrorWrite(e.key, e.wanted, e.version) for e in begun.values()]
        start = time.perf_counter()
        async with asyncio.timeout(LEASE_S / 2):
            results = await sender.write(destination, writes)
        self._context.metrics.count_writes(destination, results, time.perf_counter() - start)
        await self._save_results(writes, results)
        for result in set(results):
            if result.status is AttemptStatus.CREDENTIALS:
                self._log.warning("destination_paused", reason=result.reason)
            self._breaker = self._breaker.after_attempt(result, _now(), self._context.retry_policy)
        self._log.debug("mirror_written", channel=name_of(destination.channel), entries=len(due))
        return len(due)

    async def _save_results(
        self, writes: Sequence[MirrorWrite], results: Sequence[AttemptResult]
    ) -> None:
        async with transaction(self._context.database.pool) as conn:
            entries = await store.lock_entries(conn, self._key, [each.key for each in writes])
            now_s = await conn.fetchval(store.Q.now_s)
            changed = {
                write.key: after_write(
                    entries[write.key],
                    write.version,
                    result,
                    now_s,
                    self._context.retry_policy,
                    random.random(),  # noqa: S311 - spreads retries
                )
                for write, result in zip(writes, results, strict=True)
                if write.key in entries
            }
            await store.save_entries(conn, self._key, changed)

    def _metadata(self) -> tuple[tuple[str, str], ...]:
        return workspace_metadata(self._key.workspace_id)


def _joined(row: Any, histories: Mapping[tuple[WorkspaceId, str], JourneyHistory]) -> bool | None:
    """Return whether an effect adds its person; None = its step is not defined any more."""
    history = histories.get((row["workspace_id"], row["journey_id"]))
    step: object = None
    if history is not None:
        with suppress(LookupError):
            program = history.program(row["journey_version"])
            step = program.effects.get(row["step_id"])
    return isinstance(step, JoinStep) if isinstance(step, (JoinStep, DropStep)) else None


def _changed(profile: profile_pb.Profile, destination: Destination) -> ChangedProfile:
    return ChangedProfile(
        profile.profile_id,
        tuple(ChangedIdentifier(i.namespace, i.value) for i in profile.identifiers),
        {
            trait.name: msgspec.json.decode(trait.value)
            for trait in profile.traits
            if trait.name in destination.traits
        },
    )


def _refresh_s() -> float:
    return REFRESH_S * (0.75 + random.random() / 2)  # noqa: S311 - spreads the work


def _now() -> float:
    return time.monotonic()
