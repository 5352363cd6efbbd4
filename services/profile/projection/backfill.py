"""Growing: a shard learns of definitions, back-fills their series, and asks everybody once more."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace

import structlog

from services.chassis.messaging.stream import Batch
from services.kernel.fold.leaf import LeafState, combine, decode, encode
from services.kernel.ids import IdentifierId, LeafId, WorkspaceId
from services.profile import metrics
from services.profile.domain.backfill import Fill, Filler, Key, Past, Stage, Sweep, grown, next_task
from services.profile.domain.backfill import news as news_of
from services.profile.domain.evaluation import Question
from services.profile.domain.facts import Entry
from services.profile.domain.model import Catalogues, Standing, as_int, leaf_share
from services.profile.projection.evaluate import Asking, Settler
from services.profile.projection.ports import PastReader
from services.profile.projection.predicates import Rulebook
from services.profile.store import postgres as store
from services.profile.store.postgres import Connection, Growth, LeafRow

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Grown:
    """What one step did."""

    standings: Sequence[Standing] = ()
    #: The predicates that are live from now on.
    live: Collection[Key] = ()
    deltas: Mapping[str, int] = field(default_factory=dict)


class Grower:
    """Takes the steps that definitions ask for, each in the open transaction of a fold."""

    def __init__(
        self,
        rulebook: Rulebook,
        settler: Settler,
        past: PastReader,
        *,
        chunk: int = 5_000,
        page: int = 500,
    ) -> None:
        """`chunk`: facts that a step reads. `page`: leaves that a step looks at."""
        self._rulebook = rulebook
        self._settler = settler
        self._past = past
        self._chunk = chunk
        self._page = page

    async def learn(
        self, conn: Connection, shard: int, entries: Sequence[Entry], growth: Growth
    ) -> None:
        """Learn definitions, which come next in the log: what follows them is folded by them."""
        notices = [(e.offset, e.workspace_id, e.notice) for e in entries if e.notice is not None]
        before = await self._rulebook.of_shard(conn, shard, growth.revision)
        after = grown(before, [(workspace, notice) for _, workspace, notice in notices])
        asked = news_of(before, after)
        rows = [(offset, workspace, n.kind, n.fact) for offset, workspace, n in notices]
        await store.save_definitions(conn, shard, rows)
        first, until = entries[0].offset, entries[-1].offset + 1
        await store.learn(conn, shard, first, until, asked.predicates, asked.series)
        log.info(
            "definitions_learnt",
            shard=shard,
            offset=first,
            predicates=len(asked.predicates),
            series=len(asked.series),
        )

    async def step(self, conn: Connection, batch: Batch, growth: Growth) -> Grown:
        """Do one bounded piece of what is to be done.

        Raises Unavailable where the log cannot be read now; nothing was written then.
        """
        shard = batch.shard
        catalogues = await self._rulebook.of_shard(conn, shard, growth.revision)
        predicates = await store.open_predicates(conn, shard)
        task = next_task(predicates, await store.open_series(conn, shard), catalogues)
        if task is None:
            await store.save_growth(conn, shard, replace(growth, idle=True))
            return Grown()
        if isinstance(task, Fill):
            return await self._fill(conn, shard, growth, task, catalogues)
        return await self._sweep(conn, batch, growth, task)

    async def _fill(
        self, conn: Connection, shard: int, growth: Growth, task: Fill, catalogues: Catalogues
    ) -> Grown:
        if task.is_new:
            growth = replace(growth, next=0, until=task.until)
        until = min(growth.next + self._chunk, growth.until)
        events = await self._read(shard, growth.next, until)
        metrics.REREAD.inc(len(events))
        keys = [series.key for series in task.series]
        stage = Stage.DONE if until == growth.until else Stage.AT_WORK
        if task.is_new or stage is Stage.DONE:
            await store.advance_series(conn, shard, keys, stage)
        deltas = await self._add(conn, shard, Filler(task, catalogues).fold(events))
        await store.save_growth(conn, shard, replace(growth, next=until))
        log.debug("series_filled", shard=shard, next=until, until=growth.until)
        return Grown(deltas=deltas)

    async def _read(self, shard: int, first: int, until: int) -> Sequence[Past]:
        return await self._past.events(shard, first, until) if first < until else ()

    async def _add(
        self,
        conn: Connection,
        shard: int,
        added: Mapping[LeafId, tuple[WorkspaceId, LeafState]],
    ) -> dict[str, int]:
        """Join what was read once more to the states of the leaves."""
        known = await store.load_leaves(conn, shard, added.keys())
        rows: list[LeafRow] = []
        deltas: dict[str, int] = {}
        for leaf_id, (workspace_id, more) in added.items():
            before = known[leaf_id]
            joined = encode(combine(decode(before), more))
            rows.append(LeafRow(leaf_id, workspace_id, joined))
            delta = as_int(leaf_share(leaf_id, joined)) - as_int(leaf_share(leaf_id, before))
            deltas[workspace_id] = deltas.get(workspace_id, 0) + delta
        await store.save_leaves(conn, shard, rows)
        return deltas

    async def _sweep(self, conn: Connection, batch: Batch, growth: Growth, task: Sweep) -> Grown:
        """Ask the new predicates of the next profiles that have a leaf in the shard."""
        shard, after = batch.shard, b"" if task.is_new else growth.after
        if task.is_new:
            await store.advance_predicates(conn, shard, task.predicates, Stage.AT_WORK)
        workspaces = {key.workspace_id for key in task.predicates}
        page = await store.leaf_page(conn, shard, after, workspaces, self._page)
        asking = await self._asking(conn, page, task)
        decided = await self._settler.settle(conn, shard, asking, batch.log_time_us)
        live: Collection[Key] = ()
        if len(page) < self._page:
            live = task.predicates
            await store.advance_predicates(conn, shard, live, Stage.DONE)
            log.info("predicates_went_live", shard=shard, predicates=len(live))
        await store.save_growth(conn, shard, replace(growth, after=page[-1][0] if page else b""))
        return Grown(decided.news, live, decided.deltas)

    async def _asking(
        self, conn: Connection, page: Sequence[tuple[LeafId, WorkspaceId]], task: Sweep
    ) -> Asking:
        told = await store.load_assignments(conn, [leaf for leaf, _ in page])
        questions = {leaf: Question(task.of(workspace)) for leaf, workspace in page}
        return Asking(
            {leaf: q for leaf, q in questions.items() if IdentifierId(leaf) in told}, told
        )
