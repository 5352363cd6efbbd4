"""Merges and splits as they come, read off what identity says on the bus."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import NamedTuple

from services.chassis.messaging.outbox import Outbox
from services.chassis.messaging.stream import StreamMessage
from services.identity.codec import bus as wire
from services.identity.domain.rows import IdentifierAssignment
from services.kernel.identifiers import Identifier
from services.kernel.ids import ProfileId, WorkspaceId

#: Seconds between two looks at what was said.
PAUSE = 0.1


class Move(NamedTuple):
    """Identifiers that moved from one profile to another."""

    before: ProfileId
    after: ProfileId
    #: Those of which the standard form is known.
    identifiers: Sequence[Identifier]


class Moves(NamedTuple):
    """What one part of a shard tells; there may be no move in it."""

    shard: int
    #: The offset from which to watch on in this shard.
    next_offset: int
    moves: Sequence[Move]


async def watch(
    outbox: Outbox, workspace_id: WorkspaceId, offsets: Sequence[int]
) -> AsyncIterator[Moves]:
    """What is said from these offsets on, one a shard, until the caller leaves.

    Raises RangeGone.
    """
    at = list(offsets)
    while True:
        is_new = False
        for shard in range(len(at)):
            async for message in outbox.stream(shard, at[shard]):
                is_new, at[shard] = True, message.next
                yield Moves(shard, message.next, _moves(workspace_id, message))
        if not is_new:
            await asyncio.sleep(PAUSE)


def _moves(workspace_id: WorkspaceId, message: StreamMessage) -> list[Move]:
    between: dict[tuple[ProfileId, ProfileId], list[Identifier]] = {}
    for told in wire.decode_assignments(message.payload):
        if told.before is not None and told.name.workspace_id == workspace_id:
            some = between.setdefault((told.before, told.profile_id), [])
            some.extend(_identifier(told))
    return [Move(before, after, some) for (before, after), some in between.items()]


def _identifier(told: IdentifierAssignment) -> list[Identifier]:
    return [told.name.identifier] if told.name.identifier else []
