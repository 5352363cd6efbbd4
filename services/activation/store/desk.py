"""Stores queues, and tickets with what has happened to them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from contextlib import suppress
from typing import Any, NamedTuple

import asyncpg

from services.activation.codec.desk import LIMITS, OwnTicketFact, decode_queue, encode_properties
from services.activation.domain.desk.tickets import Ticket, TicketFact, fold_ticket
from services.chassis.postgres.database import Queries
from services.kernel.desk.model import DeskQueue
from services.kernel.desk.ticket_events import TicketEvent
from services.kernel.errors import InvalidField
from services.kernel.fold.events import read_object
from services.kernel.ids import FactId, LeafId, WorkspaceId

Q = Queries.load(__package__, "desk.sql")

#: The versions of queues by their numbers, by workspace and id.
QueueVersions = Mapping[tuple[WorkspaceId, str], dict[int, DeskQueue]]


class TicketRow(NamedTuple):
    """A ticket, and when it is looked at."""

    ticket_id: bytes
    ticket: Ticket
    #: When the next limit passes; None = none is ahead.
    due_us: int | None
    #: When it is looked at again; None = when something happens to it.
    look_us: int | None


class LockedTicket(NamedTuple):
    """A ticket that no other transaction changes."""

    ticket_id: bytes
    workspace_id: WorkspaceId
    leaf_id: LeafId


async def save_queue(conn: asyncpg.Connection, workspace_id: str, payload: bytes) -> DeskQueue:
    """Save a version of a queue. Raises InvalidField where the payload is none."""
    queue = decode_queue(payload)
    await conn.execute(Q.save_queue, workspace_id, queue.queue_id, queue.version, payload)
    return queue


async def load_queues(conn: asyncpg.Connection, workspaces: Collection[str]) -> QueueVersions:
    """Return all versions of the queues of workspaces."""
    return _queues(await conn.fetch(Q.load_queues, sorted(workspaces)))


async def load_newest_queues(
    conn: asyncpg.Connection, workspace_id: WorkspaceId
) -> dict[str, DeskQueue]:
    """Return the newest version of each queue of a workspace by id, for a caller."""
    rows = await conn.fetch(Q.load_queues_of_workspace, workspace_id)
    return {queue_id: own[max(own)] for (_, queue_id), own in _queues(rows).items()}


def _queues(rows: Iterable[Any]) -> dict[tuple[WorkspaceId, str], dict[int, DeskQueue]]:
    """Return the queues of rows; one that cannot be read is left out."""
    found: defaultdict[tuple[WorkspaceId, str], dict[int, DeskQueue]] = defaultdict(dict)
    for row in rows:
        with suppress(InvalidField):
            queue = decode_queue(row["payload"])
            found[WorkspaceId(row["workspace_id"]), queue.queue_id][queue.version] = queue
    return found


async def take_in_facts(
    conn: asyncpg.Connection,
    facts: Collection[OwnTicketFact],
    changed_queues: Collection[tuple[WorkspaceId, str]] = (),
) -> None:
    """Save what has happened to tickets, and have them looked at, with those of changed queues."""
    ids = {own.ticket_id for own in facts}
    if facts:
        rows = sorted({own.ticket_id: (own.workspace_id, own.leaf_id) for own in facts}.items())
        columns = zip(*((id_, *rest) for id_, rest in rows), strict=True)
        await conn.execute(Q.add_tickets, *columns)
    if changed_queues:
        columns = zip(*sorted(changed_queues), strict=True)
        found = await conn.fetch(Q.open_tickets_of_queues, *columns)
        ids |= {row["ticket_id"] for row in found}
    if ids:
        await conn.execute(Q.lock_tickets, sorted(ids))
        await add_ticket_facts(conn, facts)
        tickets = await load_tickets(conn, ids)
        await save_tickets(conn, [TicketRow(id_, own, None, 0) for id_, own in tickets.items()])


async def add_ticket_facts(conn: asyncpg.Connection, facts: Iterable[OwnTicketFact]) -> None:
    """Add what has happened to tickets, which are locked."""
    unique = {(own.ticket_id, own.fact.fact_id): own for own in facts}
    rows = [
        (
            *(*key, own.workspace_id, own.fact.event.value, own.fact.occurred_at_us),
            *(encode_properties(own.fact), own.unpublished),
        )
        for key, own in sorted(unique.items())
    ]
    if rows:
        await conn.execute(Q.add_ticket_facts, *zip(*rows, strict=True))


async def load_tickets(
    conn: asyncpg.Connection, ticket_ids: Collection[bytes]
) -> dict[bytes, Ticket]:
    """Return tickets by their facts; those that no fact says were opened are left out."""
    facts: defaultdict[bytes, list[TicketFact]] = defaultdict(list)
    for row in await conn.fetch(Q.load_ticket_facts, list(ticket_ids)):
        facts[row["ticket_id"]].append(ticket_fact_of(row))
    folded = {id_: fold_ticket(own) for id_, own in facts.items()}
    return {id_: ticket for id_, ticket in folded.items() if ticket is not None}


def ticket_fact_of(row: Any) -> TicketFact:
    """Return the fact of a row."""
    return TicketFact(
        row["occurred_at_us"],
        FactId(row["fact_id"]),
        TicketEvent(row["event"]),
        read_object(row["properties"]),
    )


async def save_tickets(conn: asyncpg.Connection, tickets: Collection[TicketRow]) -> None:
    """Save what the facts of tickets say."""
    rows = [
        (
            *(row.ticket_id, own.queue_id, own.kind, own.title, own.state, own.agent_id),
            *(own.opened_at_us, row.due_us, row.look_us),
            ",".join(str(LIMITS.to_proto(limit)) for limit in own.breaches),
        )
        for row in tickets
        for own in (row.ticket,)
    ]
    if rows:
        await conn.execute(Q.save_tickets, *zip(*rows, strict=True))


async def claim_tickets(
    conn: asyncpg.Connection, known_us: int | None, limit: int
) -> list[LockedTicket]:
    """Lock tickets that are to be looked at by an instant; None = there is no log yet."""
    rows = await conn.fetch(Q.claim_tickets, known_us, limit)
    return [
        LockedTicket(row["ticket_id"], WorkspaceId(row["workspace_id"]), LeafId(row["leaf_id"]))
        for row in rows
    ]


async def count_open_tickets(
    conn: asyncpg.Connection, workspaces: Collection[str]
) -> defaultdict[tuple[WorkspaceId, str], dict[str, int]]:
    """Return the open tickets by agent, by workspace and queue."""
    found: defaultdict[tuple[WorkspaceId, str], dict[str, int]] = defaultdict(dict)
    for row in await conn.fetch(Q.count_open_tickets, sorted(workspaces)):
        found[WorkspaceId(row["workspace_id"]), row["queue_id"]][row["agent_id"]] = row["count"]
    return found


class AgentCounts(NamedTuple):
    """What is open of one agent of a queue; the agent is empty of tickets without one."""

    agent_id: str
    open: int
    waiting: int
    breached: int


async def count_tickets(
    conn: asyncpg.Connection, workspace_id: WorkspaceId
) -> defaultdict[str, list[AgentCounts]]:
    """Return what is open in each queue of a workspace, by agent."""
    found: defaultdict[str, list[AgentCounts]] = defaultdict(list)
    for row in await conn.fetch(Q.count_tickets, workspace_id):
        counts = row["open"], row["waiting"], row["breached"]
        found[row["queue_id"]].append(AgentCounts(row["agent_id"], *counts))
    return found
