"""Drives segment's projection over real tables like its workers do, and checks its invariants."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import asyncpg
from onefold.log.v1.log_pb2 import Fact
from onefold.profile.v1.profile_stream_pb2 import ProfileChange, ProfilesChanged
from onefold.segment.v1.segment_stream_pb2 import MembershipChange, MembershipsChanged

from services.chassis.codec.named_rules import SEGMENT_DEFINED
from services.chassis.messaging.stream import StreamMessage
from services.chassis.projection.backfill import run_step
from services.chassis.projection.checkpoint import (
    Checkpoint,
    acquire_fence,
    digests,
    load_checkpoint,
    make_batch,
    save_checkpoint,
)
from services.kernel.digest import MODULUS, to_hex
from services.kernel.errors import ServiceUnavailable
from services.kernel.ids import ProfileId, WorkspaceId
from services.kernel.rules.forms.json_form import parse_rule
from services.kernel.rules.ids import predicate_id, predicates
from services.kernel.rules.model import Rule
from services.kernel.rules.values import Operator
from services.segment.codec.bus import change_to_proto
from services.segment.codec.definitions import definition_to_proto
from services.segment.domain.model import SegmentDefinition
from services.segment.projection.changes import membership_digest
from services.segment.projection.fold import SegmentProjection
from services.segment.store.memberships import change_from_row
from tests.rule_builders import trait_is

W = WorkspaceId("school")
SHARDS = 2
BOUGHT: Rule = parse_rule({"count": {"event": "bought", "at_least": 1}})
VISITED: Rule = parse_rule({"count": {"event": "visited", "within": "7d", "at_least": 1}})
IDLE: Rule = parse_rule({"not": {"count": {"event": "visited", "within": "7d", "at_least": 1}}})
CITY: Rule = trait_is("city", Operator.EQ, "x")
BOUGHT_ID, VISITED_ID, CITY_ID = (predicate_id(predicates(r)[0]) for r in (BOUGHT, VISITED, CITY))
ALL_IDS = (BOUGHT_ID, VISITED_ID, CITY_ID)


def profile(n: int) -> ProfileId:
    return ProfileId(hashlib.blake2b(str(n).encode(), digest_size=16).digest())


def evaluated(
    n: int,
    version: int,
    *true_predicates: int,
    into: int | None = None,
    changed_at_us: int = 0,
    occurred_at_us: int | None = None,
    workspace: str = W,
) -> ProfileChange:
    return ProfileChange(
        workspace_id=workspace,
        profile_id=profile(n),
        version=version,
        true_predicates=sorted(true_predicates),
        merged_into=b"" if into is None else profile(into),
        changed_at_us=changed_at_us,
        occurred_at_us=occurred_at_us,
    )


def defined(
    segment_id: str, rule: Rule, version: int = 1, retired: bool = False, workspace: str = W
) -> Fact:
    definition = SegmentDefinition(WorkspaceId(workspace), segment_id, version, "", rule, retired)
    payload = definition_to_proto(definition).SerializeToString()
    return Fact(workspace_id=workspace, kind=SEGMENT_DEFINED, payload=payload)


def next_message(
    shard: int, earlier: Sequence[ProfilesChanged], *changes: ProfileChange, **fields: Any
) -> ProfilesChanged:
    """Return profile's next message of a shard; each is one fact further in the log."""
    at = len(earlier)
    plain: dict[str, Any] = {
        "shard": shard,
        "sequence": at,
        "log_offset": at + 1,
        "log_time_us": 1_000 * (at + 1),
        "changes": changes,
    }
    for change in changes:
        change.changed_at_us = change.changed_at_us or plain["log_time_us"]
    if "backfilled_predicates" in fields:
        fields.setdefault("backfilled_workspace_id", W)
    return ProfilesChanged(**plain | fields)


@dataclass
class SegmentWorkers:
    """Workers of a segment service on one database; each projection acts as one process."""

    pool: asyncpg.Pool
    shards: int = SHARDS
    #: The most profiles that one step of a sweep evaluates.
    rows_per_step: int = 500
    projections: list[SegmentProjection] = field(default_factory=list)
    #: Profile's messages by shard.
    published: dict[int, list[ProfilesChanged]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.projections = [
            SegmentProjection(self.shards, on_access=lambda: None) for _ in range(self.shards)
        ]

    def publish(self, shard: int, *changes: ProfileChange, **fields: Any) -> None:
        """Publish a message of profile on a shard."""
        messages = self.published.setdefault(shard, [])
        messages.append(next_message(shard, messages, *changes, **fields))

    def publish_everywhere(self, **fields: Any) -> None:
        for shard in range(self.shards):
            self.publish(shard, **fields)

    def backfilled(self, *ids: int) -> None:
        """Publish on every shard that predicates are backfilled."""
        self.publish_everywhere(backfilled_predicates=ids or ALL_IDS)

    async def fold_all(self, size: int = 5) -> None:
        """Fold all shards in turns, in batches of `size` messages, until all are folded."""
        while any([await self.fold_some(shard, size) for shard in range(self.shards)]):
            pass

    async def fold_some(self, shard: int, size: int) -> bool:
        """Run the backfills of a shard and fold one batch; return whether there was any work."""
        async with self.pool.acquire() as conn:
            at = await load_checkpoint(conn, shard)
            assert at is not None
            after = await self._run_backfills(conn, at)
            messages = self.messages(shard, after.next, size)
            while messages:
                after = await self.fold_once(conn, after, messages)
                messages = tuple(m for m in messages if m.next > after.next)
                after = await self._run_backfills(conn, after)
        return after != at

    async def fold_once(
        self, conn: asyncpg.Connection, at: Checkpoint, messages: tuple[StreamMessage, ...]
    ) -> Checkpoint:
        """Fold messages in one transaction."""
        async with conn.transaction():
            assert await acquire_fence(conn, at)
            folded = await self.projections[at.shard].fold(conn, make_batch(at, messages))
            after = at.after(folded)
            saved, _ = await save_checkpoint(conn, after, folded.outputs, folded.deltas)
        return saved

    async def _run_backfills(self, conn: asyncpg.Connection, at: Checkpoint) -> Checkpoint:
        while (after := await self.backfill_once(conn, at)) is not None:
            at = after
        return at

    async def backfill_once(self, conn: asyncpg.Connection, at: Checkpoint) -> Checkpoint | None:
        """Run one backfill step in a transaction; return None where there is no job."""
        while True:
            # A job that was requested again during its last step makes that step again.
            with suppress(ServiceUnavailable):
                async with conn.transaction():
                    assert await acquire_fence(conn, at)
                    step = run_step(conn, self.projections[at.shard], at, most=self.rows_per_step)
                    ran = await step
                return None if ran is None else ran[1]

    def messages(self, shard: int, first: int, size: int) -> tuple[StreamMessage, ...]:
        published = self.published.get(shard, [])[first : first + size]
        return tuple(
            StreamMessage(m.sequence, m.sequence + 1, m.SerializeToString()) for m in published
        )

    async def members(self, segment_id: str, workspace: str = W) -> set[bytes]:
        rows = await self.pool.fetch(
            "SELECT profile_id FROM membership WHERE workspace_id = $1 AND segment_id = $2",
            workspace,
            segment_id,
        )
        return {row["profile_id"] for row in rows}

    async def outputs(self) -> list[MembershipsChanged]:
        """Return the published messages, shard by shard."""
        rows = await self.pool.fetch("SELECT payload FROM outbox ORDER BY shard, first")
        return [MembershipsChanged.FromString(row["payload"]) for row in rows]

    async def changes(self) -> list[MembershipChange]:
        """Return the published changes, shard by shard."""
        return [change for output in await self.outputs() for change in output.changes]

    async def check(self) -> None:
        """Check the invariants that hold while no shard is folding."""
        rows = await self.pool.fetch("SELECT workspace_id, segment_id, profile_id FROM membership")
        current = {(r["segment_id"], r["profile_id"]) for r in rows}
        changes = await self.changes()
        assert members_from(changes) == current
        await self._check_digest(rows)
        await self._check_history(changes)
        await self._check_outbox()

    async def _check_digest(self, rows: Sequence[Any]) -> None:
        sums: dict[str, int] = {}
        for row in rows:
            share = membership_digest(row["workspace_id"], row["segment_id"], row["profile_id"])
            sums[row["workspace_id"]] = (sums.get(row["workspace_id"], 0) + share) % MODULUS
        async with self.pool.acquire() as conn:
            assert await digests(conn) == {w: to_hex(s) for w, s in sums.items()}

    async def _check_history(self, changes: Sequence[MembershipChange]) -> None:
        rows = await self.pool.fetch("SELECT * FROM history ORDER BY shard, sequence, position")
        assert [change_to_proto(change_from_row(row)) for row in rows] == list(changes)

    async def _check_outbox(self) -> None:
        """Check that outputs have no gaps, and state nothing beyond the checkpoint."""
        rows = await self.pool.fetch("SELECT shard, first, next, payload FROM outbox ORDER BY 1, 2")
        for shard in range(self.shards):
            outputs = [row for row in rows if row["shard"] == shard]
            messages = [MembershipsChanged.FromString(row["payload"]) for row in outputs]
            assert [(row["first"], row["next"]) for row in outputs] == [
                (n, n + 1) for n in range(len(outputs))
            ]
            assert [message.sequence for message in messages] == list(range(len(outputs)))
            times = [message.log_time_us for message in messages]
            assert times == sorted(times)
            async with self.pool.acquire() as conn:
                at = await load_checkpoint(conn, shard)
            assert at is not None
            assert max((message.log_offset for message in messages), default=0) <= at.log_offset
            assert len(outputs) == at.next_output


def members_from(changes: Iterable[MembershipChange]) -> set[tuple[str, bytes]]:
    """Return the members that a consumer derives from changes of the shards in any order.

    Check what a consumer relies on: ordinals without gaps, odd = entered, in time order.
    """
    by_membership: dict[tuple[str, bytes], list[MembershipChange]] = {}
    for change in changes:
        by_membership.setdefault((change.segment_id, change.profile_id), []).append(change)
    for own in by_membership.values():
        own.sort(key=lambda c: c.ordinal)
        assert [c.ordinal for c in own] == list(range(1, len(own) + 1))
        assert all(c.entered == (c.ordinal % 2 == 1) for c in own)
        assert [c.changed_at_us for c in own] == sorted(c.changed_at_us for c in own)
    return {key for key, own in by_membership.items() if own[-1].entered}
