"""An import of five years of history with many live journeys that begin with memberships."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import yaml
from integration.whole.whole_system import WholeSystem, identifier
from onefold.activation.v1 import journey_service_pb2 as pb
from onefold.activation.v1.activation_service_pb2 import ListDeliveriesRequest
from onefold.ingest.v1.ingest_service_pb2 import IngestEventsRequest
from onefold.log.v1.log_service_pb2 import TickClockRequest
from onefold.segment.v1.segment_service_pb2 import ListMembershipsRequest
from onefold.type.v1 import event_pb2
from service_fixtures import wait_until

from services.cli.commands.packs import apply_pack
from services.cli.definitions import read_pack
from services.kernel.time import DAY_US, HOUR_US

JOURNEYS = 40
#: How many days before the import the purchases were; the last one is now, and is one
#: more than any segment asks for.
AGES: tuple[int, ...] = (1_800, 1_400, 900, 390, 30, 0)
_AT_LEAST = len(AGES) - 1
MERGED = "user_id:merged"
OLD = ("user_id:five-years", "device_id:five-years", MERGED)
LIVE = "user_id:buys-now"


def _pack() -> str:
    """Return segments and stages that purchases lead to, each with a journey that they begin."""
    segments = [
        {
            "id": f"buyers-{number}",
            "title": "Buyers",
            "rule": {"count": {"event": "purchased", "at_least": number % _AT_LEAST + 1}},
        }
        for number in range(JOURNEYS)
    ]
    journeys = [
        {
            "id": f"thanks-{number}",
            "enter": {"segment": {"id": f"buyers-{number}"}},
            "steps": [{"send": {"id": "thanks", "to": "history", "template": "thanks"}}],
        }
        for number in range(JOURNEYS)
    ]
    destinations = [{"id": "history", "file": {"name": "history.ndjson"}}]
    template = {"id": "thanks", "locales": {"en": {"text": "thanks"}}}
    policy = {"purposes": {"marketing": {"consent": "none"}}}
    pack = {
        "contact_policy": policy,
        "templates": [template],
        "segments": segments,
        "destinations": destinations,
        "journeys": journeys,
    }
    return yaml.safe_dump(pack, allow_unicode=True)


def _purchase(who: str, at_us: float, number: int) -> event_pb2.Event:
    # The last identifier joins a person that the log knows by then.
    names = (who, "user_id:joined") if who == MERGED and number == 2 else (who,)
    return event_pb2.Event(
        type=event_pb2.EVENT_TYPE_TRACK,
        name="purchased",
        message_id=f"{who} {number}",
        identifiers=map(identifier, names),
        occurred_at_us=int(at_us),
    )


async def _send(system: WholeSystem, *events: event_pb2.Event) -> None:
    response = await system.source.ingest.IngestEvents(IngestEventsRequest(events=events))
    assert not response.rejections, response.rejections


async def import_five_years(system: WholeSystem, folder: Path) -> int:
    """Define the journeys, import later the history of some people, and let another one buy.

    The journeys are older than all of the history. Return when it is imported.
    """
    file = folder / "five-years.yaml"
    file.write_text(_pack(), encoding="utf-8")
    await apply_pack(system.admin, read_pack(file, {}))
    await system.drain()
    await system.internal.log.TickClock(TickClockRequest(advance_us=(AGES[0] + 1) * DAY_US))
    await system.drain()
    now_us = await system.now_us()
    old = [
        _purchase(who, now_us - days * DAY_US, number)
        for who in OLD
        # The purchases of who has two identifiers come along two shards in any order.
        for number, days in enumerate(AGES[: _AT_LEAST if who == MERGED else None])
    ]
    await _send(system, _purchase("user_id:joined", now_us - 1_000 * DAY_US, 0))
    await _send(system, *old)
    await _send(system, *(_purchase(LIVE, now_us, number) for number in range(_AT_LEAST)))
    await system.drain()
    return now_us


async def check_five_years(system: WholeSystem, imported_us: int) -> None:
    """Check that each journey has sent to who buys now, and none to the people of the history."""
    [live] = await system.profiles(LIVE)
    request = ListDeliveriesRequest(destination_id="history", page_size=1_000)

    async def sent() -> list[list[str]]:
        found = (await system.service.activation.ListDeliveries(request)).deliveries
        return [[each.profile_id for each in found]] if len(found) >= JOURNEYS else []

    [receivers] = await wait_until(sent)
    old = dict(zip(await system.profiles(*OLD), OLD, strict=True))
    assert Counter(old.get(each, each) for each in receivers) == {live: JOURNEYS}
    for who in OLD:
        [profile_id] = await system.profiles(who)
        if who != MERGED:
            await _check_history(system, profile_id, imported_us)
        for number in range(0, JOURNEYS, 9):
            why = pb.WhyRunRequest(journey_id=f"thanks-{number}", profile_id=profile_id)
            entries = (await system.service.journeys.WhyRun(why)).entries
            reasons = {each.reason for each in entries}
            # What a merge alone changes is no entry.
            assert reasons | {pb.ENTRY_REASON_LEARNT_TOO_LATE} == {pb.ENTRY_REASON_LEARNT_TOO_LATE}
            assert reasons or who == MERGED


async def _check_history(system: WholeSystem, profile_id: str, imported_us: int) -> None:
    """Check that a person is a member since the import, by the purchases of long ago."""
    request = ListMembershipsRequest(profile_id=profile_id)
    found = await system.service.segment.ListMemberships(request)
    own = [each for each in found.history if each.segment_id.startswith("buyers-")]
    assert len(own) == JOURNEYS
    for change in own:
        assert change.changed_at_us >= imported_us
        number = int(change.segment_id.removeprefix("buyers-")) % _AT_LEAST
        days = (imported_us - change.occurred_at_us) / DAY_US
        assert abs(days - AGES[number]) * DAY_US < HOUR_US
