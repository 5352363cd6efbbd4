"""Tests tickets as functions of the set of their facts, assignments and limits."""

from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.activation.codec.desk import TicketKey, decided_fact, logged_ticket_fact
from services.activation.domain.desk.assignment import Assignment, AssignmentReason, choose_agent
from services.activation.domain.desk.looks import Passed, TicketLook, Withdrawal, look_at_ticket
from services.activation.domain.desk.tickets import Ticket, TicketFact, TicketState, fold_ticket
from services.kernel.desk.model import Absence, DeskAgent, DeskQueue, SlaLimit
from services.kernel.desk.ticket_events import TicketEvent
from services.kernel.ids import FactId, LeafId, WorkspaceId, hash_id
from services.kernel.time import DAY_US, HOUR_US

E = TicketEvent
TICKET = hash_id("ticket")
KEY = TicketKey(WorkspaceId("w"), TICKET, LeafId(hash_id("leaf")), "q", "ticket")
#: 2026-03-02 00:00 UTC, a Monday.
T0 = 1_772_409_600_000_000
FIRST, SOLUTION = SlaLimit.FIRST_ANSWER, SlaLimit.SOLUTION
QUEUE = DeskQueue("q", first_answer_us=4 * HOUR_US, solution_us=2 * DAY_US, version=1)
WANG = DeskAgent("wang", ("refund",), (Absence("2026-03-03", "2026-03-04"),))
LI, ZHAO = DeskAgent("li"), DeskAgent("zhao", ("refund",))


def fact(event: TicketEvent, hours: float, **properties: Any) -> TicketFact:
    at_us = T0 + int(hours * HOUR_US)
    return TicketFact(at_us, FactId(hash_id(event.value, str(hours))), event, properties)


def opened(**properties: Any) -> TicketFact:
    return fact(E.OPENED, 0, **{"queue_id": "q", "kind": "ticket", "title": "t", **properties})


def ticket_of(*facts: TicketFact, **properties: Any) -> Ticket:
    ticket = fold_ticket([opened(**properties), *facts])
    assert ticket is not None
    return ticket


def look(ticket: Ticket, hours: float, *queues: DeskQueue) -> TicketLook:
    versions = {queue.version: queue for queue in queues or (QUEUE,)}
    return look_at_ticket(TICKET, ticket, versions, {}, T0 + int(hours * HOUR_US))


def carried_out(ticket: Ticket, found: TicketLook, hours: float) -> list[TicketFact]:
    """Return the decisions of a look as facts that have come back from the log."""
    facts = []
    for decision in found.decisions:
        at_us = T0 + int(hours * HOUR_US)
        own = logged_ticket_fact(
            decided_fact(KEY, decision, len(ticket.assigned), at_us, "activation")
        )
        assert own is not None
        facts.append(own.fact)
    return facts


EVENTS = st.lists(
    st.tuples(st.sampled_from([e for e in E if e is not E.OPENED]), st.integers(-2, 60)),
    max_size=12,
)


@given(events=EVENTS, seed=st.integers(0, 1_000))
def test_ticket_is_a_function_of_the_set_of_its_facts(
    events: list[tuple[TicketEvent, int]], seed: int
) -> None:
    facts = [opened(), *(fact(e, h, agent_id=f"a{h}", limit="solution") for e, h in events)]
    shuffled = [*facts, *facts[: seed % 5]]
    random.Random(seed).shuffle(shuffled)
    assert fold_ticket(shuffled) == fold_ticket(facts)


@given(events=EVENTS, seed=st.integers(0, 1_000))
def test_clock_of_the_solution_runs_while_the_ticket_is_open(
    events: list[tuple[TicketEvent, int]], seed: int
) -> None:
    ticket = ticket_of(*(fact(e, h) for e, h in events))
    runs = ticket.working[-1].to_us is None
    assert runs == (ticket.state is TicketState.OPEN)
    assert (ticket.unresolved[-1].to_us is None) == ticket.state.is_open
    bounds = [each for span in ticket.working for each in span if each is not None]
    assert bounds == sorted(bounds)


def test_facts_without_the_one_that_opens_are_no_ticket_yet() -> None:
    assert fold_ticket([fact(E.ANSWERED, 1), fact(E.RESOLVED, 2)]) is None


@pytest.mark.parametrize(
    ("events", "state"),
    [
        ([], TicketState.OPEN),
        ([fact(E.WAITING, 1)], TicketState.WAITING),
        ([fact(E.WAITING, 1), fact(E.ANSWERED, 2)], TicketState.WAITING),
        ([fact(E.WAITING, 1), fact(E.REOPENED, 2)], TicketState.OPEN),
        ([fact(E.RESOLVED, 1)], TicketState.RESOLVED),
        ([fact(E.RESOLVED, 1), fact(E.WAITING, 2)], TicketState.RESOLVED),
        ([fact(E.RESOLVED, 1), fact(E.REOPENED, 2)], TicketState.OPEN),
        ([fact(E.RESOLVED, 1, cancelled=True)], TicketState.CANCELLED),
    ],
    ids=range(8),
)
def test_state_follows_from_the_last_change(events: list[TicketFact], state: TicketState) -> None:
    assert ticket_of(*events).state is state


def passed(found: TicketLook) -> dict[SlaLimit, float]:
    """Return the limits that a look finds passed, with the hours after which they were."""
    return {
        each.limit: (each.breach.due_us - T0) / HOUR_US
        for each in found.decisions
        if isinstance(each, Passed)
    }


def test_limit_that_passes_without_an_answer_is_a_breach_once() -> None:
    ticket = ticket_of()
    assert look(ticket, 3.9).decisions == ()
    assert look(ticket, 3.9).look_us == T0 + 4 * HOUR_US
    found = look(ticket, 4)
    assert passed(found) == {FIRST: 4}
    after = ticket_of(*carried_out(ticket, found, 4))
    assert look(after, 5).decisions == ()
    assert look(after, 5).due_us == T0 + 48 * HOUR_US


def test_answer_in_time_leaves_the_solution_alone() -> None:
    ticket = ticket_of(fact(E.ANSWERED, 4))
    assert passed(look(ticket, 47)) == {}
    assert passed(look(ticket, 48)) == {SOLUTION: 48}


def test_solution_counts_as_an_answer() -> None:
    assert look(ticket_of(fact(E.RESOLVED, 3)), 100) == TicketLook((), None, None)


def test_waiting_pauses_the_limits() -> None:
    ticket = ticket_of(fact(E.ANSWERED, 1), fact(E.WAITING, 10), fact(E.REOPENED, 30))
    assert passed(look(ticket, 67)) == {}
    assert passed(look(ticket, 68)) == {SOLUTION: 68}
    assert look(ticket_of(fact(E.ANSWERED, 1), fact(E.WAITING, 10)), 1_000).decisions == ()


def test_reopened_ticket_goes_on_with_the_time_that_is_left() -> None:
    ticket = ticket_of(fact(E.ANSWERED, 1), fact(E.RESOLVED, 40), fact(E.REOPENED, 100))
    assert look(ticket, 101).due_us == T0 + 108 * HOUR_US
    assert passed(look(ticket, 108)) == {SOLUTION: 108}


def test_answer_that_is_learnt_late_withdraws_the_breach_and_a_later_one_is_another() -> None:
    ticket = ticket_of(fact(E.ANSWERED, 1))
    first = carried_out(ticket, look(ticket, 48), 48)
    late = [*first, fact(E.ANSWERED, 1), fact(E.RESOLVED, 47)]
    known = ticket_of(*late)
    found = look(known, 50)
    assert found.decisions == (Withdrawal(SOLUTION, 1),)
    late += carried_out(known, found, 50)
    assert ticket_of(*late).breaches == {}
    assert look(ticket_of(*late), 51).decisions == ()
    again = ticket_of(*late, fact(E.REOPENED, 60))
    found = look(again, 61)
    assert passed(found) == {SOLUTION: 61}
    [second] = carried_out(again, found, 61)
    assert second.fact_id not in {each.fact_id for each in late}
    assert ticket_of(*late, fact(E.REOPENED, 60), second).breaches.keys() == {SOLUTION}


def test_answer_after_the_limit_withdraws_nothing() -> None:
    ticket = ticket_of()
    breach = carried_out(ticket, look(ticket, 4), 4)
    assert look(ticket_of(*breach, fact(E.ANSWERED, 5)), 6).decisions == ()


def test_changed_limit_leaves_a_breach_by_the_version_that_it_names() -> None:
    ticket = ticket_of()
    breach = carried_out(ticket, look(ticket, 4), 4)
    longer = DeskQueue("q", first_answer_us=90 * HOUR_US, version=2)
    assert look(ticket_of(*breach), 5, QUEUE, longer).decisions == ()
    assert passed(look(ticket, 5, QUEUE, longer)) == {}


def test_due_of_a_task_goes_before_the_limit_of_the_queue_and_does_not_pause() -> None:
    due = {"due_us": T0 + 10 * HOUR_US, "kind": "task"}
    answered = fact(E.ANSWERED, 1)
    assert passed(look(ticket_of(answered, **due), 10)) == {SOLUTION: 10}
    assert passed(look(ticket_of(answered, fact(E.WAITING, 2), **due), 10)) == {SOLUTION: 10}
    assert passed(look(ticket_of(fact(E.RESOLVED, 10), **due), 11)) == {}


def chosen(ticket: Ticket, loads: dict[str, int], day: int = 0, *agents: DeskAgent) -> Assignment:
    queue = DeskQueue("q", agents=agents or (WANG, LI, ZHAO))
    found = choose_agent(queue, TICKET, ticket, loads, T0 + day * DAY_US)
    assert found is not None
    return found


def test_ticket_goes_to_the_agent_that_it_names() -> None:
    found = chosen(ticket_of(for_agent_id="wang"), {"wang": 9})
    assert found == ("wang", AssignmentReason.NAMED, (("li", 0), ("wang", 9), ("zhao", 0)))


def test_ticket_goes_to_another_agent_while_its_own_is_away() -> None:
    found = chosen(ticket_of(for_agent_id="wang", skill="refund"), {}, day=1)
    assert found == ("zhao", AssignmentReason.SKILL, (("li", 0), ("zhao", 0)))


def test_ticket_goes_to_the_fewest_open_tickets_of_those_with_its_skill() -> None:
    loads = {"wang": 2, "zhao": 1}
    assert chosen(ticket_of(skill="refund"), loads).agent_id == "zhao"
    assert chosen(ticket_of(skill="unknown"), loads).agent_id == "li"
    assert chosen(ticket_of(), loads).reason is AssignmentReason.LEAST_OPEN


def test_ticket_that_is_assigned_again_goes_to_another_agent() -> None:
    ticket = ticket_of(fact(E.ASSIGNED, 1, agent_id="li"))
    assert chosen(ticket, {"wang": 5, "zhao": 5}).agent_id != "li"
    assert chosen(ticket, {}, 0, LI).agent_id == "li"


def test_equal_agents_share_tickets_by_a_hash() -> None:
    queue = DeskQueue("q", agents=(LI, ZHAO))
    found = [choose_agent(queue, hash_id(str(n)), ticket_of(), {}, T0) for n in range(400)]
    counts = [
        sum(each is not None and each.agent_id == id_ for each in found) for id_ in ("li", "zhao")
    ]
    assert min(counts) > 150


def test_ticket_waits_for_the_next_day_while_all_are_away() -> None:
    queue = DeskQueue("q", agents=(WANG,), version=1)
    found = look(ticket_of(), 30, queue)
    assert found == TicketLook((), None, T0 + 48 * HOUR_US)
    [decision] = look(ticket_of(), 72, queue).decisions
    assert isinstance(decision, Assignment)


def test_clock_of_the_first_answer_ends_with_it() -> None:
    ticket = ticket_of(fact(E.WAITING, 1), fact(E.ANSWERED, 3), fact(E.REOPENED, 5))
    assert ticket.running(FIRST) == ((T0, T0 + HOUR_US),)
    assert ticket.running(SOLUTION) == ((T0, T0 + HOUR_US), (T0 + 5 * HOUR_US, None))
