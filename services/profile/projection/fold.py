"""Load, decide, save: one batch of what identity said becomes leaves, standings and changes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import asyncpg
import structlog

from services.chassis.access.tables import fold_access_facts
from services.chassis.messaging.stream import Batch, FoldResult
from services.chassis.projection.checkpoint import add_digest
from services.kernel.errors import RetryableError
from services.profile.codec import bus as wire
from services.profile.codec.bus import Heard, Said
from services.profile.domain.assignments import newest
from services.profile.domain.decisions import Decided
from services.profile.domain.evaluation import TIME
from services.profile.domain.facts import Assignment, Entry, Notice
from services.profile.domain.leaves import Folding
from services.profile.domain.scheduling import Plan, cut, is_definition, plan
from services.profile.projection.backfill import Grower, Grown
from services.profile.projection.evaluate import Asking, PeopleHeld, Settler
from services.profile.projection.leaves import Mark, Memory, fold_leaves
from services.profile.projection.predicates import Rulebook
from services.profile.store import postgres as store
from services.profile.store.postgres import Connection, Growth

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Pace:
    """How work that definitions ask for shares a shard with what comes."""

    #: The most profiles that are looked at in one transaction because time has passed.
    due: int = 500
    #: A definition that comes before this offset waits until it is live, and so does what follows.
    #: A later one goes live while the shard works on.
    patience: int = 100_000
    #: Steps between two batches: of many facts, and of few.
    steps: int = 1
    idle_steps: int = 10
    #: How many facts are few.
    few: int = 200


class ProfileApp:
    """The projection of this service; see chassis.stream.Projection.

    What is said about a leaf goes into its state first; this needs no identity, and no lock, for
    only the worker of a shard writes its leaves. Then the profiles are settled whose predicates may
    have changed, under locks, for their leaves lie in many shards.
    """

    def __init__(
        self,
        *,
        rulebook: Rulebook,
        settler: Settler,
        grower: Grower,
        memory: Memory,
        on_access: Callable[[], None] = lambda: None,
        pace: Pace = Pace(),
    ) -> None:
        """`on_access` is called when keys were folded."""
        self._memory = memory
        self._rulebook = rulebook
        self._settler = settler
        self._grower = grower
        self._on_access = on_access
        self._pace = pace
        #: Steps taken since a shard last took in facts.
        self._steps: Counter[int] = Counter()

    async def fold(self, conn: asyncpg.Connection, batch: Batch) -> FoldResult:
        """Fold the first part of a batch that can be folded at once, or take a step of growing."""
        heard = wire.hear(batch)
        entries = heard.entries[: cut(heard.entries)]
        growth = await store.load_growth(conn, batch.shard, entries[-1].recorded_at_us)
        defining = is_definition(entries[0])
        if defining and entries[-1].offset >= growth.learnt:
            await self._grower.learn(conn, batch.shard, entries, growth)
            return FoldResult(batch.first, batch.log_offset, batch.log_time_us)
        if not growth.idle and self._is_turn(batch, defining):
            grown = await self._grow(conn, batch, growth, defining)
            if grown is not None:
                return await self._say_grown(conn, batch, grown)
        self._steps[batch.shard] = 0
        return await self._take(conn, batch, heard, entries, growth)

    def _is_turn(self, batch: Batch, defining: bool) -> bool:
        if defining and batch.first <= self._pace.patience:
            return True
        is_quiet = batch.next - batch.first <= self._pace.few
        allowed = self._pace.idle_steps if is_quiet else self._pace.steps
        return self._steps[batch.shard] < allowed

    async def _grow(
        self, conn: Connection, batch: Batch, growth: Growth, defining: bool
    ) -> Grown | None:
        self._steps[batch.shard] += 1
        try:
            return await self._grower.step(conn, batch, growth)
        except PeopleHeld:
            # Part of the step is written, and people are locked: nothing else may follow in here.
            raise
        except RetryableError:
            if defining and batch.first <= self._pace.patience:
                raise
            log.warning("growth_postponed", shard=batch.shard)
            return None

    async def _say_grown(self, conn: Connection, batch: Batch, grown: Grown) -> FoldResult:
        await add_digest(conn, batch.shard, grown.deltas)
        said = Said(standings=grown.standings, live=grown.live)
        if said:
            return _unconsumed(batch, said)
        return FoldResult(batch.first, batch.log_offset, batch.log_time_us)

    async def _take(
        self,
        conn: Connection,
        batch: Batch,
        heard: Heard,
        entries: Sequence[Entry],
        growth: Growth,
    ) -> FoldResult:
        """Take in entries, as many as leave no more profiles due than can be looked at."""
        planned = await self._plan(conn, batch.shard, entries, growth)
        taken = entries[: planned.take]
        catalogues = await self._rulebook.of_shard(conn, batch.shard, growth.revision)
        remembered = self._memory.open(batch.shard, _mark(batch.first, batch.next_output, growth))
        folding, deltas = await fold_leaves(conn, batch.shard, taken, catalogues, remembered)
        asking = _asking(folding, heard.assignments if taken else (), planned)
        decided = await self._settler.settle(
            conn, batch.shard, asking, planned.at_us, folding.states
        )
        notices = await self._keep(conn, batch.shard, taken)
        await add_digest(conn, batch.shard, _sum(deltas, decided))
        said = Said(standings=decided.news, notices=notices)
        if not taken:
            # Said even where it is nothing: the runner goes by it that the work gets on.
            return _unconsumed(batch, said)
        consumed_to = taken[-1].offset + 1
        outputs = wire.outputs(batch, said, consumed_to, planned.at_us)
        mark = _mark(consumed_to, outputs[-1].next, growth)
        self._memory.close(batch.shard, mark, remembered)
        return FoldResult(consumed_to, consumed_to, planned.at_us, outputs)

    async def _plan(
        self, conn: Connection, shard: int, entries: Sequence[Entry], growth: Growth
    ) -> Plan:
        if not growth.is_due:
            return plan(entries, (), 0)
        limit = self._pace.due
        dues = await store.load_dues(conn, shard, entries[-1].recorded_at_us, limit + 1)
        return plan(entries, dues, limit)

    async def _keep(self, conn: Connection, shard: int, entries: Iterable[Entry]) -> list[Notice]:
        """Keep what concerns no person: keys, definitions."""
        told = [(e.offset, e.workspace_id, e.notice) for e in entries if e.notice is not None]
        lasting = [(at, workspace, n) for at, workspace, n in told if not n.is_tick]
        if lasting:
            rows = [(at, workspace, n.kind, n.fact) for at, workspace, n in lasting]
            await store.save_definitions(conn, shard, rows)
            facts = wire.facts_of(n for _, _, n in lasting)
            if await fold_access_facts(conn, facts):
                self._on_access()
        return [n for _, _, n in told]


def _asking(folding: Folding, assignments: Iterable[Assignment], planned: Plan) -> Asking:
    told = newest([*folding.hints.values(), *assignments])
    return Asking(folding.questions, told, dict.fromkeys(planned.due, TIME))


def _mark(first: int, next_output: int, growth: Growth) -> Mark:
    """Where a shard stands: its position, and how far its leaves were back-filled."""
    return first, next_output, growth.revision, growth.next, growth.until


def _sum(deltas: dict[str, int], decided: Decided) -> dict[str, int]:
    total: dict[str, int] = dict(deltas)
    for workspace_id, delta in decided.deltas.items():
        total[workspace_id] = total.get(workspace_id, 0) + delta
    return total


def _unconsumed(batch: Batch, said: Said) -> FoldResult:
    """Ask to be called again with the same batch, after saying something or nothing."""
    outputs = wire.outputs(batch, said, batch.log_offset, batch.log_time_us)
    return FoldResult(batch.first, batch.log_offset, batch.log_time_us, outputs)
