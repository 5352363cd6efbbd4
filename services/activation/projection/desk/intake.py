"""Takes in queues, and what has happened to tickets."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import asyncpg
import structlog

from services.activation.codec.desk import QUEUE_DEFINED, streamed_ticket_facts
from services.activation.store.desk import save_queue, take_in_facts
from services.kernel.errors import InvalidField
from services.kernel.ids import WorkspaceId

log = structlog.get_logger(__name__)


async def take_in_desk(conn: asyncpg.Connection, messages: Sequence[Any]) -> bool:
    """Take in what messages of segment say, at the end of the transaction of a fold.

    Return whether tickets are to be looked at.
    """
    facts = list(streamed_ticket_facts(messages))
    defined = [f for m in messages for f in m.broadcast_facts if f.kind == QUEUE_DEFINED]
    changed = await define_queues(conn, defined)
    if facts or changed:
        await take_in_facts(conn, facts, changed)
    return bool(facts or changed)


async def define_queues(
    conn: asyncpg.Connection, facts: Iterable[Any]
) -> set[tuple[WorkspaceId, str]]:
    """Save definitions of queues; return the workspaces and ids of the queues."""
    changed: set[tuple[WorkspaceId, str]] = set()
    for fact in facts:
        try:
            queue = await save_queue(conn, fact.workspace_id, fact.payload)
        except InvalidField:
            log.warning("definition_skipped", kind=fact.kind, offset=fact.offset)
            continue
        changed.add((WorkspaceId(fact.workspace_id), queue.queue_id))
    return changed
