"""What a state that took the place of one that stood still says of what changed in between."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import asyncpg

from services.chassis.access.tables import fold_access_facts
from services.chassis.messaging.stream import OutboxMessage
from services.chassis.projection.checkpoint import Checkpoint
from services.chassis.projection.rebuild import StateSwap
from services.chassis.rpc.clients import IdentityClient
from services.kernel.ids import ProfileId, WorkspaceId, shard_of
from services.segment.codec import bus as wire
from services.segment.domain.membership import mark_merges
from services.segment.domain.model import Change, Standing
from services.segment.store import postgres as store
from services.segment.store.postgres import Connection

#: Changes in one message.
PAGE = 2_000
Numbered = list[tuple[Change, int]]


async def say_replaced(
    conn: asyncpg.Connection,
    replaced: StateSwap,
    facts: Mapping[int, Sequence[Any]],
    people: IdentityClient,
) -> Mapping[int, Sequence[OutboxMessage]]:
    """See chassis.rebuild.Replacer.say.

    Announced is the difference between who was in what and who is, once each, with the ordinal that
    follows: what came and went in between was never announced. Before it come the facts that
    concern no person and were not passed on yet, so that those who hear of people already know
    where to tell it. `facts`: all of them, by shard.
    """
    found = await _changes(conn, replaced, people)
    numbered, numbers = await store.number(conn, found)
    await store.take_on_memberships(conn, replaced.live, numbered)
    by_shard: dict[int, Numbered] = defaultdict(list)
    for change, ordinal in zip(numbered, numbers, strict=True):
        by_shard[shard_of(change.profile_id, len(replaced.after))].append((change, ordinal))
    said: dict[int, Sequence[OutboxMessage]] = {}
    for before, after in zip(replaced.before, replaced.after, strict=True):
        missed = [f for f in facts[after.shard] if before.log_offset <= f.offset < after.log_offset]
        await fold_access_facts(conn, missed)
        said[after.shard] = await _say(conn, before, after, missed, by_shard[after.shard])
    return said


async def _changes(conn: Connection, replaced: StateSwap, people: IdentityClient) -> list[Change]:
    """Who entered and left; a membership that moved to an heir is marked on both sides."""
    now_us = max(at.log_time_us for at in replaced.after)
    differing = await store.load_difference(conn, replaced.live, replaced.new, now_us)
    found = [change for change, _ in differing]
    gone: dict[WorkspaceId, set[ProfileId]] = defaultdict(set)
    for change, is_somebody in differing:
        if not is_somebody:
            gone[change.workspace_id].add(change.profile_id)
    merged: list[Standing] = []
    for workspace_id, profiles in gone.items():
        heirs = await people.current_profiles(workspace_id, sorted(profiles))
        merged += [
            Standing(workspace_id, old, 0, frozenset(), heir, now_us)
            for old, heir in heirs.items()
            if heir != old
        ]
    present = await store.load_memberships_in(
        conn, replaced.live, [m.merged_into for m in merged if m.merged_into is not None]
    )
    return mark_merges(found, merged, present)


async def _say(
    conn: Connection,
    before: Checkpoint,
    after: Checkpoint,
    facts: Sequence[Any],
    found: Numbered,
) -> Sequence[OutboxMessage]:
    """Facts, then changes; the last message tells that the log was taken in up to there."""
    outputs: list[OutboxMessage] = []
    for sequence, start in enumerate(range(0, max(len(found), 1), PAGE), before.next_output):
        page = found[start : start + PAGE]
        at = after if start + PAGE >= len(found) else before
        changes, numbers = [c for c, _ in page], [n for _, n in page]
        if page:
            await store.write_history(conn, after.shard, sequence, changes, numbers)
        told = () if start else facts
        await store.write_notices(conn, after.shard, sequence, told)
        messages = map(wire.change_message, changes, numbers)
        place = (after.shard, sequence, at.log_offset, at.log_time_us)
        payload = wire.memberships_changed(*place, messages, told)
        outputs.append(OutboxMessage(sequence, sequence + 1, payload))
    return outputs
