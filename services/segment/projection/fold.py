"""Load, decide, save: one batch of what profile said becomes entries and exits."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Any

import asyncpg

from services.chassis.access.tables import fold_access_facts
from services.chassis.messaging.stream import Batch, FoldResult, OutboxMessage
from services.chassis.projection.checkpoint import add_digest
from services.kernel.digest import MODULUS, row_digest
from services.kernel.errors import InvalidField
from services.kernel.rules.ids import predicate_id, predicates
from services.segment.codec import bus as wire
from services.segment.domain.membership import Rulebook, came_back, changes, mark_returns, newest
from services.segment.domain.model import Cause, Change, Standing
from services.segment.store import postgres as store

SWEEP_PAGE = 1_000
#: Changes, and the ordinal of each.
Numbered = tuple[list[Change], list[int]]


class SegmentApp:
    """The projection of this service.

    A fold takes in what is told in three turns, each a transaction of its own where it has work:
    definitions and live predicates; then the sweeps that these ask for, page by page; then the
    standings. So a token is reached only after the definitions before it are carried out.
    """

    def __init__(
        self,
        shards: int,
        *,
        on_access: Callable[[], None],
        on_announced: Callable[[float], None] = lambda _seconds: None,
    ) -> None:
        """`on_announced` is told, for every announcement that was saved, how many seconds lie
        between the log learning what led to it and now."""
        self._shards = shards
        self._on_access = on_access
        self._on_announced = on_announced
        #: By shard, the instants of what is announced in the transaction that is open.
        self._announcing: dict[int, list[int]] = {}
        self._rulebook: tuple[int, Rulebook] | None = None

    async def fold(self, conn: asyncpg.Connection, batch: Batch) -> FoldResult:
        """Fold one batch; see chassis.stream.Projection."""
        told = [wire.profiles_changed(m.payload) for m in batch.messages]
        if await self._define(conn, batch.shard, told):
            return _unconsumed(batch)
        sweep = await store.next_sweep(conn, batch.shard)
        if sweep is not None:
            return await self._sweep(conn, batch, sweep)
        standings = [wire.standing(change) for message in told for change in message.changes]
        found, numbers = await self._settle(conn, standings)
        facts = [fact for message in told for fact in message.broadcast_facts]
        if await fold_access_facts(conn, facts):
            self._on_access()
        last = told[-1]
        at = (batch.next, last.log_offset, last.log_time_us)
        return await self._announce(conn, batch, found, numbers, facts, *at)

    def saved(self, shard: int) -> None:
        """What a shard folded last can be seen now."""
        now = time.time()
        for at_us in self._announcing.pop(shard, ()):
            # A clock that was moved ahead makes no latency.
            if at_us <= now * 1e6:
                self._on_announced(now - at_us / 1e6)

    async def _define(self, conn: asyncpg.Connection, shard: int, told: Sequence[Any]) -> bool:
        """Take in definitions and live predicates; whether there was news that asks for sweeps."""
        if not any(m.backfilled_predicates or _definitions(m) for m in told):
            return False
        # One worker after another: of two that each bring the last thing that a segment waits for,
        # the second one must see what the first one brought.
        await conn.execute(store.Q.lock_revision)
        news = False
        for message in told:
            for fact in _definitions(message):
                news |= await self._take_definition(conn, shard, fact)
            if message.backfilled_predicates:
                news |= await self._take_live(conn, shard, message)
        if news:
            await conn.execute(store.Q.bump_revision)
        return news

    async def _take_definition(self, conn: asyncpg.Connection, shard: int, fact: Any) -> bool:
        try:
            definition = wire.definition(fact.workspace_id, fact.payload)
        except InvalidField:
            return False
        await store.keep_definition(conn, fact)
        asked = await conn.execute(
            store.Q.ask_sweep,
            shard,
            definition.workspace_id,
            definition.segment_id,
            definition.version,
        )
        return bool(asked.endswith(" 1"))

    async def _take_live(self, conn: asyncpg.Connection, shard: int, message: Any) -> bool:
        workspace_id, wanted = message.backfilled_workspace_id, set(message.backfilled_predicates)
        if not await store.save_live(conn, workspace_id, wanted, shard):
            return False
        counts = await store.live_counts(conn)
        for row in await conn.fetch(store.Q.load_definitions):
            definition = wire.definition(row["workspace_id"], row["message"])
            asked = {predicate_id(p) for p in predicates(definition.rule)}
            mine = row["workspace_id"] == workspace_id and asked & wanted
            if mine and store.is_live(definition, counts, self._shards):
                await self._ask_everywhere(conn, row)
        return True

    async def _ask_everywhere(self, conn: asyncpg.Connection, row: Any) -> None:
        for shard in range(self._shards):
            await conn.execute(
                store.Q.ask_again, shard, row["workspace_id"], row["segment_id"], row["version"]
            )

    async def _sweep(
        self, conn: asyncpg.Connection, batch: Batch, sweep: store.Sweep
    ) -> FoldResult:
        """One page of a sweep. It is announced also where nobody enters or leaves: so a sweep of
        many pages moves on, and takes no more locks at a time than one page has."""
        if not sweep.after:
            await store.join_sweeps(conn, batch.shard, sweep)
        page = await store.sweep_page(conn, batch.shard, sweep, SWEEP_PAGE)
        await store.lock(conn, page)
        standings = await store.load_standings(conn, page)
        found = await self._decide(conn, list(standings.values()), Cause.DEFINITION)
        found = [replace(c, at_us=max(c.at_us, batch.log_time_us)) for c in found]
        found, numbers = await self._save(conn, found)
        done = len(page) < SWEEP_PAGE
        await store.save_sweep(conn, batch.shard, sweep, page[-1] if page else b"", done)
        at = (batch.first, batch.log_offset, batch.log_time_us)
        return await self._announce(conn, batch, found, numbers, (), *at)

    async def _settle(self, conn: asyncpg.Connection, told: Sequence[Standing]) -> Numbered:
        """Keep newer standings and let their profiles enter and leave."""
        if not told:
            return [], []
        profiles = sorted({s.profile_id for s in told})
        await store.lock(conn, profiles)
        known = await store.load_standings(conn, profiles)
        newer = newest(told, known)
        if not newer:
            return [], []
        await store.save_standings(conn, newer, self._shards)
        found = await self._decide(conn, newer, Cause.RULE)
        parted = came_back(newer, known)
        if found and parted:
            found = mark_returns(found, parted, await store.last_causes(conn, found))
        return await self._save(conn, found)

    async def _decide(
        self, conn: asyncpg.Connection, standings: Sequence[Standing], cause: Cause
    ) -> list[Change]:
        rulebook = await self._current_rulebook(conn)
        heirs = {s.merged_into for s in standings if s.merged_into is not None}
        profiles = sorted({s.profile_id for s in standings} | heirs)
        present = await store.load_memberships(conn, profiles)
        return changes(standings, present, rulebook, cause)

    async def _current_rulebook(self, conn: asyncpg.Connection) -> Rulebook:
        """The rulebook as of now. Must be asked for under the locks of the profiles decided on:
        whoever changed a definition before has then been seen."""
        revision = await conn.fetchval(store.Q.load_revision)
        if self._rulebook is None or self._rulebook[0] != revision:
            self._rulebook = (revision, await store.load_rulebook(conn, self._shards))
        return self._rulebook[1]

    async def _save(self, conn: asyncpg.Connection, found: Sequence[Change]) -> Numbered:
        """Let profiles enter and leave; the changes as they are to be announced, and ordinals."""
        if not found:
            return [], []
        numbered, numbers = await store.number(conn, found)
        await store.save_changes(conn, numbered, self._shards)
        return numbered, numbers

    async def _announce(
        self,
        conn: asyncpg.Connection,
        batch: Batch,
        found: Sequence[Change],
        numbers: Sequence[int],
        facts: Sequence[Any],
        consumed_to: int,
        log_offset: int,
        log_time_us: int,
    ) -> FoldResult:
        self._announcing[batch.shard] = [change.at_us for change in found]
        await store.write_notices(conn, batch.shard, batch.next_output, facts)
        if found:
            await store.write_history(conn, batch.shard, batch.next_output, found, numbers)
            await add_digest(conn, batch.shard, digest_deltas(found))
        payload = wire.memberships_changed(
            batch.shard,
            batch.next_output,
            log_offset,
            log_time_us,
            map(wire.change_message, found, numbers),
            facts,
        )
        output = OutboxMessage(batch.next_output, batch.next_output + 1, payload)
        return FoldResult(consumed_to, log_offset, log_time_us, (output,))


def membership_share(workspace_id: str, segment_id: str, profile_id: bytes) -> int:
    """What one membership adds to the digest."""
    return row_digest("membership", workspace_id, segment_id, profile_id)


def digest_deltas(found: Iterable[Change]) -> dict[str, int]:
    """What these changes add to the digest of each workspace, modulo 2^128."""
    deltas: dict[str, int] = {}
    for change in found:
        share = membership_share(change.workspace_id, change.segment_id, change.profile_id)
        before = deltas.get(change.workspace_id, 0)
        deltas[change.workspace_id] = (before + (share if change.entered else -share)) % MODULUS
    return deltas


def _definitions(message: Any) -> list[Any]:
    return [fact for fact in message.broadcast_facts if fact.kind == wire.SEGMENT_DEFINED]


def _unconsumed(batch: Batch) -> FoldResult:
    return FoldResult(batch.first, batch.log_offset, batch.log_time_us)
