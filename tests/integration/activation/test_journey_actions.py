"""Every kind of action follows every kind of trigger."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from integration.activation.desk_fixture import Desk
from integration.activation.journey_fixture import JourneyBench, leaf
from onefold.profile.v1.profile_facts_pb2 import TraitCorrected
from onefold.profile.v1.profile_stream_pb2 import MatchedEvent
from onefold.segment.v1.segment_stream_pb2 import MembershipsChanged

from services.kernel.journeys.inputs import call_filter_id

ISSUE = {"first": {"pool": "P", "valid": "3d"}}
#: A message with a coupon, one to a webhook, a task, a tag and a stage.
ACTIONS: list[dict[str, Any]] = [
    {"send": {"id": "mail", "to": "mail", "template": "t", "issue": ISSUE}},
    {"send": {"id": "hook", "to": "hook", "template": "t"}},
    {"task": {"id": "call", "queue": "q", "title": "Call the lead", "due": "1d"}},
    {"put": {"id": "tag", "tag": "lead"}},
    {"put": {"id": "stage", "stage": {"of": "funnel", "is": "met"}}},
]


async def _call(bench: JourneyBench) -> None:
    event = MatchedEvent(
        workspace_id="school",
        profile_id=leaf(1),
        leaf_id=leaf(1),
        fact_id=b"c" * 16,
        filter_ids=[call_filter_id("own")],
        occurred_at_us=bench.now_us,
        recorded_at_us=bench.now_us,
    )
    await bench.fold(bench.shard(1), MembershipsChanged(matched_events=[event]))


async def _schedule(bench: JourneyBench) -> None:
    bench.upstream.audience["all"] = [[leaf(1)]]
    await bench.come_to_rest(11)
    await bench.engine.scheduler.take_once()


Fire = Callable[[JourneyBench], Awaitable[object]]
#: By kind of trigger: the entry of the journey, and what lets a person enter.
TRIGGERS: dict[str, tuple[dict[str, Any], Fire]] = {
    "event": ({"event": "registered"}, lambda bench: bench.happen("registered")),
    "segment": ({"segment": {"id": "keen", "on": "entered"}}, lambda bench: bench.enter("keen")),
    "stage": ({"stage": {"of": "s", "is": "new"}}, lambda bench: bench.enter("stage:s=new")),
    "date": (
        {"date": {"trait": "birthday", "clock": "10:00", "zone": "UTC"}},
        lambda bench: bench.enter("journey:own"),
    ),
    "schedule": (
        {"schedule": {"at": "2026-03-02T10:00", "zone": "UTC"}, "audience": "all"},
        _schedule,
    ),
    "call": ({"call": True}, _call),
    "first_seen": ({"first_seen": True}, lambda bench: bench.enter("journey:own")),
}


@pytest.mark.parametrize("trigger", TRIGGERS)
async def test_every_action_follows_every_trigger(bench: JourneyBench, trigger: str) -> None:
    desk, (entry, fire) = Desk.of(bench), TRIGGERS[trigger]
    await desk.queue(agents=[{"id": "wang"}])
    await bench.define(id="own", enter=entry, steps=ACTIONS)
    await fire(bench)
    for hours in (0, 12, 24):
        await desk.rest(hours)
    rows = await bench.ledger.rows()
    sent = {row["destination_id"]: row["step_id"] for row in rows if row["destination_id"]}
    assert sent == {"mail": "mail", "hook": "hook"}
    [ticket] = await desk.tickets()
    assert (ticket["title"], ticket["leaf_id"]) == ("Call the lead", leaf(1))
    kind = TraitCorrected.DESCRIPTOR.full_name
    put = [f for f in bench.log.facts.values() if f.kind == kind]
    assert {fact.leaf_id for fact in put} == {leaf(1)}
    corrections = [TraitCorrected.FromString(fact.payload) for fact in put]
    found = {each.trait: each.value for each in corrections}
    assert (found, len(corrections)) == ({"lead": b"true", "funnel": b'"met"'}, 2)
