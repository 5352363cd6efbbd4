"""`./onefold tickets`: the service desk: tickets and tasks, who works on them and until when."""

from __future__ import annotations

from secrets import token_hex
from typing import Annotated, Any

import typer
from onefold.activation.v1 import desk_service_pb2 as pb
from onefold.activation.v1.desk_pb2 import SlaLimit
from onefold.profile.v1.profile_service_pb2 import GetProfileRequest
from typer import Argument, Option

from services.cli import output
from services.cli.context import DataDir, run_with_client
from services.cli.output import format_json, format_time
from services.cli.values import instant_of, value_of, word_of
from services.client.client import Client
from services.client.text import parse_identifier, profile_selector

app = typer.Typer(no_args_is_help=True, help="Open, assign and resolve tickets and tasks.")

TicketId = Annotated[str, Argument(metavar="TICKET", help="The id of a ticket.")]
Occurred = Annotated[str, Option("--at", metavar="TIME", help="When it happened; without it, now.")]
RequestId = Annotated[
    str,
    Option("--request", metavar="ID", help="Makes the call repeatable: the same id counts once."),
]
_STATE, _LIMIT = "TICKET_STATE_", "SLA_LIMIT_"


@app.command("list")
def list_tickets(
    data: DataDir,
    queue: Annotated[str, Option(help="Only those of a queue.")] = "",
    agent: Annotated[str, Option(help="Only those of an agent.")] = "",
    of: Annotated[str, Option(metavar="PROFILE", help="NAMESPACE:VALUE, or a profile id.")] = "",
    state: Annotated[str, Option(help="open, waiting, resolved or cancelled.")] = "",
    breached: Annotated[bool, Option(help="Only those that have passed a limit.")] = False,
    limit: Annotated[int, Option(min=1, max=1_000, help="The most tickets to show.")] = 50,
) -> None:
    """List tickets, those that were opened last first."""

    async def load(client: Client) -> pb.ListTicketsResponse:
        request = pb.ListTicketsRequest(
            queue_id=queue, agent_id=agent, breached=breached, page_size=limit
        )
        if state:
            request.state = value_of(pb.TicketState, _STATE, state, "--state")
        if of:
            selector = GetProfileRequest(**profile_selector(of))
            request.profile_id = (await client.profile.GetProfile(selector)).profile.profile_id
        return await client.desk.ListTickets(request)

    rows = [
        (
            each.ticket_id,
            *(each.queue_id, each.kind, word_of(pb.TicketState, _STATE, each.state)),
            each.agent_id,
            format_time(each.due_us) if each.due_us else "",
            _breached(each),
            each.title,
        )
        for each in run_with_client(data, load).tickets
    ]
    output.print_table(
        ("ticket", "queue", "kind", "state", "agent", "due", "breached", "title"), rows
    )


@app.command()
def board(data: DataDir) -> None:
    """Count what is open in each queue, by agent."""
    request = pb.ListQueuesRequest()
    response = run_with_client(data, lambda client: client.desk.ListQueues(request))
    rows = [
        (
            each.queue.queue_id,
            load.agent_id or "(no agent yet)",
            *(f"{count:,}" for count in (load.open, load.waiting, load.breached)),
            each.queue.title,
        )
        for each in response.queues
        if each.loads or not each.queue.retired
        for load in each.loads or [pb.AgentLoad(agent_id="-")]
    ]
    output.print_table(("queue", "agent", "open", "waiting", "breached", "title"), rows)


@app.command()
def show(data: DataDir, ticket: TicketId) -> None:
    """Show a ticket with what has happened to it."""
    request = pb.GetTicketRequest(ticket_id=ticket)
    found = run_with_client(data, lambda client: client.desk.GetTicket(request))
    own = found.ticket
    state, agent = word_of(pb.TicketState, _STATE, own.state), own.agent_id or "no agent yet"
    output.out.print(f"{own.kind} {own.ticket_id} in {own.queue_id}: {state}, {agent}")
    output.out.print(own.title)
    rows = [
        (format_time(each.occurred_at_us), each.event, format_json(each.properties))
        for each in found.entries
    ]
    output.print_table(("time", "event", "properties"), rows)


@app.command("open")
def open_ticket(
    data: DataDir,
    queue: Annotated[str, Argument(metavar="QUEUE", help="The id of a queue.")],
    of: Annotated[str, Argument(metavar="IDENTIFIER", help="NAMESPACE:VALUE of the person.")],
    title: Annotated[str, Argument(metavar="TITLE", help="What it is about.")],
    kind: Annotated[str, Option(help="What it is, such as complaint.")] = "",
    channel: Annotated[str, Option(help="Where it comes from, such as phone.")] = "",
    skill: Annotated[str, Option(help="The skill that it needs.")] = "",
    agent: Annotated[str, Option(help="The agent that it is for.")] = "",
    due: Annotated[str, Option(metavar="TIME", help="When it is to be solved.")] = "",
    at: Occurred = "",
    request_id: RequestId = "",
) -> None:
    """Open a ticket about a person."""
    request = pb.OpenTicketRequest(
        identifiers=[parse_identifier(of)],
        queue_id=queue,
        title=title,
        kind=kind,
        channel=channel,
        skill=skill,
        for_agent_id=agent,
        due_us=instant_of(due, "--due"),
        occurred_at_us=instant_of(at, "--at"),
        request_id=request_id or token_hex(16),
    )
    opened = run_with_client(data, lambda client: client.desk.OpenTicket(request))
    output.out.print(opened.ticket_id)


@app.command()
def assign(
    data: DataDir,
    ticket: TicketId,
    agent: Annotated[
        str, Argument(metavar="[AGENT]", help="The agent; without one, the desk chooses.")
    ] = "",
    request_id: RequestId = "",
) -> None:
    """Assign a ticket to an agent, or to another one than it has."""
    _update(data, ticket, "", request_id, assign=pb.AssignTicket(agent_id=agent))


@app.command()
def answer(data: DataDir, ticket: TicketId, at: Occurred = "", request_id: RequestId = "") -> None:
    """Record that the person has got an answer."""
    _update(data, ticket, at, request_id, answer=pb.AnswerTicket())


@app.command()
def wait(data: DataDir, ticket: TicketId, at: Occurred = "", request_id: RequestId = "") -> None:
    """Record that a ticket waits for the person; its limits pause."""
    _update(data, ticket, at, request_id, wait=pb.WaitForPerson())


@app.command()
def resolve(
    data: DataDir,
    ticket: TicketId,
    cancelled: Annotated[bool, Option(help="Nothing is left to do.")] = False,
    at: Occurred = "",
    request_id: RequestId = "",
) -> None:
    """Record that a ticket is solved."""
    _update(data, ticket, at, request_id, resolve=pb.ResolveTicket(cancelled=cancelled))


@app.command()
def reopen(data: DataDir, ticket: TicketId, at: Occurred = "", request_id: RequestId = "") -> None:
    """Record that the work on a ticket goes on."""
    _update(data, ticket, at, request_id, reopen=pb.ReopenTicket())


@app.command()
def rate(
    data: DataDir,
    ticket: TicketId,
    score: Annotated[int, Argument(metavar="SCORE", help="1 to 10.", min=1, max=10)],
    at: Occurred = "",
    request_id: RequestId = "",
) -> None:
    """Record how the person rates the service."""
    _update(data, ticket, at, request_id, rate=pb.RateTicket(score=score))


def _update(data: DataDir, ticket: str, at: str, request_id: str, **kind: Any) -> None:
    request = pb.UpdateTicketRequest(
        ticket_id=ticket,
        occurred_at_us=instant_of(at, "--at"),
        request_id=request_id or token_hex(16),
        **kind,
    )
    run_with_client(data, lambda client: client.desk.UpdateTicket(request))
    output.out.print("Recorded.")


def _breached(ticket: pb.Ticket) -> str:
    return ", ".join(word_of(SlaLimit, _LIMIT, each) for each in ticket.breached)
