"""Journeys through all five services: who pays in time gets no message, others exactly one."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import AsyncIterator
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from integration.whole.five_years import check_five_years, import_five_years
from integration.whole.whole_system import WholeSystem, identifier, whole_system
from onefold.activation.v1 import journey_facts_pb2 as facts_pb
from onefold.activation.v1 import journey_service_pb2 as pb
from onefold.activation.v1.activation_facts_pb2 import DeliveryState
from onefold.activation.v1.activation_service_pb2 import Delivery, ListDeliveriesRequest
from onefold.activation.v1.journeys_pb2 import PEOPLE_INSIDE_LEAVE
from onefold.ingest.v1.ingest_service_pb2 import IngestEventsRequest
from onefold.log.v1.log_service_pb2 import TickClockRequest
from onefold.type.v1 import event_pb2
from service_fixtures import MakeSettings, wait_until

from services.activation.projection.journeys.own_effects import TOO_DEEP
from services.chassis.codec.journeys import journey_to_proto
from services.cli.commands.packs import apply_pack
from services.cli.definitions import read_pack
from services.kernel.calendar import local_date
from services.kernel.errors import Conflict, InvalidField, NotFound
from services.kernel.journeys.journey_form import parse_journey
from services.kernel.time import DAY_US, HOUR_US, MINUTE_US, SECOND_US

PACK = """
contact_policy:
  purposes: {marketing: {consent: none}}
templates:
  - {id: reminder, locales: {en: {text: "{{ total }} in your cart"}}}
destinations:
  - {id: shop, file: {name: shop.ndjson}}
  - {id: held, file: {name: held.ndjson}}
journeys:
  - id: cart-recovery
    enter:
      event: {name: cart_updated, where: {items: {at_least: 1}}}
      per: cart_id
      again: never
      while_inside: restart
      restart_until: 24h
      not_after: 6h
    goal: [{event: {name: order_paid, same: cart_id}}]
    steps:
      - wait: 2h
      - send: {id: reminder, to: shop, template: reminder, with: {total: entry.total}, valid: 12h}
  - id: wish-list
    enter: {event: {name: wished}, not_after: 6h}
    goal: [{event: {name: order_paid}}]
    steps:
      - wait: 2h
      - send: {id: reminder, to: held, template: reminder, with: {total: entry.total}}
"""
_MESSAGES = count()
SENT = DeliveryState.DELIVERY_STATE_DELIVERED
SUPPRESSED = DeliveryState.DELIVERY_STATE_SUPPRESSED


@pytest.fixture
async def system(
    make_settings: MakeSettings, internal_key: str, tmp_path: Path
) -> AsyncIterator[WholeSystem]:
    async with whole_system(make_settings, internal_key, tmp_path) as running:
        await define(running, tmp_path, PACK)
        yield running


async def define(system: WholeSystem, folder: Path, text: str) -> None:
    file = folder / "pack.yaml"
    file.write_text(text, encoding="utf-8")
    await apply_pack(system.admin, read_pack(file, {}))


async def track(
    system: WholeSystem, name: str, *who: str, at_us: int = 0, **properties: Any
) -> int:
    """Send one event of a person; return when it occurred, by the log's clock."""
    at_us = at_us or await system.now_us()
    event = event_pb2.Event(
        type=event_pb2.EVENT_TYPE_TRACK,
        name=name,
        message_id=f"j-{next(_MESSAGES)}",
        identifiers=[identifier(each) for each in who],
        occurred_at_us=at_us,
        properties=json.dumps(properties).encode(),
    )
    response = await system.source.ingest.IngestEvents(IngestEventsRequest(events=[event]))
    assert not response.rejections, response.rejections
    return at_us


async def advance(system: WholeSystem, by_us: int) -> None:
    await system.internal.log.TickClock(TickClockRequest(advance_us=by_us))
    await system.drain()


async def ended(system: WholeSystem, number: int, destination_id: str = "shop") -> list[Delivery]:
    """Return the effects of a destination once so many have ended."""

    async def found() -> list[list[Delivery]]:
        request = ListDeliveriesRequest(destination_id=destination_id)
        own = list((await system.service.activation.ListDeliveries(request)).deliveries)
        over = [each for each in own if each.state in (SENT, SUPPRESSED)]
        return [own] if len(over) >= number else []

    [own] = await wait_until(found)
    return own


async def pause(system: WholeSystem, flow: facts_pb.Flow) -> None:
    request = pb.SetDestinationFlowRequest(destination_id="held", flow=flow)
    response = await system.service.journeys.SetDestinationFlow(request)
    assert response.changed
    assert not (await system.service.journeys.SetDestinationFlow(request)).changed
    await system.drain()


async def counted_edit(
    system: WholeSystem, journey_id: str, number: int
) -> list[tuple[str, int, int]]:
    """Return what a version that ends open runs would do, once there are so many."""
    journeys = system.service.journeys
    found = await journeys.GetJourney(pb.GetJourneyRequest(journey_id=journey_id))
    found.journey.people_inside = PEOPLE_INSIDE_LEAVE
    request = pb.DefineJourneyRequest(journey=found.journey, dry_run=True)

    async def counted() -> list[list[tuple[str, int, int]]]:
        people = (await journeys.DefineJourney(request)).people
        edits = [(each.step_id, each.runs, each.what) for each in people]
        return [edits] if sum(each.runs for each in people) >= number else []

    [edits] = await wait_until(counted)
    return edits


async def test_payment_in_time_or_learnt_before_the_attempt_stops_the_message_and_no_later_one(
    system: WholeSystem,
) -> None:
    start_us = await track(system, "cart_updated", "user_id:li", cart_id="a", items=2, total=30)
    await track(
        system, "cart_updated", "user_id:li", cart_id="a", items=2, total=30, at_us=start_us
    )
    await track(system, "cart_updated", "user_id:wang", cart_id="b", items=1, total=9)
    await track(system, "cart_updated", "user_id:zhou", cart_id="f", items=1, total=7)
    await track(system, "cart_updated", "user_id:zhao", cart_id="c", items=0, total=0)
    old_us = start_us - 7 * HOUR_US
    await track(system, "cart_updated", "user_id:qian", cart_id="d", items=1, total=5, at_us=old_us)
    for name in ("sun", "wu"):
        await track(system, "wished", f"user_id:{name}", total=1)
    await pause(system, facts_pb.FLOW_PAUSED)
    assert await counted_edit(system, "wish-list", 2) == [("wait-1", 2, PEOPLE_INSIDE_LEAVE)]
    now_us = await system.now_us()
    # The clock goes on by itself: seconds before the due the payment of another device is in time.
    await advance(system, start_us + 2 * HOUR_US - now_us - 20 * SECOND_US)
    await track(system, "order_paid", "user_id:li", "device_id:phone", cart_id="a")
    await track(system, "order_paid", "user_id:wang", cart_id="another")
    await advance(system, 5 * MINUTE_US)
    sent = await ended(system, 2)
    reminded = await system.profiles("user_id:wang", "user_id:zhou")
    assert {each.profile_id: each.state for each in sent} == dict.fromkeys(reminded, SENT)

    # What is learnt after the attempt changes nothing, what is learnt before it stops the message.
    await track(system, "order_paid", "user_id:zhou", cart_id="f", at_us=start_us + HOUR_US)
    await track(system, "order_paid", "user_id:sun", at_us=start_us + HOUR_US)
    await advance(system, MINUTE_US)
    await pause(system, facts_pb.FLOW_OPEN)
    held = await ended(system, 2, "held")
    sun, wu = await system.profiles("user_id:sun", "user_id:wu")
    assert {each.profile_id: each.state for each in held} == {sun: SUPPRESSED, wu: SENT}
    await advance(system, 6 * HOUR_US)
    assert len(await ended(system, 2)) == len(await ended(system, 2, "held")) == 2


MORE = """
contact_policy:
  purposes:
    marketing: {consent: none}
    capped: {consent: none, caps: [{at_most: 1, in: 24h}]}
segments:
  - {id: keen, title: Keen, rule: {count: {event: viewed, at_least: 3}}}
destinations:
  - {id: series, file: {name: series.ndjson}}
  - {id: trial, file: {name: trial.ndjson}}
  - {id: capped, file: {name: capped.ndjson}}
  - {id: calls, file: {name: calls.ndjson}}
  - {id: dates, file: {name: dates.ndjson}}
  - {id: merged, file: {name: merged.ndjson}}
templates:
  - {id: wish, locales: {en: {text: "{{ occasion.date }}"}}}
  - {id: plain, locales: {en: {text: "hello"}}}
journeys:
  - id: welcome
    enter: {event: joined}
    goal: [{event: order_paid}]
    steps:
      - send: {id: first, to: series, template: plain}
      - wait: 1d
      - send: {id: second, to: series, template: plain}
      - wait: 1d
      - send: {id: third, to: series, template: plain}
  - id: high-intent
    enter: {segment: {id: keen, on: entered}}
    goal: [{event: bought}]
    steps:
      - send: {id: offer, to: trial, template: plain}
      - wait: 1d
      - send: {id: last-day, to: trial, template: plain}
  - id: churned
    purpose: capped
    priority: 10
    enter: {event: both}
    steps: [{wait: 1h}, {send: {id: low, to: capped, template: plain}}]
  - id: valuable
    purpose: capped
    priority: 90
    enter: {event: both}
    steps: [{wait: 1h}, {send: {id: high, to: capped, template: plain}}]
  - id: birthday
    enter: {date: {trait: birthday, clock: "09:00"}}
    steps: [{send: {id: wish, to: dates, template: wish}}]
  - id: called
    enter: {call: true}
    steps: [{send: {id: answer, to: calls, template: plain}}]
  - id: ping
    enter: {call: true}
    steps: [{wait: 1s}, {start: pong}]
  - id: pong
    enter: {call: true}
    steps: [{wait: 1s}]
  - id: registered
    enter: {event: registered, again: never}
    steps: [{wait: 1d}, {send: {id: hello, to: merged, template: plain}}]
"""
LOOP = """
journeys: [{id: pong, enter: {call: true}, steps: [{wait: 1s}, {start: ping}]}]
"""


async def enter(system: WholeSystem, journey_id: str, who: str, request_id: str) -> bool:
    request = pb.EnterJourneyRequest(
        journey_id=journey_id, identifiers=[identifier(who)], request_id=request_id
    )
    return (await system.service.journeys.EnterJourney(request)).is_new


async def check_definitions(system: WholeSystem) -> None:
    """Check that definitions are read as they were made, and refused with all their mistakes."""
    journeys = system.service.journeys
    listed = {each.journey.journey_id: each for each in (await listed_journeys(system))}
    assert listed["pong"].journey.version == 2
    older = await journeys.GetJourney(pb.GetJourneyRequest(journey_id="pong", version=1))
    assert (older.journey.version, older.etag) == (1, listed["pong"].etag)
    wrong = parse_journey(
        {
            "id": "wrong",
            "enter": {"segment": {"id": "lost"}, "if": {"tag": "gone"}},
            "steps": [
                {"send": {"id": "m", "to": "nowhere", "template": "plain"}},
                {"send": {"id": "n", "to": "shop", "template": "reminder"}},
            ],
        }
    )
    request = pb.DefineJourneyRequest(journey=journey_to_proto(wrong), dry_run=True)
    with pytest.raises(InvalidField) as error:
        await journeys.DefineJourney(request)
    for mistake in ("`lost`", "`gone`", "'nowhere'", "uses `total`"):
        assert mistake in error.value.message
    request = pb.DefineJourneyRequest(journey=listed["called"].journey, etag="7")
    assert not (await journeys.DefineJourney(request)).changed
    request.journey.title = "Called"
    with pytest.raises(Conflict):
        await journeys.DefineJourney(request)
    with pytest.raises(NotFound):
        await journeys.SetJourneyFlow(
            pb.SetJourneyFlowRequest(journey_id="none", flow=facts_pb.FLOW_PAUSED)
        )
    with pytest.raises(InvalidField, match="no call begins"):
        await enter(system, "birthday", "user_id:old", "r-0")
    policy = await journeys.GetContactPolicy(pb.GetContactPolicyRequest())
    assert (policy.etag, "capped" in policy.policy.purposes) == ("2", True)


async def begin_nothing_by_old_events_and_one_run_by_a_call(
    system: WholeSystem, now_us: int
) -> None:
    for days in (1, 400, 1_800):
        await track(system, "registered", "user_id:old", at_us=now_us - days * DAY_US)
    await system.drain()
    assert await enter(system, "called", "user_id:old", "r-1")
    assert not await enter(system, "called", "user_id:old", "r-1")
    assert await enter(system, "ping", "user_id:old", "r-2")


async def effects_of(system: WholeSystem, journey_id: str) -> dict[str, int]:
    """Return the state of the effect of each step; the journey has one run."""
    request = pb.SummarizeJourneyRequest(journey_id=journey_id)
    summary = await system.service.journeys.SummarizeJourney(request)
    return {step.step_id: each.state for step in summary.steps for each in step.effects}


async def listed_journeys(system: WholeSystem) -> list[pb.JourneySummary]:
    return list((await system.service.journeys.ListJourneys(pb.ListJourneysRequest())).journeys)


async def identify(system: WholeSystem, who: str, birthday: str) -> None:
    event = event_pb2.Event(
        type=event_pb2.EVENT_TYPE_IDENTIFY,
        message_id=f"j-{next(_MESSAGES)}",
        identifiers=[identifier(who)],
        traits=json.dumps({"birthday": birthday}).encode(),
    )
    response = await system.source.ingest.IngestEvents(IngestEventsRequest(events=[event]))
    assert not response.rejections, response.rejections


async def test_series_segments_caps_dates_calls_merges_old_events_and_loops(
    system: WholeSystem, tmp_path: Path
) -> None:
    imported_us = await import_five_years(system, tmp_path)
    await define(system, tmp_path, MORE)
    await define(system, tmp_path, LOOP)
    await check_definitions(system)
    start_us = await system.now_us()
    tomorrow = local_date(start_us + DAY_US, "UTC")
    await identify(system, "user_id:born", f"1990-{tomorrow:%m-%d}")
    await identify(system, "user_id:corrected", f"1990-{tomorrow:%m-%d}")
    await begin_nothing_by_old_events_and_one_run_by_a_call(system, start_us)
    # Two identifiers of one person, which is known only later: one message.
    await track(system, "registered", "user_id:a")
    await track(system, "registered", "device_id:a")
    for name in ("stays", "pays"):
        await track(system, "joined", f"user_id:{name}")
        for _ in range(3):
            await track(system, "viewed", f"user_id:{name}")
    await track(system, "both", "user_id:both", at_us=await system.now_us())
    await advance(system, HOUR_US)
    # What is due by now has been sent before the purchase.
    for destination_id in ("series", "trial"):
        await ended(system, 2, destination_id)
    await track(system, "order_paid", "user_id:pays")
    await track(system, "bought", "user_id:pays")
    await track(system, "opened", "user_id:a", "device_id:a")
    later = local_date(start_us + 40 * DAY_US, "UTC")
    await identify(system, "user_id:corrected", f"1990-{later:%m-%d}")
    for _ in range(6):
        await advance(system, 10 * HOUR_US)
    stays, pays = await system.profiles("user_id:stays", "user_id:pays")
    for destination_id, messages in (("series", 3), ("trial", 2)):
        sent = await ended(system, messages + 1, destination_id)
        assert {each.state for each in sent} == {SENT}
        receivers = sorted(each.profile_id for each in sent)
        assert receivers == sorted([stays] * messages + [pays])
    # Of two messages of one instant the cap leaves the one of the greater priority.
    await ended(system, 2, "capped")
    assert await effects_of(system, "valuable") == {"high": SENT}
    assert await effects_of(system, "churned") == {"low": SUPPRESSED}
    [called] = await ended(system, 1, "calls")
    assert called.state == SENT
    [wish] = await ended(system, 1, "dates")
    [born] = await system.profiles("user_id:born")
    assert (wish.profile_id, wish.state) == (born, SENT)
    greeted = [each for each in await ended(system, 1, "merged") if each.state == SENT]
    [person] = set(await system.profiles("user_id:a", "device_id:a"))
    assert [each.profile_id for each in greeted] == [person]
    await check_five_years(system, imported_us)
    refused = await refused_starts(system)
    assert [each.reason for each in refused] == [TOO_DEEP]
    # Each decision follows from what the log had recorded, and no run is stuck.
    verified = await system.service.journeys.VerifyRuns(pb.VerifyRunsRequest())
    assert (verified.runs > 15, list(verified.unjustified)) == (True, [])
    audit = await system.service.journeys.AuditRuns(pb.AuditRunsRequest())
    assert not audit.findings
    await check_backtests(system, start_us)


async def counted_backtest(
    system: WholeSystem, from_us: int, *, happened: bool = False, **of: Any
) -> dict[str, int]:
    """Return the effects of a backtest by step."""
    basis = pb.BACKTEST_BASIS_HAPPENED if happened else pb.BACKTEST_BASIS_KNOWN
    request = pb.BacktestJourneyRequest(basis=basis, from_us=from_us, **of)
    effects: list[pb.ReplayedEffect] = []
    async for response in system.service.journeys.BacktestJourney(request):
        effects += [each for each in response.effects if not each.withdrawn]
    assert response.left_out == 0
    assert sum(each.count for each in response.summary.effects) == len(effects)
    return dict(Counter(each.step_id for each in effects))


async def check_backtests(system: WholeSystem, start_us: int) -> None:
    """Play journeys over the same days again: as they are defined, and as other definitions."""
    defined = {each.journey.journey_id: each.journey for each in await listed_journeys(system)}
    expected = {
        "welcome": {"first": 2, "second": 1, "third": 1},
        "high-intent": {"offer": 2, "last-day": 1},
    }
    for journey_id, effects in expected.items():
        assert await counted_backtest(system, start_us, journey_id=journey_id) == effects
        for happened in (False, True):
            found = await counted_backtest(
                system, start_us, journey=defined[journey_id], happened=happened
            )
            assert found == effects
    for often, sent in ((3, {"many": 2}), (4, {"few": 2})):
        other = parse_journey(
            {
                "id": "other",
                "enter": {"event": "joined"},
                "steps": [
                    {"wait": "1s"},
                    {
                        "choose": [
                            {
                                "when": {"count": {"event": "viewed", "at_least": often}},
                                "steps": [{"put": {"tag": "many"}, "id": "many"}],
                            },
                            {"steps": [{"put": {"tag": "few"}, "id": "few"}]},
                        ]
                    },
                    {"wait": "300d"},
                    {"send": {"id": "later", "to": "series", "template": "plain"}},
                ],
            }
        )
        request = pb.TryJourneyRequest(
            journey=journey_to_proto(other), since_us=start_us, ahead_us=300 * DAY_US, people=1
        )
        [*_, last] = [each async for each in system.service.journeys.TryJourney(request)]
        assert {each.step_id: each.count for each in last.now.effects} == sent
        [inside] = last.now.open
        assert (inside.count, len(inside.profile_ids)) == (2, 1)
        assert sum(each.count for each in last.ahead) == 2
    dated = pb.BacktestJourneyRequest(
        journey=defined["birthday"], basis=pb.BACKTEST_BASIS_KNOWN, from_us=start_us
    )
    with pytest.raises(InvalidField, match="backtest it by its id"):
        async for _ in system.service.journeys.BacktestJourney(dated):
            pass
    assert await counted_backtest(system, start_us, journey_id="birthday") == {"wish": 1}


async def refused_starts(system: WholeSystem) -> list[Delivery]:
    """Return the effects that would have begun one more journey, once there is one."""
    request = ListDeliveriesRequest(state=SUPPRESSED, page_size=100)

    async def found() -> list[list[Delivery]]:
        await advance(system, 2 * SECOND_US)
        listed = (await system.service.activation.ListDeliveries(request)).deliveries
        own = [each for each in listed if not each.destination_id]
        return [own] if own else []

    [own] = await wait_until(found)
    await advance(system, HOUR_US)
    assert await found() == [own]
    return own
