"""An endless stream of an online school's events, as requests that are serialised beforehand."""

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
from services.cli.demo.dataset import Happening, School
from services.devstack.stack import ROOT
from services.kernel.rules.model import Rule
from services.kernel.time import MINUTE_US

#: Events a request.
BATCH = 200
#: Schools that are visited at the same time, each at another day of its month.
SCHOOLS = 4
#: Visitors of a school; when its month is over, another one opens with fresh visitors.
VISITORS = 6_000

_TYPES = {n.removeprefix("EVENT_TYPE_").lower(): v for n, v in event_pb2.EventType.items()}
_LENGTH = struct.Struct(">I")


def pack() -> Pack:
    """The education pack, with messages written to a file."""
    values = {"COUPON_URL": "http://127.0.0.1:9", "COUPON_SECRET": "whsec_AAAA"}
    found = read_pack(ROOT / "packs" / "education", values)
    for destination in found.destinations:
        destination.file.name = "coupons.ndjson"
    return found


def rules(of: Pack) -> list[Rule]:
    """The rules of a pack."""
    return [rule_from_proto(told.rule) for told in (*of.tags, *of.segments)]


def events(end_us: int) -> Iterator[event_pb2.Event]:
    """The months of school after school, SCHOOLS of them side by side, without an end."""
    waves = count()
    months = [_rest_of(_month(next(waves), end_us), n / SCHOOLS) for n in range(SCHOOLS)]
    while True:
        for place, month in enumerate(months):
            event = next(month, None)
            if event is None:
                months[place] = _month(next(waves), end_us)
            else:
                yield event


def _rest_of(month: Iterator[event_pb2.Event], part: float) -> Iterator[event_pb2.Event]:
    """What is left of a month after a part of it is over."""
    said = list(month)
    return iter(said[int(part * len(said)) :])


def _month(wave: int, end_us: int) -> Iterator[event_pb2.Event]:
    """The month of one school. Its people are other people than those of any other."""
    school = School(end_us - MINUTE_US, visitors=VISITORS, seed=wave)
    for happening in school.deliveries():
        yield _message(happening, wave)


def _message(event: Happening, wave: int) -> event_pb2.Event:
    named = {
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
            for namespace, value in named.items()
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


def requests(said: Iterable[event_pb2.Event], size: int = BATCH) -> Iterator[bytes]:
    """Serialised requests of `size` events."""
    rest = iter(said)
    while part := list(islice(rest, size)):
        yield IngestEventsRequest(events=part).SerializeToString()


def probe(name: str, at_us: int) -> bytes:
    """A request whose four events bring somebody new into the segment of the pack."""
    who = [Identifier(namespace="user_id", value=name)]
    views = (f'{{"course_id":"course-{n:02d}","paid":true}}' for n in range(1, 4))
    said = [("attended_trial_lesson", "{}"), *(("viewed_course_page", view) for view in views)]
    return IngestEventsRequest(
        events=[
            event_pb2.Event(
                type=event_pb2.EVENT_TYPE_TRACK,
                name=what,
                message_id=f"{name}-{place}",
                identifiers=who,
                occurred_at_us=at_us,
                properties=properties.encode(),
                channel="app",
            )
            for place, (what, properties) in enumerate(said)
        ]
    ).SerializeToString()


def write(file: Path, total: int, end_us: int) -> None:
    """Writes requests with `total` events in all, each after its length."""
    with file.open("wb") as out:
        for request in requests(islice(events(end_us), total)):
            out.write(_LENGTH.pack(len(request)) + request)


def read(file: IO[bytes]) -> Iterator[bytes]:
    """The requests of a file from where it stands."""
    while length := file.read(_LENGTH.size):
        yield file.read(*_LENGTH.unpack(length))
