"""Publishes what changed while the old state was stalled, after a resync."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence

from asyncpg import Connection

from services.chassis.access.tables import fold_access_facts
from services.chassis.messaging.stream import OutboxMessage
from services.chassis.projection.checkpoint import Checkpoint
from services.chassis.projection.rebuild import StateSwap
from services.kernel.ids import shard_of
from services.profile.codec.bus import Publication, encode_outputs
from services.profile.codec.log import broadcast_fact, parse_facts
from services.profile.domain.backfill import BackfillStage, ScopedId, new_requirements
from services.profile.domain.evaluation import Evaluation
from services.profile.store.definitions import (
    add_requirements,
    load_indexes,
    save_stage,
    shard_broadcast_facts,
)
from services.profile.store.evaluations import replace_evaluations


async def difference(conn: Connection, swap: StateSwap) -> Mapping[int, Sequence[OutboxMessage]]:
    """Return the messages that lead the services downstream from the old state to the new one.

    They have every evaluation that differs, every broadcast fact that was not published yet, and
    all predicates as backfilled, because the new state has folded the whole log with all of them.
    """
    backfilled = await _complete_backfill(conn, swap.after)
    evaluations = await _changed_evaluations(conn, swap)
    outputs: dict[int, Sequence[OutboxMessage]] = {}
    for before, after in zip(swap.before, swap.after, strict=True):
        facts = parse_facts(await shard_broadcast_facts(conn, after.shard, before.log_offset))
        await fold_access_facts(conn, facts)
        publication = Publication(
            evaluations=evaluations.get(after.shard, ()),
            broadcast_facts=list(map(broadcast_fact, facts)),
            backfilled=backfilled,
        )
        time_us = max(before.log_time_us, after.log_time_us)
        outputs[after.shard] = encode_outputs(publication, before, after.log_offset, time_us)
    return outputs


async def _complete_backfill(
    conn: Connection, checkpoints: Sequence[Checkpoint]
) -> frozenset[ScopedId]:
    """Save that every shard has backfilled all definitions, and return their predicates."""
    all_ids = new_requirements({}, await load_indexes(conn))
    if all_ids.predicates:
        for at in checkpoints:
            await add_requirements(conn, at.shard, 0, all_ids)
            await save_stage(conn, at.shard, all_ids.predicates, BackfillStage.BACKFILLED)
    return all_ids.predicates


async def _changed_evaluations(conn: Connection, swap: StateSwap) -> dict[int, list[Evaluation]]:
    """Return the evaluations that differ from the live state's, by shard."""
    now_us = max(at.log_time_us for at in swap.after)
    by_shard: dict[int, list[Evaluation]] = defaultdict(list)
    for evaluation in await replace_evaluations(conn, swap.live, now_us):
        by_shard[shard_of(evaluation.profile_id, len(swap.after))].append(evaluation)
    return by_shard
