"""Generates an endless stream of an online school's events as serialised requests."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from itertools import count, islice
from pathlib import Path
from typing import IO

import msgspec
from onefold.ingest.v1.ingest_service_pb2 import IngestEventsRequest
from onefold.type.v1 import event_pb2
from onefold.type.v1.identifier_pb2 import Identifier

from services.chassis.codec.rules import rule_from_proto
from services.cli.definitions import Pack, read_pack
from services.cli.demo.dataset import School, VisitorEvent
from services.devstack.folders import ROOT
from services.kernel.rules.model import Rule
from services.kernel.rules.references import references
from services.kernel.time import MINUTE_US

#: Events per request.
BATCH = 200
#: Schools at the same time, each on another day of its month.
SCHOOLS = 4
#: Visitors of a school; after its month another one begins with new visitors.
VISITORS = 6_000

_TYPES = {n.removeprefix("EVENT_TYPE_").lower(): v for n, v in event_pb2.EventType.items()}
_LENGTH = struct.Struct(">I")


def pack() -> Pack:
    """Return the education pack with a destination that writes to a file."""
    values = {"COUPON_URL": "http://127.0.0.1:9", "COUPON_SECRET": "whsec_AAAA"}
    found = read_pack(ROOT / "packs" / "education", values)
    for destination in found.destinations:
        destination.file.name = "coupons.ndjson"
    return found


def rules(of: Pack) -> list[Rule]:
    """Return the rules of a pack that name no other definition."""
    values = [value for tag in of.tags for value in tag.values]
    defined = [each for each in (*of.tags, *of.segments, *values) if each.HasField("rule")]
    found = (rule_from_proto(each.rule) for each in defined)
    return [rule for rule in found if not any(references(rule))]


def events(end_us: int) -> Iterator[event_pb2.Event]:
    """Yield the events of SCHOOLS schools side by side, each followed by another, without end."""
    waves = count()
    months = [_skip(_month(next(waves), end_us), n / SCHOOLS) for n in range(SCHOOLS)]
    while True:
        for index, month in enumerate(months):
            event = next(month, None)
            if event is None:
                months[index] = _month(next(waves), end_us)
            else:
                yield event


def _skip(month: Iterator[event_pb2.Event], part: float) -> Iterator[event_pb2.Event]:
    """Return the events of a month after the first part of it."""
    events_ = list(month)
    return iter(events_[int(part * len(events_)) :])


def _month(wave: int, end_us: int) -> Iterator[event_pb2.Event]:
    """Yield the month of one school, whose visitors are those of no other school."""
    school = School(end_us - MINUTE_US, visitors=VISITORS, seed=wave)
    for event in school.in_sending_order():
        yield _message(event, wave)


def _message(event: VisitorEvent, wave: int) -> event_pb2.Event:
    identifiers = {
        "user_id": event.user_id,
        "anonymous_id": event.anonymous_id,
        "phone": event.phone or event.traits.get("phone", ""),
        "email": event.traits.get("email", ""),
    }
    return event_pb2.Event(
        type=_TYPES[event.type],  # type: ignore[arg-type]  # the numbers are the enum's
        name=event.name,
        message_id=f"{wave}-{event.message_id}",
        identifiers=[
            Identifier(namespace=namespace, value=_of_wave(namespace, value, wave))
            for namespace, value in identifiers.items()
            if value
        ],
        occurred_at_us=event.occurred_at_us,
        properties=msgspec.json.encode(event.properties),
        traits=msgspec.json.encode(event.traits),
        channel=event.channel,
    )


def _of_wave(namespace: str, value: str, wave: int) -> str:
    if namespace == "phone":  # all numbers of 130 to 139 exist
        return f"13{wave * VISITORS + int(value[3:]):09d}"
    return f"{wave}-{value}"


def requests(stream: Iterable[event_pb2.Event], size: int = BATCH) -> Iterator[bytes]:
    """Yield serialised requests of `size` events."""
    rest = iter(stream)
    while part := list(islice(rest, size)):
        yield IngestEventsRequest(events=part).SerializeToString()


def probe(name: str, at_us: int) -> bytes:
    """Return a request whose four events bring a new person into the segment of the pack."""
    identifiers = [Identifier(namespace="user_id", value=name)]
    views = (f'{{"course_id":"course-{n:02d}","paid":true}}' for n in range(1, 4))
    tracked = [("attended_trial_lesson", "{}"), *(("viewed_course_page", view) for view in views)]
    return IngestEventsRequest(
        events=[
            event_pb2.Event(
                type=event_pb2.EVENT_TYPE_TRACK,
                name=event_name,
                message_id=f"{name}-{index}",
                identifiers=identifiers,
                occurred_at_us=at_us,
                properties=properties.encode(),
                channel="app",
            )
            for index, (event_name, properties) in enumerate(tracked)
        ]
    ).SerializeToString()


def write(file: Path, total: int, end_us: int) -> None:
    """Write requests with `total` events in all, each after its length."""
    with file.open("wb") as out:
        for request in requests(islice(events(end_us), total)):
            out.write(_LENGTH.pack(len(request)) + request)


def read(file: IO[bytes]) -> Iterator[bytes]:
    """Yield the requests of a file from its position on."""
    while length := file.read(_LENGTH.size):
        yield file.read(*_LENGTH.unpack(length))
