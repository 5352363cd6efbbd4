"""What a state that took the place of one that stood still says of what changed in between."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence

import asyncpg

from services.chassis.access.tables import fold_access_facts
from services.chassis.messaging.stream import Batch, OutboxMessage
from services.chassis.projection.checkpoint import Checkpoint
from services.chassis.projection.rebuild import StateSwap
from services.kernel.ids import NO_ID, shard_of
from services.profile.codec import bus as wire
from services.profile.domain.backfill import Key, Stage, grown
from services.profile.domain.model import Standing
from services.profile.store import postgres as store
from services.profile.store.postgres import Connection


async def say_replaced(
    conn: asyncpg.Connection, replaced: StateSwap
) -> Mapping[int, Sequence[OutboxMessage]]:
    """See chassis.rebuild.Replacer.say.

    Said is every flip between how people stood and how they stand now, every fact that concerns no
    person and was not passed on yet, and which predicates are live: all of them, for the new state
    has folded the whole log by every definition before it.
    """
    live = await _finish_growing(conn, replaced.after)
    standings = await _changed(conn, replaced)
    said: dict[int, Sequence[OutboxMessage]] = {}
    for before, after in zip(replaced.before, replaced.after, strict=True):
        facts = await store.definitions_since(conn, after.shard, before.log_offset)
        await fold_access_facts(conn, wire.facts_from(facts))
        told = wire.Said(
            standings=standings.get(after.shard, ()),
            notices=[wire.notice(fact) for fact in wire.facts_from(facts)],
            live=live,
        )
        said[after.shard] = _outputs(before, after, told)
    return said


def _outputs(before: Checkpoint, after: Checkpoint, told: wire.Said) -> Sequence[OutboxMessage]:
    places = (before.next, after.next, (), before.next_output)
    batch = Batch(after.shard, *places, before.log_offset, before.log_time_us)
    time_us = max(before.log_time_us, after.log_time_us)
    return wire.outputs(batch, told, after.log_offset, time_us)


async def _finish_growing(conn: Connection, positions: Sequence[Checkpoint]) -> list[Key]:
    """Keep that every shard has done all that its definitions ask for; the live predicates."""
    facts = await store.load_definitions(conn, None, wire.RULE_KINDS)
    catalogues = grown({}, wire.definitions(facts))
    predicates = [Key(w, id_) for w, c in catalogues.items() for id_ in c.predicates]
    series = [Key(w, id_) for w, c in catalogues.items() for id_ in c.accumulator_ids]
    if predicates:
        for at in positions:
            await store.learn(conn, at.shard, 0, at.next, predicates, series)
            await store.advance_predicates(conn, at.shard, predicates, Stage.DONE)
            await store.advance_series(conn, at.shard, series, Stage.DONE)
            await store.save_growth(conn, at.shard, store.Growth())
    return predicates


async def _changed(conn: Connection, replaced: StateSwap) -> dict[int, list[Standing]]:
    """Who stands otherwise than in the live state, and who became part of whom, by shard.

    All get one version above all that were told: the live state may have told some meanwhile.
    """
    version = await store.next_version(conn)
    shards = len(replaced.after)
    now_us = max(at.log_time_us for at in replaced.after)
    renew = store.Q.renew_changed.replace("{live}", replaced.live)
    keep = store.Q.keep_gone.replace("{live}", replaced.live)
    changed = await conn.fetch(renew, version)
    gone = await conn.fetch(keep, version, now_us, NO_ID)
    by_shard: dict[int, list[Standing]] = defaultdict(list)
    for standing in map(store.standing, [*changed, *gone]):
        by_shard[shard_of(standing.profile_id, shards)].append(standing)
    return by_shard
