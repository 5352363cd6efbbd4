"""Decides what follows for a ticket at an instant: who works on it, which limits it has passed."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import NamedTuple, TypeAlias

from services.activation.domain.desk.assignment import Assignment, choose_agent
from services.activation.domain.desk.tickets import Breach, Ticket
from services.kernel.calendar import local_date, start_of_date
from services.kernel.desk.model import TASK, DeskQueue, SlaLimit
from services.kernel.desk.service_time import limit_passed_us


class Withdrawal(NamedTuple):
    """A limit that a ticket had not passed after all."""

    limit: SlaLimit
    #: Counts the withdrawals of the limit from 1.
    number: int


class Passed(NamedTuple):
    """A limit that a ticket has passed."""

    limit: SlaLimit
    breach: Breach
    #: Counts the breaches of the limit from 0.
    number: int


Decision: TypeAlias = Assignment | Passed | Withdrawal


class TicketLook(NamedTuple):
    """What follows for a ticket."""

    decisions: tuple[Decision, ...]
    #: When a limit passes next; None = none is ahead.
    due_us: int | None
    #: When the ticket is to be looked at again; None = when something happens to it.
    look_us: int | None


def look_at_ticket(
    ticket_id: bytes,
    ticket: Ticket,
    queues: Mapping[int, DeskQueue],
    open_tickets: Mapping[str, int],
    now_us: int,
) -> TicketLook:
    """Return what follows for a ticket from what is known at an instant that the log has passed.

    `queues`: the versions of its queue; none = it is not defined.
    """
    if not queues:
        return TicketLook((), None, None)
    newest = queues[max(queues)]
    decisions: list[Decision] = []
    instants: list[int] = []
    dues: list[int] = []
    if ticket.state.is_open and not ticket.agent_id and newest.agents:
        chosen = choose_agent(newest, ticket_id, ticket, open_tickets, now_us)
        if chosen is None:
            tomorrow = local_date(now_us, newest.zone) + timedelta(days=1)
            instants.append(start_of_date(tomorrow, newest.zone))
        else:
            decisions.append(chosen)
    for limit in SlaLimit:
        breach = ticket.breaches.get(limit)
        number = ticket.withdrawn.get(limit, 0)
        if breach is not None:
            queue = queues.get(breach.queue_version, newest)
            passed_us = passed(ticket, queue, limit)
            if passed_us is None or passed_us > now_us:
                decisions.append(Withdrawal(limit, number + 1))
                instants.append(now_us)
            continue
        passed_us = passed(ticket, newest, limit)
        if passed_us is None:
            continue
        if passed_us <= now_us:
            decisions.append(Passed(limit, Breach(passed_us, newest.version), number))
        else:
            dues.append(passed_us)
    due_us = min(dues, default=None)
    return TicketLook(tuple(decisions), due_us, min((*instants, *dues), default=None))


def passed(ticket: Ticket, queue: DeskQueue, limit: SlaLimit) -> int | None:
    """Return when a ticket passes a limit, if nothing more happens to it; None = it does not."""
    if limit is SlaLimit.FIRST_ANSWER and ticket.kind == TASK:
        return None  # it has no question
    if limit is SlaLimit.SOLUTION and ticket.due_us:
        due_us = max(ticket.due_us, ticket.opened_at_us)
        is_late = any(
            from_us <= due_us and (to_us is None or to_us > due_us)
            for from_us, to_us in ticket.unresolved
        )
        return due_us if is_late else None
    span_us = queue.span_us(limit)
    return limit_passed_us(queue, ticket.running(limit), span_us) if span_us else None
