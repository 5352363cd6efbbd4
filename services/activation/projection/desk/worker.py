"""Assigns tickets, and notices the limits that they have passed.

A look is one transaction that calls nothing: it decides by what every shard has taken in, and
stores its decisions as facts that the log does not have yet. They are appended after it; of two
contents of one fact the log takes the first, and the other one is dropped.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import asyncpg

from services.activation.codec.desk import (
    OwnTicketFact,
    TicketKey,
    decided_fact,
    decode_fact,
    own_ticket_fact,
)
from services.activation.domain.desk.assignment import Assignment
from services.activation.domain.desk.looks import TicketLook, look_at_ticket
from services.activation.domain.desk.tickets import Ticket
from services.activation.store.desk import (
    LockedTicket,
    Q,
    TicketRow,
    add_ticket_facts,
    claim_tickets,
    count_open_tickets,
    load_queues,
    load_tickets,
    save_tickets,
)
from services.activation.store.run_reads import load_known_us
from services.activation.store.runs import Q as RUNS
from services.chassis.postgres.database import Database, acquire, lock_keys, transaction
from services.chassis.rpc.clients import LogClient
from services.chassis.runtime.backoff import Backoff
from services.chassis.runtime.repeat import repeat, wait_at_most
from services.kernel.errors import Conflict
from services.kernel.ids import hash_id

#: Tickets in one transaction, and facts in one call.
PAGE: Final = 200
POLL_INTERVAL_S: Final = 0.5
MAX_BACKOFF_S: Final = 10.0


@dataclass
class DeskWorker:
    """Looks at tickets; any number of replicas do so beside each other."""

    database: Database
    log_client: LogClient
    actor: str
    _work: asyncio.Event = field(default_factory=asyncio.Event, init=False)

    def wake(self) -> None:
        """Look soon at what is due."""
        self._work.set()

    async def run(self) -> None:
        """Look until cancelled. Errors are logged and retried."""
        await repeat("desk", self._step, Backoff(2 * POLL_INTERVAL_S, MAX_BACKOFF_S))

    async def _step(self) -> None:
        self._work.clear()
        looked_at = await self.look()
        if not await self.publish() and not looked_at:
            await wait_at_most(self._work, POLL_INTERVAL_S)

    async def look(self) -> int:
        """Look at one page of tickets; return how many there were."""
        async with transaction(self.database.pool) as conn:
            known_us: int | None = await conn.fetchval(RUNS.known_us)
            claimed = await claim_tickets(conn, known_us, PAGE)
            if claimed and known_us is not None:
                await self._look_at(conn, claimed, known_us)
        return len(claimed)

    async def _look_at(
        self, conn: asyncpg.Connection, claimed: Sequence[LockedTicket], now_us: int
    ) -> None:
        workspaces = {own.workspace_id for own in claimed}
        await conn.execute(Q.lock_desks, lock_keys("activation desk", map(hash_id, workspaces)))
        tickets = await load_tickets(conn, [own.ticket_id for own in claimed])
        queues = await load_queues(conn, workspaces)
        counts = await count_open_tickets(conn, workspaces)
        facts: list[OwnTicketFact] = []
        rows: list[TicketRow] = []
        for own in claimed:
            ticket = tickets.get(own.ticket_id)
            if ticket is None:
                continue
            place = own.workspace_id, ticket.queue_id
            versions, load = queues.get(place, {}), counts[place]
            look = look_at_ticket(own.ticket_id, ticket, versions, load, now_us)
            for decision in look.decisions:
                if isinstance(decision, Assignment):
                    load[decision.agent_id] = load.get(decision.agent_id, 0) + 1
            facts += map(own_ticket_fact, self._facts(own, ticket, look, now_us))
            rows.append(TicketRow(own.ticket_id, ticket, look.due_us, look.look_us))
        await add_ticket_facts(conn, facts)
        decided = await load_tickets(conn, {own.ticket_id for own in facts})
        await save_tickets(
            conn, [row._replace(ticket=decided.get(row.ticket_id, row.ticket)) for row in rows]
        )

    def _facts(self, own: LockedTicket, ticket: Ticket, look: TicketLook, now_us: int) -> list[Any]:
        key = TicketKey.of(own.workspace_id, own.ticket_id, own.leaf_id, ticket)
        at_us, number = max(now_us, ticket.opened_at_us), len(ticket.assigned)
        return [decided_fact(key, each, number, at_us, self.actor) for each in look.decisions]

    async def publish(self) -> int:
        """Append one page of facts to the log; return how many there were."""
        async with acquire(self.database.pool) as conn:
            known_us = await load_known_us(conn)
            rows = await conn.fetch(Q.load_unpublished, PAGE)
        if not rows:
            return 0
        try:
            await self._append(rows, known_us)
        except Conflict:
            for row in rows:
                await self._append_alone(row, known_us)
        return len(rows)

    async def _append(self, rows: Sequence[Any], known_us: int) -> None:
        facts = [decode_fact(row["unpublished"]) for row in rows]
        await self.log_client.append(facts, known_us)
        keys = [row["ticket_id"] for row in rows], [row["fact_id"] for row in rows]
        async with acquire(self.database.pool) as conn:
            await conn.execute(Q.mark_published, *keys)

    async def _append_alone(self, row: Any, known_us: int) -> None:
        try:
            await self._append([row], known_us)
        except Conflict:  # a decision of another replica; it comes with the stream
            async with transaction(self.database.pool) as conn:
                await conn.execute(Q.lock_tickets, [row["ticket_id"]])
                await conn.execute(Q.take_back, row["ticket_id"], row["fact_id"])
