"""Serves DeskService: queues, tickets and tasks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from onefold.activation.v1 import desk_service_pb2 as pb
from onefold.activation.v1 import desk_service_pb2_grpc as pb_grpc

from services.activation.codec.desk import encode_properties
from services.activation.commands.desk import DeskCommands, NewTicket
from services.activation.delivery.render import PersonReader
from services.activation.store.desk import Q, count_tickets, load_newest_queues, ticket_fact_of
from services.activation.store.journeys import FOREVER_US
from services.activation.store.run_reads import NEWEST
from services.activation.store.runs import profiles_of
from services.chassis.access.principal import workspace_id
from services.chassis.access.rights import allowed_roles
from services.chassis.codec.fields import PageToken, at_least_of, page_size_of, token_to_proto
from services.chassis.codec.journeys import queue_from_proto, queue_to_proto
from services.chassis.definitions import etag_of
from services.chassis.postgres.database import Database, acquire
from services.chassis.projection.runner import ProjectionRunner
from services.chassis.rpc.server import Allowed
from services.kernel.desk.ticket_events import TicketEvent
from services.kernel.errors import InvalidField, NotFound
from services.kernel.identifiers.model import Identifier
from services.kernel.ids import LeafId, WorkspaceId, parse_id, to_hex

#: The roles that may call each method.
ALLOWED: Allowed = allowed_roles(pb.DESCRIPTOR.services_by_name["DeskService"])
DEFAULT_KIND: Final = "ticket"
DEFAULT_CHANNEL: Final = "api"
#: (opened_at_us, ticket_id) of the last ticket of a page.
_PAGE_TOKEN: Final = PageToken("q16s")
_EVENTS: Final = {
    "assign": TicketEvent.ASSIGNED,
    "answer": TicketEvent.ANSWERED,
    "wait": TicketEvent.WAITING,
    "resolve": TicketEvent.RESOLVED,
    "reopen": TicketEvent.REOPENED,
    "rate": TicketEvent.RATED,
}


@dataclass(frozen=True)
class DeskRpc(pb_grpc.DeskServiceServicer):
    """onefold.activation.v1.DeskService."""

    desk: DeskCommands
    persons: PersonReader
    database: Database
    runner: ProjectionRunner

    async def DefineQueue(
        self, request: pb.DefineQueueRequest, context: Any
    ) -> pb.DefineQueueResponse:
        defined = await self.desk.define_queue(
            workspace_id(),
            queue_from_proto(request.queue),
            etag=request.etag,
            dry_run=request.dry_run,
        )
        return pb.DefineQueueResponse(
            queue=queue_to_proto(defined.definition),
            changed=defined.changed,
            token=token_to_proto(defined.token),
            etag=defined.etag,
        )

    async def ListQueues(
        self, request: pb.ListQueuesRequest, context: Any
    ) -> pb.ListQueuesResponse:
        await self.runner.reach(at_least_of(request))
        async with acquire(self.database.api_pool) as conn:
            queues = await load_newest_queues(conn, workspace_id())
            counts = await count_tickets(conn, workspace_id())
        return pb.ListQueuesResponse(
            queues=[
                pb.QueueSummary(
                    queue=queue_to_proto(queue),
                    etag=etag_of(queue.version),
                    loads=[pb.AgentLoad(**each._asdict()) for each in counts[id_]],
                )
                for id_, queue in sorted(queues.items())
            ]
        )

    async def OpenTicket(
        self, request: pb.OpenTicketRequest, context: Any
    ) -> pb.OpenTicketResponse:
        ticket_id, is_new, token = await self.desk.open(
            workspace_id(),
            [Identifier(each.namespace, each.value) for each in request.identifiers],
            NewTicket(
                request.queue_id,
                request.title,
                request.kind or DEFAULT_KIND,
                request.channel or DEFAULT_CHANNEL,
                request.skill,
                request.for_agent_id,
                request.due_us,
            ),
            request.request_id,
            request.occurred_at_us,
        )
        return pb.OpenTicketResponse(
            ticket_id=to_hex(ticket_id), is_new=is_new, token=token_to_proto(token)
        )

    async def UpdateTicket(
        self, request: pb.UpdateTicketRequest, context: Any
    ) -> pb.UpdateTicketResponse:
        kind = request.WhichOneof("kind")
        if kind is None:
            raise InvalidField("say what has happened: set exactly one of its kinds", field="kind")
        change = getattr(request, kind)
        is_new, token = await self.desk.record(
            workspace_id(),
            parse_id(request.ticket_id, "ticket_id"),
            _EVENTS[kind],
            request.request_id,
            request.occurred_at_us,
            **{field.name: getattr(change, field.name) for field in change.DESCRIPTOR.fields},
        )
        return pb.UpdateTicketResponse(is_new=is_new, token=token_to_proto(token))

    async def ListTickets(
        self, request: pb.ListTicketsRequest, context: Any
    ) -> pb.ListTicketsResponse:
        await self.runner.reach(at_least_of(request))
        size, workspace = page_size_of(request), workspace_id()
        before = _PAGE_TOKEN.decode(request.page_token) or NEWEST
        leaves = None
        if request.profile_id:
            leaves = await self._leaves(
                workspace, LeafId(parse_id(request.profile_id, "profile_id"))
            )
        filters = request.queue_id, request.agent_id, leaves, request.state, request.breached
        async with acquire(self.database.api_pool) as conn:
            rows = await conn.fetch(Q.list_tickets, workspace, *before, *filters, size)
            owners = await profiles_of(conn, [(workspace, r["leaf_id"]) for r in rows], FOREVER_US)
        token = ""
        if len(rows) == size:
            token = _PAGE_TOKEN.encode(rows[-1]["opened_at_us"], rows[-1]["ticket_id"])
        tickets = [_ticket(row, owners.get((workspace, row["leaf_id"]))) for row in rows]
        return pb.ListTicketsResponse(tickets=tickets, next_page_token=token)

    async def GetTicket(self, request: pb.GetTicketRequest, context: Any) -> pb.GetTicketResponse:
        ticket_id, workspace = parse_id(request.ticket_id, "ticket_id"), workspace_id()
        await self.runner.reach(at_least_of(request))
        async with acquire(self.database.api_pool) as conn:
            row = await conn.fetchrow(Q.load_ticket, workspace, ticket_id)
            if row is None or not row["state"]:
                raise NotFound("no ticket has this id: list them")
            rows = await conn.fetch(Q.load_facts_of_ticket, workspace, ticket_id)
            owners = await profiles_of(conn, [(workspace, row["leaf_id"])], FOREVER_US)
        facts = sorted((ticket_fact_of(each) for each in rows), key=lambda fact: fact[:2])
        return pb.GetTicketResponse(
            ticket=_ticket(row, owners.get((workspace, row["leaf_id"]))),
            entries=[
                pb.TicketEntry(
                    occurred_at_us=fact.occurred_at_us,
                    event=fact.event.value,
                    properties=encode_properties(fact),
                )
                for fact in facts
            ],
        )

    async def _leaves(self, workspace: WorkspaceId, profile_id: LeafId) -> list[LeafId]:
        """Return the leaves of a profile, also after it was merged into another one."""
        found = await self.persons(workspace, [profile_id], await self.runner.token())
        return sorted({leaf_id for person in found.values() for leaf_id in person.leaf_ids})


def _ticket(row: Any, profile_id: bytes | None) -> pb.Ticket:
    return pb.Ticket(
        ticket_id=to_hex(row["ticket_id"]),
        queue_id=row["queue_id"],
        profile_id=to_hex(profile_id or row["leaf_id"]),
        kind=row["kind"],
        title=row["title"],
        state=row["state"],
        agent_id=row["agent_id"],
        opened_at_us=row["opened_at_us"],
        due_us=row["due_us"] or 0,
        breached=row["breached"],
    )
