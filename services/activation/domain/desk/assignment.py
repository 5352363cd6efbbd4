"""Chooses the agent of a ticket by a roster, which is the evidence of the choice."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import NamedTuple

from services.activation.domain.desk.tickets import Ticket
from services.activation.domain.journeys.player import share_of
from services.kernel.calendar import local_date
from services.kernel.desk.model import DeskQueue


class AssignmentReason(Enum):
    """Why an agent was chosen; the value is the word in events."""

    CALL = "call"
    NAMED = "named"
    SKILL = "skill"
    LEAST_OPEN = "least_open"


class Assignment(NamedTuple):
    """The agent who was chosen, and who else could be."""

    agent_id: str
    reason: AssignmentReason
    #: Agents who work that day with their open tickets, by id.
    roster: tuple[tuple[str, int], ...]


def choose_agent(
    queue: DeskQueue, ticket_id: bytes, ticket: Ticket, open_tickets: Mapping[str, int], now_us: int
) -> Assignment | None:
    """Return who works on a ticket: the agent that it is for; else, of those with its skill (of
    all, if it needs none that anybody has), one with the fewest open tickets, chosen by a hash.

    Who is away that day is left out, and the agent who has the ticket, unless there is no other
    one. None = all are away.
    """
    day = local_date(now_us, queue.zone).isoformat()
    present = {agent.agent_id: agent for agent in queue.agents if agent.works_on(day)}
    others = {id_: agent for id_, agent in present.items() if id_ != ticket.agent_id}
    if not (present := others or present):
        return None
    roster = tuple((id_, open_tickets.get(id_, 0)) for id_ in sorted(present))
    if ticket.for_agent_id in present:
        return Assignment(ticket.for_agent_id, AssignmentReason.NAMED, roster)
    skilled = {
        id_ for id_, agent in present.items() if ticket.skill and ticket.skill in agent.skills
    }
    reason = AssignmentReason.SKILL if skilled else AssignmentReason.LEAST_OPEN
    eligible = [own for own in roster if not skilled or own[0] in skilled]
    fewest = min(count for _, count in eligible)
    least = [id_ for id_, count in eligible if count == fewest]
    return Assignment(least[share_of("assign", ticket_id) % len(least)], reason, roster)
