"""The service desk through all five services: tickets are events of persons, and journeys of packs
open and close tasks.
"""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from integration.whole.whole_system import WholeSystem, identifier, whole_system
from onefold.activation.v1 import desk_service_pb2 as pb
from onefold.activation.v1.activation_facts_pb2 import DELIVERY_STATE_DELIVERED as DELIVERED
from onefold.activation.v1.desk_pb2 import SLA_LIMIT_FIRST_ANSWER, DeskAgent
from onefold.activation.v1.journey_service_pb2 import CouponPoolSummary, ListCouponPoolsRequest
from onefold.ingest.v1.ingest_service_pb2 import IngestEventsRequest
from onefold.log.v1.log_service_pb2 import TickClockRequest
from onefold.profile.v1 import profile_service_pb2 as profile_pb
from onefold.profile.v1.profile_facts_pb2 import TIMELINE_KIND_SERVICE_REQUEST, ScoreRecorded
from onefold.type.v1 import event_pb2
from pack_rules import PACKS
from service_fixtures import MakeSettings, wait_until

from services.cli.commands.packs import apply_pack
from services.cli.definitions import Pack, read_pack
from services.kernel.errors import InvalidField, NotFound
from services.kernel.time import DAY_US, HOUR_US

VALUES = {"COUPON_URL": "https://example.com/", "COUPON_SECRET": "whsec_YQ=="}
TRACK, IDENTIFY = event_pb2.EVENT_TYPE_TRACK, event_pb2.EVENT_TYPE_IDENTIFY
OPEN, CANCELLED = pb.TICKET_STATE_OPEN, pb.TICKET_STATE_CANCELLED
_NUMBERS = count()


def education() -> Pack:
    """Return the education pack with agents, and without the destination that needs a receiver."""
    pack = read_pack(PACKS / "education", VALUES)
    [queue] = pack.queues
    queue.agents.extend([DeskAgent(agent_id="li"), DeskAgent(agent_id="wang")])
    destinations = [each for each in pack.destinations if each.destination_id != "coupon"]
    return replace(pack, destinations=destinations)


def part(name: str, thing: str) -> Pack:
    """Return a journey of a pack with the segment of the same name, and its queues."""
    pack = read_pack(PACKS / name, VALUES)
    return Pack(
        segments=[each for each in pack.segments if each.segment_id == thing],
        queues=pack.queues,
        journeys=[each for each in pack.journeys if each.journey_id == thing],
    )


async def send(
    system: WholeSystem, who: str, name: str = "", *, traits: Any = None, **properties: Any
) -> None:
    """Send one event of a person: with a name, or one that states traits."""
    event = event_pb2.Event(
        type=TRACK if name else IDENTIFY,
        name=name,
        message_id=f"d-{next(_NUMBERS)}",
        identifiers=[identifier(who)],
        properties=json.dumps(properties).encode(),
        traits=json.dumps(traits or {}).encode(),
    )
    response = await system.source.ingest.IngestEvents(IngestEventsRequest(events=[event]))
    assert not response.rejections, response.rejections


async def open_ticket(system: WholeSystem, who: str, request_id: str, kind: str = "") -> str:
    request = pb.OpenTicketRequest(
        identifiers=[identifier(who)],
        queue_id="course-advisers",
        kind=kind,
        title="a title",
        channel="phone",
        request_id=request_id,
    )
    opened = await system.service.desk.OpenTicket(request)
    again = await system.service.desk.OpenTicket(request)
    assert (opened.is_new, again.is_new, again.ticket_id) == (True, False, opened.ticket_id)
    return opened.ticket_id


async def tickets(system: WholeSystem, who: str = "", number: int = 0, **more: Any) -> Any:
    """Return the tickets of a person once there are so many."""
    if who:
        [more["profile_id"]] = await system.profiles(who)
    request = pb.ListTicketsRequest(**more)

    async def found() -> list[list[pb.Ticket]]:
        own = list((await system.service.desk.ListTickets(request)).tickets)
        return [own] if len(own) >= number else []

    (own,) = await wait_until(found)
    assert len(own) == number
    return own


async def test_tickets_and_tasks_are_events_of_persons_and_journeys_open_and_close_them(
    make_settings: MakeSettings, internal_key: str, tmp_path: Path
) -> None:
    async with whole_system(make_settings, internal_key, tmp_path) as system:
        await apply_pack(system.admin, education(), dry_run=True)
        for pack in (education(), part("retail", "dissatisfied"), part("saas", "churn-predicted")):
            await apply_pack(system.admin, pack)
        await check_mistakes(system)
        await check_offer_and_purchase(system)
        await check_dissatisfied(system)
        await check_score(system)
        await check_limits(system)
        await check_merge(system)


async def check_mistakes(system: WholeSystem) -> None:
    await send(system, "user_id:u0", "page_seen")
    await system.drain()
    desk = system.service.desk
    mistakes = [
        (pb.OpenTicketRequest(queue_id="none", title="t", request_id="r"), NotFound),
        (pb.OpenTicketRequest(queue_id="course-advisers", request_id="r"), InvalidField),
        (pb.OpenTicketRequest(queue_id="course-advisers", title="t"), InvalidField),
        (
            pb.OpenTicketRequest(
                queue_id="course-advisers",
                title="t",
                request_id="r",
                occurred_at_us=await system.now_us() + DAY_US,
            ),
            InvalidField,
        ),
    ]
    for request, error in mistakes:
        request.identifiers.append(identifier("user_id:u0"))
        with pytest.raises(error):
            await desk.OpenTicket(request)
    unknown = pb.UpdateTicketRequest(ticket_id="00" * 16, request_id="r", reopen=pb.ReopenTicket())
    with pytest.raises(NotFound):
        await desk.UpdateTicket(unknown)
    with pytest.raises(InvalidField, match="exactly one"):
        await desk.UpdateTicket(pb.UpdateTicketRequest(ticket_id="00" * 16, request_id="r"))


async def coupons(system: WholeSystem) -> CouponPoolSummary:
    response = await system.service.journeys.ListCouponPools(ListCouponPoolsRequest())
    return response.pools[0]


async def check_offer_and_purchase(system: WholeSystem) -> None:
    """A visitor of high intent gets a coupon and a call of the adviser, until the purchase."""
    # It is noon where the visitor is, so no quiet hours keep the message back.
    ahead = 12 - await system.now_us() // HOUR_US % 24
    await send(system, "user_id:u1", traits={"timezone": f"Etc/GMT{-ahead:+d}", "adviser": "wang"})
    await send(system, "user_id:u1", "consent_changed", purpose="marketing", granted=True)
    await send(system, "user_id:u1", "attended_trial_lesson")
    for course in "abc":
        await send(system, "user_id:u1", "viewed_course_page", course_id=course, paid=True)
    await system.drain()
    [task] = await tickets(system, "user_id:u1", 1, agent_id="wang")
    assert (task.kind, task.state, task.queue_id) == ("task", OPEN, "course-advisers")

    [offer] = await system.deliveries("school-messages")
    assert (offer.state, offer.reason) == (DELIVERED, "")
    assert (await coupons(system)).issued == 1
    await send(system, "user_id:u1", "purchased_course")
    await system.drain()
    [closed] = await tickets(system, "user_id:u1", 1, state=CANCELLED)
    assert closed.ticket_id == task.ticket_id

    async def voided() -> bool:
        return (await coupons(system)).voided == 1

    await wait_until(voided)
    await system.internal.log.TickClock(TickClockRequest(advance_us=4 * DAY_US))
    await system.drain()
    # The reminder of the last day is not sent.
    assert len(await system.deliveries("school-messages")) == 1


async def check_dissatisfied(system: WholeSystem) -> None:
    """Two complaints in 30 days, or a low score, are one task of customer care."""
    for who in ("user_id:u2", "user_id:u3"):
        await send(system, who, "page_seen")
    await system.drain()
    await open_ticket(system, "user_id:u2", "c-1", "complaint")
    await system.drain()
    await tickets(system, "user_id:u2", 0, queue_id="customer-care")
    await open_ticket(system, "user_id:u2", "c-2", "complaint")
    rated = await open_ticket(system, "user_id:u3", "c-3", "question")
    request = pb.UpdateTicketRequest(
        ticket_id=rated, request_id="rate", rate=pb.RateTicket(score=2)
    )
    await system.service.desk.UpdateTicket(request)
    await system.drain()
    for who in ("user_id:u2", "user_id:u3"):
        [task] = await tickets(system, who, 1, queue_id="customer-care")
        assert (task.kind, task.state) == ("task", OPEN)
    await open_ticket(system, "user_id:u2", "c-4", "complaint")
    await system.drain()
    await tickets(system, "user_id:u2", 1, queue_id="customer-care")
    [profile_id] = await system.profiles("user_id:u2")
    timeline = await system.service.profile.ListTimeline(
        profile_pb.ListTimelineRequest(profile_id=profile_id, events=["ticket_opened"])
    )
    kinds = sorted(json.loads(entry.properties)["kind"] for entry in timeline.entries)
    assert kinds == ["complaint", "complaint", "complaint", "task"]
    assert {entry.timeline_kind for entry in timeline.entries} == {TIMELINE_KIND_SERVICE_REQUEST}


async def check_score(system: WholeSystem) -> None:
    """A score over the threshold is one task; all scores are kept."""
    await send(system, "user_id:u4", "page_seen")
    await system.drain()
    for number, score in enumerate((0.5, 0.9, 0.95)):
        at_us = await system.now_us() - HOUR_US + number
        recorded = ScoreRecorded(model_id="churn", model_version="1", score=score, as_of_us=at_us)
        own = profile_pb.PersonScore(identifier=identifier("user_id:u4"), score=recorded)
        await system.service.profile.RecordScores(profile_pb.RecordScoresRequest(scores=[own]))
        await system.drain()
        await tickets(system, "user_id:u4", int(score > 0.8), queue_id="customer-success")
    [profile_id] = await system.profiles("user_id:u4")
    timeline = await system.service.profile.ListTimeline(
        profile_pb.ListTimelineRequest(profile_id=profile_id)
    )
    scores = sorted(e.score.score for e in timeline.entries if e.HasField("score"))
    assert scores == [0.5, 0.9, 0.95]


async def check_limits(system: WholeSystem) -> None:
    """A limit that passes is a breach; an answer that is learnt late takes it back."""
    await send(system, "user_id:u5", "page_seen")
    await system.drain()
    ticket_id = await open_ticket(system, "user_id:u5", "l-1")
    await system.internal.log.TickClock(TickClockRequest(advance_us=2 * DAY_US))
    await system.drain()
    [late] = await tickets(system, "user_id:u5", 1, breached=True)
    assert list(late.breached)[:1] == [SLA_LIMIT_FIRST_ANSWER]
    answer = pb.UpdateTicketRequest(
        ticket_id=ticket_id,
        request_id="a",
        answer=pb.AnswerTicket(),
        occurred_at_us=late.opened_at_us + 1,
    )
    await system.service.desk.UpdateTicket(answer)

    async def withdrawn() -> bool:
        found = await system.service.desk.GetTicket(pb.GetTicketRequest(ticket_id=ticket_id))
        is_breached = SLA_LIMIT_FIRST_ANSWER in found.ticket.breached
        return not is_breached and found.entries[-1].event == "sla_breach_withdrawn"

    await wait_until(withdrawn)
    [board, *_] = (await system.service.desk.ListQueues(pb.ListQueuesRequest())).queues
    assert {load.agent_id for load in board.loads} <= {"li", "wang", ""}


async def check_merge(system: WholeSystem) -> None:
    """The tickets of a person are those of all leaves, also after a merge."""
    await send(system, "email:u5@example.com", "page_seen")
    await system.drain()
    await tickets(system, "email:u5@example.com", 0)
    await system.send("alias", "user_id:u5", "email:u5@example.com")
    await system.drain()
    [first] = await tickets(system, "user_id:u5", 1)
    [second] = await tickets(system, "email:u5@example.com", 1)
    assert first.ticket_id == second.ticket_id
