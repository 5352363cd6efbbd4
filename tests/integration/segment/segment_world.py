"""Segment's fold over real tables, driven as its workers drive it, and what must be true after."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import asyncpg
from onefold.log.v1.log_pb2 import Fact
from onefold.profile.v1.profile_stream_pb2 import ProfileChange, ProfilesChanged
from onefold.segment.v1.segment_stream_pb2 import MembershipChange, MembershipsChanged

from services.chassis.messaging.stream import StreamMessage
from services.chassis.projection.checkpoint import (
    acquire_fence,
    digests,
    load_checkpoint,
    make_batch,
    save_checkpoint,
)
from services.kernel.digest import MODULUS, to_hex
from services.kernel.ids import ProfileId, WorkspaceId
from services.kernel.rules.ids import predicate_id, predicates
from services.kernel.rules.json_form import parse_rule
from services.kernel.rules.model import Rule, TraitPredicate
from services.kernel.rules.values import Operator
from services.segment.codec import bus as wire
from services.segment.domain.model import Definition
from services.segment.projection.fold import SegmentApp, membership_share

W = WorkspaceId("school")
SHARDS = 2
BOUGHT: Rule = parse_rule({"count": {"event": "bought", "at_least": 1}})
VISITED: Rule = parse_rule({"count": {"event": "visited", "within": "7d", "at_least": 1}})
IDLE: Rule = parse_rule({"not": {"count": {"event": "visited", "within": "7d", "at_least": 1}}})
CITY: Rule = TraitPredicate("city", Operator.EQ, "x")
BOUGHT_ID, VISITED_ID, CITY_ID = (predicate_id(predicates(r)[0]) for r in (BOUGHT, VISITED, CITY))
ALL_IDS = (BOUGHT_ID, VISITED_ID, CITY_ID)


def profile(n: int) -> ProfileId:
    return ProfileId(hashlib.blake2b(str(n).encode(), digest_size=16).digest())


def stands(
    n: int, version: int, *holds: int, into: int | None = None, at_us: int = 0, workspace: str = W
) -> ProfileChange:
    return ProfileChange(
        workspace_id=workspace,
        profile_id=profile(n),
        version=version,
        true_predicates=sorted(holds),
        merged_into=b"" if into is None else profile(into),
        at_us=at_us,
    )


def defined(
    segment_id: str, rule: Rule, version: int = 1, retired: bool = False, workspace: str = W
) -> Fact:
    told = Definition(WorkspaceId(workspace), segment_id, version, "", rule, retired)
    message = wire.definition_message(told)
    return Fact(
        workspace_id=workspace, kind=wire.SEGMENT_DEFINED, payload=message.SerializeToString()
    )


@dataclass
class Works:
    """Workers of a segment service on one database; one app stands for one process."""

    pool: asyncpg.Pool
    shards: int = SHARDS
    apps: list[SegmentApp] = field(default_factory=list)
    said: dict[int, list[ProfilesChanged]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.apps = [SegmentApp(self.shards, on_access=lambda: None) for _ in range(self.shards)]

    def say(self, shard: int, *changes: ProfileChange, **fields: Any) -> None:
        """Profile says something on a shard; its clock goes on by one with each message."""
        line = self.said.setdefault(shard, [])
        at = len(line)
        plain: dict[str, Any] = {"shard": shard, "sequence": at, "log_offset": at + 1}
        for change in changes:
            change.at_us = change.at_us or at + 1
        told = plain | {"log_time_us": at + 1, "changes": changes} | fields
        if "backfilled_predicates" in told:
            told.setdefault("backfilled_workspace_id", W)
        line.append(ProfilesChanged(**told))

    def say_everywhere(self, **fields: Any) -> None:
        for shard in range(self.shards):
            self.say(shard, **fields)

    def live(self, *ids: int) -> None:
        self.say_everywhere(backfilled_predicates=ids or ALL_IDS)

    async def fold_all(self, size: int = 5) -> None:
        """The shards in turns, in batches of `size` messages, until nothing is left to do.

        As in life, time passes on every shard until the sweeps that others asked for are made.
        """
        while True:
            while any([await self.fold_some(shard, size) for shard in range(self.shards)]):
                pass
            if not await self.pool.fetchval("SELECT count(*) FROM sweep WHERE NOT done"):
                return
            self.say_everywhere()

    async def fold_some(self, shard: int, size: int) -> bool:
        """One batch of a shard, in as many transactions as it asks for."""
        async with self.pool.acquire() as conn:
            position = await load_checkpoint(conn, shard)
            assert position is not None
            messages = self._messages(shard, position.next, size)
            if not messages:
                return False
            until = messages[-1].next
            while position.next < until:
                left = tuple(m for m in messages if m.next > position.next)
                async with conn.transaction():
                    assert await acquire_fence(conn, position)
                    folded = await self.apps[shard].fold(conn, make_batch(position, left))
                    position = position.after(folded)
                    await save_checkpoint(conn, position, folded.outputs)
        return True

    def _messages(self, shard: int, first: int, size: int) -> tuple[StreamMessage, ...]:
        line = self.said.get(shard, [])[first : first + size]
        return tuple(StreamMessage(m.sequence, m.sequence + 1, m.SerializeToString()) for m in line)

    async def members(self, segment_id: str, workspace: str = W) -> set[bytes]:
        rows = await self.pool.fetch(
            "SELECT profile_id FROM membership WHERE workspace_id = $1 AND segment_id = $2",
            *(workspace, segment_id),
        )
        return {row["profile_id"] for row in rows}

    async def announced(self) -> list[MembershipChange]:
        """What was said on the bus, shard by shard."""
        rows = await self.pool.fetch("SELECT payload FROM outbox ORDER BY shard, first")
        told = [MembershipsChanged.FromString(row["payload"]) for row in rows]
        return [change for message in told for change in message.changes]

    async def check(self) -> None:
        """What holds whenever nothing is being folded."""
        rows = await self.pool.fetch("SELECT workspace_id, segment_id, profile_id FROM membership")
        now = {(r["segment_id"], r["profile_id"]) for r in rows}
        announced = await self.announced()
        assert rebuilt(announced) == now
        await self._check_digest(rows)
        await self._check_history(announced)
        await self._check_sequences()

    async def _check_digest(self, rows: Sequence[Any]) -> None:
        sums: dict[str, int] = {}
        for row in rows:
            share = membership_share(row["workspace_id"], row["segment_id"], row["profile_id"])
            sums[row["workspace_id"]] = (sums.get(row["workspace_id"], 0) + share) % MODULUS
        async with self.pool.acquire() as conn:
            assert await digests(conn) == {w: to_hex(s) for w, s in sums.items()}

    async def _check_history(self, announced: Sequence[MembershipChange]) -> None:
        rows = await self.pool.fetch("SELECT * FROM history ORDER BY shard, sequence, position")
        assert [wire.history_message(row) for row in rows] == list(announced)

    async def _check_sequences(self) -> None:
        rows = await self.pool.fetch("SELECT shard, first, next, payload FROM outbox ORDER BY 1, 2")
        at: dict[int, tuple[int, int, int]] = {}
        for row in rows:
            told = MembershipsChanged.FromString(row["payload"])
            sequence, offset, time_us = at.get(row["shard"], (0, 0, 0))
            assert (row["first"], row["next"], told.sequence) == (sequence, sequence + 1, sequence)
            assert told.log_offset >= offset
            assert told.log_time_us >= time_us
            at[row["shard"]] = (sequence + 1, told.log_offset, told.log_time_us)


def rebuilt(announced: Iterable[MembershipChange]) -> set[tuple[str, bytes]]:
    """The members, as a subscriber makes them out of announcements in any order of shards.

    Also checks what a subscriber may count on: ordinals without gaps, odd = entered, in time.
    """
    lines: dict[tuple[str, bytes], list[MembershipChange]] = {}
    for change in announced:
        lines.setdefault((change.segment_id, change.profile_id), []).append(change)
    for line in lines.values():
        line.sort(key=lambda c: c.ordinal)
        assert [c.ordinal for c in line] == list(range(1, len(line) + 1))
        assert all(c.entered == (c.ordinal % 2 == 1) for c in line)
        assert [c.at_us for c in line] == sorted(c.at_us for c in line)
    return {key for key, line in lines.items() if line[-1].entered}
