"""The reading side, and definitions: what the doors ask of this room."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from dataclasses import replace
from typing import Any

from services.chassis.messaging.stream import StreamMessage
from services.chassis.postgres.database import Database, acquire
from services.chassis.projection.runner import ProjectionRunner
from services.chassis.rpc.clients import IdentityClient, LogClient
from services.kernel.errors import InvalidField
from services.kernel.ids import ProfileId, WorkspaceId
from services.kernel.tokens import Token
from services.segment.codec import bus as wire
from services.segment.domain.model import Definition
from services.segment.history import said
from services.segment.store import postgres as store

WATCH_PAGE = 500
#: How long a watcher waits before it looks for what other replicas announced, seconds.
WATCH_PAUSE = 0.5
MAX_ID = 128
MAX_TITLE = 200


class SegmentQueries:
    """Reads of the live state; every one is bound to a workspace by its caller's key."""

    def __init__(
        self, database: Database, runner: ProjectionRunner, people: IdentityClient, log: LogClient
    ) -> None:
        self.people = people
        self._database = database
        self._runner = runner
        self._log = log

    async def token(self) -> Token:
        """The state that reads see now."""
        return await self._runner.token()

    async def reach(self, token: Token, timeout: float) -> Token:
        """Wait until the state includes `token`. Raises TokenNotReached."""
        return await self._runner.wait_for(token, timeout)

    async def define(self, asked: Definition, dry_run: bool) -> tuple[Definition, bool, Token]:
        """The definition as it stands then, whether it changed, and the token that includes it.

        Raises InvalidField, EtagMismatch.
        """
        check_id(asked.segment_id, "segment.segment_id")
        check_title(asked.title)
        present = await self._definition(asked.workspace_id, asked.segment_id)
        if present is not None and present.says_the_same(asked):
            return present, False, await self.token()
        changed = replace(asked, version=present.version + 1 if present else 1)
        if dry_run:
            return changed, True, await self.token()
        token = await self._log.define(
            changed.workspace_id,
            changed.segment_id,
            changed.version,
            wire.definition_message(changed),
        )
        return changed, True, token

    async def segments(self, workspace_id: WorkspaceId) -> list[tuple[Definition, int, bool]]:
        """The segments by id, each with its size and whether it is live."""
        async with acquire(self._database.pool) as conn:
            rows = await conn.fetch(store.Q.load_definitions)
            sizes = {
                r["segment_id"]: r["size"] for r in await conn.fetch(store.Q.sizes, workspace_id)
            }
            counts = await store.live_counts(conn)
        shards = len((await self.token()).offsets)
        found = [
            wire.definition(r["workspace_id"], r["message"])
            for r in rows
            if r["workspace_id"] == workspace_id
        ]
        return [(d, sizes.get(d.segment_id, 0), store.is_live(d, counts, shards)) for d in found]

    async def members(
        self, workspace_id: WorkspaceId, segment_id: str, after: bytes, size: int, as_of_us: int
    ) -> list[tuple[ProfileId, int]]:
        """Members after one, by profile id, with since when."""
        told: list[Any] = [workspace_id, segment_id, after, size]
        statement = store.Q.members
        if as_of_us:
            statement, told = store.Q.members_as_of, [*told, as_of_us]
        async with acquire(self._database.pool) as conn:
            rows = await conn.fetch(statement, *told)
        return [(row["profile_id"], row["since_us"]) for row in rows]

    async def memberships(
        self, workspace_id: WorkspaceId, profile_id: ProfileId
    ) -> tuple[frozenset[str], list[Any]]:
        """The segments of a profile now, and everything announced of it."""
        async with acquire(self._database.pool) as conn:
            found = await store.load_memberships(conn, [profile_id])
            history = await conn.fetch(store.Q.history_of_profile, workspace_id, profile_id)
        return found.get(profile_id, frozenset()), history

    async def watch(
        self, workspace_id: WorkspaceId, starts: Sequence[int]
    ) -> AsyncIterator[tuple[int, list[Any], int]]:
        """Announcements as they come: shard, rows, the sequence from which to go on."""
        following = await self._starts(starts)
        while True:
            idle = True
            for shard, sequence in enumerate(following):
                rows = await self._history_since(shard, sequence, workspace_id)
                if rows:
                    idle = False
                    following[shard] = rows[-1]["sequence"] + 1
                    yield shard, rows, following[shard]
            if idle:
                await asyncio.sleep(WATCH_PAUSE)

    def said(self, shard: int, first: int, until: int) -> AsyncGenerator[StreamMessage]:
        """What was said on the bus, however long ago."""
        return said(self._database.pool, shard, first, until)

    async def _starts(self, told: Sequence[int]) -> list[int]:
        shards = len((await self.token()).offsets)
        if told and len(told) != shards:
            raise InvalidField(
                f"from_sequences has one entry for each of the {shards} shards, or none",
                field="from_sequences",
            )
        if told:
            return list(told)
        async with acquire(self._database.pool) as conn:
            return [await conn.fetchval(store.Q.last_sequence, shard) for shard in range(shards)]

    async def _history_since(
        self, shard: int, sequence: int, workspace_id: WorkspaceId
    ) -> list[Any]:
        """Whole batches of announcements: a batch may be longer than a page."""
        async with acquire(self._database.pool) as conn:
            return await conn.fetch(
                store.Q.history_since, shard, sequence, workspace_id, WATCH_PAGE
            )

    async def _definition(self, workspace_id: WorkspaceId, segment_id: str) -> Definition | None:
        async with acquire(self._database.pool) as conn:
            row = await conn.fetchrow(store.Q.load_definition, workspace_id, segment_id)
        return wire.definition(workspace_id, row["message"]) if row else None


def check_id(segment_id: str, field: str) -> None:
    """Raises InvalidField where a text cannot be the id of a segment."""
    if not 0 < len(segment_id) <= MAX_ID or not segment_id.isprintable():
        raise InvalidField(f"segment_id has 1 to {MAX_ID} printable characters", field=field)


def check_title(title: str) -> None:
    """Raises InvalidField where a text for people is too long or holds NUL."""
    if len(title) > MAX_TITLE or "\0" in title:
        raise InvalidField(
            f"title has at most {MAX_TITLE} characters and no NUL", field="segment.title"
        )
