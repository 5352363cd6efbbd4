"""Folds what has happened to a ticket: a function of the set of facts, in any order."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import Any, Final, NamedTuple

from services.kernel.desk.model import SlaLimit
from services.kernel.desk.service_time import RunningSpan
from services.kernel.desk.ticket_events import TicketEvent
from services.kernel.ids import FactId
from services.kernel.rules.values import Json

#: After every instant.
_NEVER_US: Final = 1 << 62


class TicketState(IntEnum):
    """Where a ticket stands; the numbers of onefold.activation.v1.TicketState."""

    OPEN = 1
    WAITING = 2
    RESOLVED = 3
    CANCELLED = 4

    @property
    def is_open(self) -> bool:
        """Whether something is left to do."""
        return self in (TicketState.OPEN, TicketState.WAITING)


class TicketFact(NamedTuple):
    """Something that has happened to a ticket, in the order in which it counts."""

    #: Unix microseconds.
    occurred_at_us: int
    fact_id: FactId
    event: TicketEvent
    #: As they are on the timeline.
    properties: Mapping[str, Json]

    def text(self, name: str) -> str:
        """Return a property that is a text; empty = there is none."""
        value = self.properties.get(name)
        return value if isinstance(value, str) else ""

    def number(self, name: str) -> int:
        """Return a property that is a whole number; 0 = there is none."""
        value = self.properties.get(name)
        return value if type(value) is int else 0


class Breach(NamedTuple):
    """A limit that a ticket has passed."""

    due_us: int
    #: The version of the queue that has the limit.
    queue_version: int


@dataclass(frozen=True, slots=True)
class Ticket:
    """A ticket or a task, as its facts say."""

    queue_id: str
    kind: str
    title: str
    state: TicketState
    opened_at_us: int
    #: Empty = none yet.
    agent_id: str
    #: Agents who were chosen, the last one last.
    assigned: tuple[str, ...]
    skill: str
    for_agent_id: str
    #: When it is to be solved; 0 = as the queue says.
    due_us: int
    #: None = it has no answer yet.
    answered_at_us: int | None
    #: When the work goes on, ascending.
    working: tuple[RunningSpan, ...]
    #: When it is open, also where it waits; ascending.
    unresolved: tuple[RunningSpan, ...]
    #: The limits that it has passed and that were not withdrawn.
    breaches: Mapping[SlaLimit, Breach]
    #: How often each breach was withdrawn.
    withdrawn: Mapping[SlaLimit, int]

    def running(self, limit: SlaLimit) -> tuple[RunningSpan, ...]:
        """Return when the clock of a limit runs; that of the first answer ends with it."""
        if limit is SlaLimit.SOLUTION or self.answered_at_us is None:
            return self.working
        end_us = self.answered_at_us
        return tuple(
            RunningSpan(from_us, end_us if to_us is None else min(to_us, end_us))
            for from_us, to_us in self.working
            if from_us < end_us
        )


def fold_ticket(facts: Iterable[TicketFact]) -> Ticket | None:
    """Return the ticket of some facts, which may repeat; None = none says that it was opened."""
    ordered = sorted({fact.fact_id: fact for fact in facts}.values(), key=lambda fact: fact[:2])
    opened = next((fact for fact in ordered if fact.event is TicketEvent.OPENED), None)
    if opened is None:
        return None
    fold = _Fold(opened)
    for fact in ordered:
        fold.take(fact)
    return fold.ticket()


class _Fold:
    def __init__(self, opened: TicketFact) -> None:
        self._opened = opened
        self._state = TicketState.OPEN
        self._working: list[list[int | None]] = [[opened.occurred_at_us, None]]
        self._unresolved: list[list[int | None]] = [[opened.occurred_at_us, None]]
        self._answered_us: int | None = None
        self._assigned: list[str] = []
        self._breaches: dict[SlaLimit, Breach] = {}
        self._withdrawn: dict[SlaLimit, int] = {}

    def take(self, fact: TicketFact) -> None:
        at_us = max(fact.occurred_at_us, self._opened.occurred_at_us)
        match fact.event:
            case TicketEvent.ASSIGNED:
                self._assigned.append(fact.text("agent_id"))
            case TicketEvent.ANSWERED:
                self._answer(at_us)
            case TicketEvent.WAITING if self._state.is_open:
                self._change(TicketState.WAITING, at_us)
            case TicketEvent.RESOLVED:
                is_cancelled = fact.properties.get("cancelled") is True
                self._answer(at_us)
                self._change(TicketState.CANCELLED if is_cancelled else TicketState.RESOLVED, at_us)
            case TicketEvent.REOPENED:
                self._change(TicketState.OPEN, at_us)
            case TicketEvent.SLA_BREACHED:
                if (limit := _limit(fact)) is not None:
                    self._breaches[limit] = Breach(
                        fact.number("due_us"), fact.number("queue_version")
                    )
            case TicketEvent.SLA_BREACH_WITHDRAWN:
                if (limit := _limit(fact)) is not None:
                    self._breaches.pop(limit, None)
                    self._withdrawn[limit] = self._withdrawn.get(limit, 0) + 1
            case _:
                pass

    def ticket(self) -> Ticket:
        opened = self._opened
        return Ticket(
            opened.text("queue_id"),
            opened.text("kind"),
            opened.text("title"),
            self._state,
            opened.occurred_at_us,
            self._assigned[-1] if self._assigned else "",
            tuple(self._assigned),
            opened.text("skill"),
            opened.text("for_agent_id"),
            opened.number("due_us"),
            self._answered_us,
            _spans(self._working),
            _spans(self._unresolved),
            self._breaches,
            self._withdrawn,
        )

    def _answer(self, at_us: int) -> None:
        self._answered_us = min(
            at_us, _NEVER_US if self._answered_us is None else self._answered_us
        )

    def _change(self, state: TicketState, at_us: int) -> None:
        self._state = state
        _run(self._working, state is TicketState.OPEN, at_us)
        _run(self._unresolved, state.is_open, at_us)


def _run(spans: list[list[int | None]], runs: bool, at_us: int) -> None:
    """Let a clock run or stand from an instant on."""
    if runs and spans[-1][1] is not None:
        spans.append([at_us, None])
    elif not runs and spans[-1][1] is None:
        spans[-1][1] = at_us


def _spans(spans: Iterable[list[Any]]) -> tuple[RunningSpan, ...]:
    return tuple(RunningSpan(from_us, to_us) for from_us, to_us in spans)


def _limit(fact: TicketFact) -> SlaLimit | None:
    try:
        return SlaLimit(fact.properties.get("limit"))
    except ValueError:
        return None
