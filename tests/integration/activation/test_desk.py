"""Tests tickets and tasks: assignment, limits by a controlled clock, journeys, lost databases."""

from __future__ import annotations

from typing import Any

import pytest
from integration.activation.desk_fixture import Desk
from integration.activation.journey_fixture import BEGIN, JourneyBench, leaf
from integration.activation.ledger_fixture import W

from services.activation.codec.desk import decided_fact
from services.activation.domain.desk.assignment import Assignment, AssignmentReason
from services.activation.projection.desk import worker
from services.activation.store.desk import count_tickets
from services.chassis.postgres.database import transaction
from services.kernel.desk.ticket_events import TicketEvent
from services.kernel.ids import WorkspaceId, hash_id
from services.kernel.time import HOUR_US

E = TicketEvent
OPEN, WAITING, RESOLVED, CANCELLED = range(1, 5)
#: BEGIN is 2026-03-02 00:00 UTC, a Monday: 08:00 in Shanghai.
OFFICE = {
    "zone": "Asia/Shanghai",
    "hours": {
        "from": "09:00",
        "to": "18:00",
        "days": ["mon", "tue", "wed", "thu", "fri"],
        "closed": ["2026-03-03"],
    },
}
SLA = {"first_answer": "4h", "solution": "2d"}


@pytest.fixture
def desk(bench: JourneyBench) -> Desk:
    return Desk.of(bench)


def breaches(desk: Desk) -> list[tuple[str, float]]:
    """Return the limits that were passed by the log, with the hours since the beginning."""
    logged = desk.logged(E.SLA_BREACHED)
    return sorted((each["limit"], round((each["due_us"] - BEGIN) / HOUR_US, 3)) for each in logged)


async def test_limits_pass_by_hours_of_service_over_a_holiday_and_each_once(desk: Desk) -> None:
    await desk.queue(**OFFICE, **SLA)
    await desk.rest(8)  # 16:00 in Shanghai
    await desk.say(E.OPENED, title="t")
    await desk.rest(40)  # 08:00 on Wednesday: two hours of service have passed
    assert breaches(desk) == []
    await desk.rest(2.9)
    assert breaches(desk) == []
    await desk.rest(0.2)
    # Opened 16:00 on Monday, 2 hours that day; Tuesday is a holiday; 2 hours on Wednesday.
    assert breaches(desk) == [("first_answer", 51)]
    await desk.rest(24)
    await desk.rest(24)
    assert breaches(desk) == [("first_answer", 51), ("solution", 80)]
    [row] = await desk.tickets()
    assert (row["breached"], row["due_us"], row["look_us"]) == ([1, 2], None, None)


async def test_answer_at_the_last_instant_is_in_time_and_one_after_it_is_not(desk: Desk) -> None:
    await desk.queue(**SLA)
    start_us = desk.bench.now_us
    for number in (1, 2):
        await desk.say(E.OPENED, number, of=number, title="t", at_us=start_us)
    await desk.rest(3)
    desk.bench.now_us = start_us + 4 * HOUR_US
    await desk.say(E.ANSWERED, 1)
    desk.bench.now_us += 1
    await desk.say(E.ANSWERED, 2, of=2)
    await desk.rest(1)
    assert [each["ticket_id"] for each in desk.logged(E.SLA_BREACHED)] == [hash_id("second").hex()]


async def test_waiting_pauses_and_reopening_goes_on_with_the_time_that_is_left(desk: Desk) -> None:
    await desk.queue(**SLA)
    await desk.say(E.OPENED, title="t")
    await desk.rest(1)
    await desk.say(E.ANSWERED)
    await desk.say(E.WAITING)
    await desk.rest(500)
    assert breaches(desk) == []
    await desk.say(E.REOPENED)
    await desk.rest(46)
    await desk.say(E.RESOLVED)
    await desk.rest(100)
    await desk.say(E.REOPENED)
    await desk.rest(0.9)
    assert breaches(desk) == []
    await desk.rest(0.2)
    [(limit, hours)] = breaches(desk)
    assert (limit, round(hours)) == ("solution", 648)


async def test_answer_that_is_learnt_late_withdraws_the_breach_and_one_after_it_does_not(
    desk: Desk,
) -> None:
    await desk.queue(**SLA)
    for number in (1, 2):
        await desk.say(E.OPENED, number, of=number, title="t")
    await desk.rest(5)
    assert len(breaches(desk)) == 2
    await desk.say(E.ANSWERED, 1, at_us=BEGIN + 3 * HOUR_US)
    await desk.say(E.ANSWERED, 2, of=2, at_us=BEGIN + int(4.5 * HOUR_US))
    await desk.rest(1)
    withdrawn = desk.logged(E.SLA_BREACH_WITHDRAWN)
    assert [(each["ticket_id"], each["limit"]) for each in withdrawn] == [
        (hash_id("first").hex(), "first_answer")
    ]
    by_id = {row["ticket_id"]: row["breached"] for row in await desk.tickets()}
    assert by_id == {hash_id("first"): [], hash_id("second"): [1]}


AGENTS = [
    {"id": "li"},
    {"id": "wang", "skills": ["refund"], "away": [{"from": "2026-03-03"}]},
    {"id": "zhao", "skills": ["refund"]},
]


async def test_tickets_are_assigned_by_name_skill_and_load_and_the_roster_is_stored(
    desk: Desk,
) -> None:
    await desk.queue(agents=AGENTS)
    await desk.say(E.OPENED, 1, title="named", for_agent_id="wang")
    await desk.say(E.OPENED, 2, of=2, title="skill", skill="refund")
    await desk.say(E.OPENED, 3, of=3, title="load")
    await desk.rest()
    rows = {row["title"]: row["agent_id"] for row in await desk.tickets()}
    assert rows["named"] == "wang"
    # Those of one look count for the ones after it.
    assert sorted(rows.values()) == ["li", "wang", "zhao"]
    reasons = {each["reason"] for each in desk.logged(E.ASSIGNED)}
    assert reasons == {"named", "skill", "least_open"}
    assert all({each["agent_id"] for each in own["roster"]} == {"li", "wang", "zhao"}
               for own in desk.logged(E.ASSIGNED))  # fmt: skip
    await desk.rest(24)
    await desk.say(E.OPENED, 4, of=4, title="away", for_agent_id="wang", skill="refund")
    await desk.rest()
    assert (await desk.tickets())[-1]["agent_id"] == "zhao"
    async with transaction(desk.bench.ledger.database.pool) as conn:
        counts = await count_tickets(conn, WorkspaceId(W))
    assert [(each.agent_id, each.open) for each in counts["q"]] == [
        *(("li", 1), ("wang", 1), ("zhao", 2))
    ]


async def test_ticket_of_an_undefined_queue_waits_for_its_definition(desk: Desk) -> None:
    await desk.say(E.OPENED, title="t")
    await desk.rest(100)
    assert [row["agent_id"] for row in await desk.tickets()] == [""]
    await desk.queue(agents=[{"id": "li"}], **SLA)
    await desk.rest()
    assert [row["agent_id"] for row in await desk.tickets()] == ["li"]
    assert breaches(desk) == [("first_answer", 4), ("solution", 48)]


async def test_decision_of_another_replica_goes_before_the_own_one(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    await desk.queue(agents=[{"id": "li"}])
    await desk.say(E.OPENED, title="t")
    other = Assignment("zhao", AssignmentReason.LEAST_OPEN, (("zhao", 0),))
    own = worker.decided_fact

    def decided(key: Any, decision: Any, number: int, now_us: int, actor: str) -> Any:
        fact = decided_fact(key, other, number, now_us, actor)
        desk.bench.log.facts.setdefault(fact.fact_id, fact)
        return own(key, decision, number, now_us, actor)

    monkeypatch.setattr(worker, "decided_fact", decided)
    await desk.rest()
    assert [row["agent_id"] for row in await desk.tickets()] == ["zhao"]
    assert [each["agent_id"] for each in desk.logged(E.ASSIGNED)] == ["zhao"]


TRIAL: dict[str, Any] = {
    "id": "trial",
    "enter": {"event": "booked", "again": "always"},
    "goal": [{"event": "order_paid"}],
    "steps": [
        {"task": {"id": "call", "queue": "q", "title": "Call about the trial", "due": "1d",
                  "to": {"trait": "adviser"}}},
        {"wait": "10d"},
    ],
    "on_goal": [{"close": "call", "id": "done"}],
}  # fmt: skip


async def test_task_of_a_journey_is_opened_once_for_the_agent_that_a_trait_names(
    desk: Desk,
) -> None:
    await desk.queue(agents=AGENTS)
    await desk.bench.define(**TRIAL)
    desk.bench.upstream.traits[leaf(1)] = {"adviser": "zhao"}
    await desk.bench.happen("booked", 1)
    await desk.rest(1)
    [row] = await desk.tickets()
    assert (row["agent_id"], row["kind"], row["state"]) == ("zhao", "task", OPEN)
    assert row["due_us"] == BEGIN + 24 * HOUR_US
    # A crash before the end of the effect repeats the call: it is the same ticket, although its
    # agent would be another one now.
    desk.bench.upstream.traits[leaf(1)] = {"adviser": "li"}
    await desk.bench.ledger.database.pool.execute(
        "UPDATE effect SET state = 2, due_at = now() WHERE step_id = 'call'"
    )
    await desk.rest(1)
    assert len(await desk.tickets()) == len(desk.logged(E.OPENED)) == 1
    await desk.rest(24)
    assert [each["limit"] for each in desk.logged(E.SLA_BREACHED)] == ["solution"]


async def test_goal_closes_the_task_of_its_run(desk: Desk) -> None:
    await desk.queue(agents=AGENTS)
    await desk.bench.define(**TRIAL)
    await desk.bench.happen("booked", 1)
    await desk.rest(1)
    await desk.bench.happen("order_paid", 1)
    await desk.rest(1)
    [row] = await desk.tickets()
    assert (row["state"], row["look_us"]) == (CANCELLED, None)
    await desk.rest(48)
    assert breaches(desk) == []


async def test_event_of_a_ticket_begins_a_journey(desk: Desk) -> None:
    """A limit that is passed escalates: it is an event like any other."""
    await desk.queue(**SLA, agents=[{"id": "li"}])
    await desk.queue(id="chiefs", agents=[{"id": "chief"}])
    await desk.bench.define(
        id="escalate",
        enter={"event": {"name": "sla_breached", "where": {"queue_id": "q"}}, "again": "always"},
        steps=[{"task": {"id": "look", "queue": "chiefs", "title": "A limit", "due": "1d"}}],
    )
    await desk.say(E.OPENED, title="t")
    await desk.rest(5)
    rows = {row["queue_id"]: row["agent_id"] for row in await desk.tickets()}
    assert rows == {"q": "li", "chiefs": "chief"}


async def test_tickets_are_restored_from_the_log_where_the_database_is_lost(desk: Desk) -> None:
    await desk.queue(**SLA, agents=AGENTS)
    await desk.say(E.OPENED, 1, title="t")
    await desk.say(E.OPENED, 2, of=2, title="u")
    await desk.rest(5)
    await desk.say(E.RESOLVED, 2, of=2)
    await desk.rest()
    before = [dict(row) for row in await desk.tickets()]
    facts = len(desk.bench.log.facts)
    await desk.bench.lose_database()
    await desk.rest()
    assert [dict(row) for row in await desk.tickets()] == before
    assert len(desk.bench.log.facts) == facts
