"""Defines queues, opens tickets, and records what happens to them, as facts of the log."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from services.activation.codec.desk import (
    TicketKey,
    assignment_fields,
    queue_definition,
    ticket_log_fact,
)
from services.activation.domain.desk.assignment import Assignment, AssignmentReason, choose_agent
from services.activation.domain.desk.tickets import Ticket, fold_ticket
from services.activation.store.desk import Q, count_tickets, load_newest_queues, ticket_fact_of
from services.activation.store.run_reads import load_known_us
from services.chassis.codec.fields import token_from_proto
from services.chassis.definitions import Defined, WorkspaceLocks, check_room, define
from services.chassis.postgres.database import Database, acquire
from services.chassis.projection.runner import ProjectionRunner
from services.chassis.rpc.clients import IdentityClient, LogClient
from services.kernel.desk.model import DeskQueue
from services.kernel.desk.ticket_events import TicketEvent
from services.kernel.errors import InvalidField, NotFound
from services.kernel.identifiers.model import Identifier
from services.kernel.ids import LeafId, WorkspaceId, hash_id
from services.kernel.time import CLOCK_TOLERANCE_US
from services.kernel.tokens import Token

#: Queues of a workspace, retired ones included, and agents of a queue.
MAX_QUEUES: Final = 200
MAX_AGENTS: Final = 500
MAX_ID: Final = 128
MAX_TITLE: Final = 500
#: Scores of a rating.
SCORES: Final = range(1, 11)


class NewTicket(NamedTuple):
    """What a call says of a ticket that it opens."""

    queue_id: str
    title: str
    kind: str
    channel: str
    skill: str = ""
    for_agent_id: str = ""
    due_us: int = 0


class StoredTicket(NamedTuple):
    """A ticket as the facts that are known say."""

    leaf_id: LeafId
    ticket: Ticket


@dataclass(frozen=True)
class DeskCommands:
    """Defines queues and changes tickets."""

    database: Database
    runner: ProjectionRunner
    log: LogClient
    identity: IdentityClient
    #: One definition of a workspace at a time.
    locks: WorkspaceLocks = field(default_factory=WorkspaceLocks)

    async def define_queue(
        self,
        workspace_id: WorkspaceId,
        desired: DeskQueue,
        *,
        etag: str = "",
        dry_run: bool = False,
    ) -> Defined[DeskQueue]:
        """Define a version of a queue; its number is ignored.

        Raises InvalidField, Conflict, RetryableError.
        """
        _check_queue(desired)

        async def load(token: Token) -> DeskQueue | None:
            await self.runner.reach(token)
            async with acquire(self.database.api_pool) as conn:
                existing = await load_newest_queues(conn, workspace_id)
            check_room(existing, desired.queue_id, MAX_QUEUES, thing="queue")
            return existing.get(desired.queue_id)

        async with self.locks.of(workspace_id):
            return await define(
                lambda _: desired,
                log=self.log,
                load=load,
                to_fact=lambda queue: queue_definition(workspace_id, queue),
                etag=etag,
                dry_run=dry_run,
            )

    async def open(
        self,
        workspace_id: WorkspaceId,
        identifiers: Sequence[Identifier],
        new: NewTicket,
        request_id: str,
        occurred_at_us: int,
    ) -> tuple[bytes, bool, Token]:
        """Open a ticket; return its id and whether it is new.

        Its facts lie under the profile that has the first of the identifiers which one has. A
        second call with the `request_id` opens nothing. Raises InvalidField, NotFound, Conflict,
        RetryableError.
        """
        _check_request(request_id)
        _check_new(new)
        await self._check_time(occurred_at_us)
        async with acquire(self.database.api_pool) as conn:
            queue = (await load_newest_queues(conn, workspace_id)).get(new.queue_id)
        if queue is None or queue.retired:
            raise NotFound("no queue has this id: list them, or define it first")
        for identifier in identifiers:
            profile_id = await self.identity.by_identifier(workspace_id, identifier)
            if profile_id is not None:
                break
        else:
            raise NotFound("no person has such an identifier: send an event of the person first")
        ticket_id = hash_id(workspace_id, "ticket", request_id)
        queue_id, title, kind, channel, skill, for_agent_id, due_us = new
        fact = ticket_log_fact(
            TicketKey(workspace_id, ticket_id, LeafId(profile_id), queue_id, kind),
            TicketEvent.OPENED,
            ticket_id,
            occurred_at_us=occurred_at_us,
            title=title,
            channel=channel,
            skill=skill,
            for_agent_id=for_agent_id,
            due_us=due_us,
        )
        response = await self.log.append([fact])
        return ticket_id, response.appended > 0, token_from_proto(response.token)

    async def record(
        self,
        workspace_id: WorkspaceId,
        ticket_id: bytes,
        event: TicketEvent,
        request_id: str,
        occurred_at_us: int,
        **fields: Any,
    ) -> tuple[bool, Token]:
        """Record what has happened to a ticket; return whether it is new.

        `fields`: those of the message of the event. A second call with the `request_id` records
        nothing. Raises InvalidField, NotFound, Conflict, RetryableError.
        """
        _check_request(request_id)
        await self._check_time(occurred_at_us)
        async with acquire(self.database.api_pool) as conn:
            known_us = await load_known_us(conn)
        leaf_id, ticket = await self._load(workspace_id, ticket_id)
        if event is TicketEvent.ASSIGNED:
            agent_id = fields["agent_id"]
            chosen = await self._choose(workspace_id, ticket_id, ticket, agent_id)
            fields = assignment_fields(chosen)
        if event is TicketEvent.RATED and fields["score"] not in SCORES:
            raise InvalidField("a score is 1 to 10", field="rate.score")
        fact = ticket_log_fact(
            TicketKey.of(workspace_id, ticket_id, leaf_id, ticket),
            event,
            hash_id(ticket_id, event.value, "request", request_id),
            occurred_at_us=occurred_at_us,
            **fields,
        )
        response = await self.log.append([fact], known_us)
        return response.appended > 0, token_from_proto(response.token)

    async def _choose(
        self, workspace_id: WorkspaceId, ticket_id: bytes, ticket: Ticket, agent_id: str
    ) -> Assignment:
        """Return the assignment to an agent; "" = to another one that the desk chooses."""
        if len(agent_id) > MAX_ID:
            raise InvalidField(f"has at most {MAX_ID} characters", field="assign.agent_id")
        if agent_id:
            return Assignment(agent_id, AssignmentReason.CALL, ())
        async with acquire(self.database.api_pool) as conn:
            queues = await load_newest_queues(conn, workspace_id)
            counts = await count_tickets(conn, workspace_id)
        queue = queues.get(ticket.queue_id)
        _, now_us = await self.log.now()
        load = {each.agent_id: each.open + each.waiting for each in counts[ticket.queue_id]}
        chosen = None
        if queue is not None:
            chosen = choose_agent(queue, ticket_id, ticket, load, now_us)
        if chosen is None:
            raise InvalidField(
                "no agent of the queue works today: name one", field="assign.agent_id"
            )
        return chosen

    async def _load(self, workspace_id: WorkspaceId, ticket_id: bytes) -> StoredTicket:
        """Return a ticket as of now. Raises NotFound."""
        await self.runner.reach(await self.log.head())
        async with acquire(self.database.api_pool) as conn:
            row = await conn.fetchrow(Q.load_ticket, workspace_id, ticket_id)
            facts = await conn.fetch(Q.load_facts_of_ticket, workspace_id, ticket_id)
        ticket = fold_ticket(map(ticket_fact_of, facts))
        if row is None or ticket is None:
            raise NotFound("no ticket has this id: list them")
        return StoredTicket(LeafId(row["leaf_id"]), ticket)

    async def _check_time(self, occurred_at_us: int) -> None:
        if occurred_at_us:
            _, now_us = await self.log.now()
            if not 0 < occurred_at_us <= now_us + CLOCK_TOLERANCE_US:
                error = "is Unix microseconds and not in the future; 0 = now"
                raise InvalidField(error, field="occurred_at_us")


def _check_request(request_id: str) -> None:
    if not 0 < len(request_id) <= MAX_ID:
        raise InvalidField(f"has 1 to {MAX_ID} characters", field="request_id")


def _check_new(new: NewTicket) -> None:
    if not 0 < len(new.title) <= MAX_TITLE or "\0" in new.title:
        raise InvalidField(f"has 1 to {MAX_TITLE} characters and no NUL", field="title")
    for name in ("kind", "channel", "skill", "for_agent_id"):
        text = getattr(new, name)
        if len(text) > MAX_ID or "\0" in text:
            raise InvalidField(f"has at most {MAX_ID} characters and no NUL", field=name)
    if new.due_us < 0:
        raise InvalidField("is Unix microseconds; 0 = as the queue says", field="due_us")


def _check_queue(queue: DeskQueue) -> None:
    if not 0 < len(queue.queue_id) <= MAX_ID or not queue.queue_id.isprintable():
        raise InvalidField(f"has 1 to {MAX_ID} printable characters", field="queue.queue_id")
    if len(queue.title) > MAX_TITLE or "\0" in queue.title:
        raise InvalidField(f"has at most {MAX_TITLE} characters and no NUL", field="queue.title")
    if queue.first_answer_us < 0 or queue.solution_us < 0:
        raise InvalidField("a limit is not negative", field="queue")
    ids = [agent.agent_id for agent in queue.agents]
    if len(ids) > MAX_AGENTS or len(set(ids)) < len(ids):
        raise InvalidField(
            f"has at most {MAX_AGENTS} agents, each with another id", field="queue.agents"
        )
    for id_ in ids:
        if not 0 < len(id_) <= MAX_ID or not id_.isprintable():
            raise InvalidField(
                f"an agent has an id of 1 to {MAX_ID} printable characters", field="queue.agents"
            )
