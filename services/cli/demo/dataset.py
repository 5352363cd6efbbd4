"""Generates one month of an online school's events: the same ones for the same seed.

Each event records its true visitor, which the system does not receive: `expected.py` computes the
correct results from it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import Enum
from random import Random
from typing import Any, NamedTuple

from services.kernel.time import DAY_US, HOUR_US, MINUTE_US, SECOND_US

DAYS = 30
PAID_COURSES = tuple(f"course-{n:02d}" for n in range(1, 25))
FREE_COURSES = tuple(f"open-{n:02d}" for n in range(1, 7))
PAGES = ("/", "/courses", "/teachers", "/pricing", "/blog", "/about")
CITIES = ("北京市", "上海市", "杭州市", "成都市", "深圳市", "武汉市")
#: Names of people, in the order of their frequency.
SURNAMES = "王李张刘陈杨黄赵吴周徐孙马朱胡郭何林高罗"
GIVEN_NAMES = "伟娜敏静雷梅强磊洋艳勇涛明超兰霞"


def person_name(number: int) -> str:
    """Return the name of a person by a number."""
    surname = SURNAMES[number * 7 % len(SURNAMES)]
    return surname + GIVEN_NAMES[number * 11 % len(GIVEN_NAMES)]


class Endpoint(Enum):
    """How an event enters the system."""

    SDK = "segment-analytics-python"
    GRPC = "gRPC"
    NATS = "NATS"
    FILE = "CSV file"


#: The endpoint of each channel.
ENDPOINTS = {
    "web": Endpoint.SDK,
    "app": Endpoint.GRPC,
    "mini_program": Endpoint.NATS,
    "offline": Endpoint.FILE,
}


@dataclass(frozen=True, slots=True)
class VisitorEvent:
    """One event of one visitor, with the identifiers that its source has."""

    visitor: int
    message_id: str
    type: str
    name: str
    occurred_at_us: int
    channel: str
    user_id: str = ""
    anonymous_id: str = ""
    phone: str = ""
    properties: dict[str, Any] = field(default_factory=dict)
    traits: dict[str, Any] = field(default_factory=dict)
    #: In a group event: the account.
    group_id: str = ""

    @property
    def endpoint(self) -> Endpoint:
        return ENDPOINTS[self.channel]


class _Device(NamedTuple):
    channel: str
    anonymous_id: str = ""


#: A branch office, which identifies visitors by phone number, and a channel without a device id.
_OFFLINE, _SUPPORT = _Device("offline"), _Device("mini_program")


@dataclass(slots=True)
class _Visitor:
    number: int
    kind: str
    devices: list[_Device]
    events: list[VisitorEvent] = field(default_factory=list)

    @property
    def user_id(self) -> str:
        return f"student-{self.number:05d}"

    @property
    def phone(self) -> str:
        return f"138{self.number:08d}"


#: By kind of visitor: its share, and its number of visits in the month (from, to).
_KINDS = {
    "passer_by": (0.45, (1, 3)),
    "reader": (0.20, (3, 7)),
    "student": (0.15, (5, 10)),
    "taster": (0.13, (6, 11)),
    "buyer": (0.07, (7, 12)),
}


class School:
    """The events of `visitors` in the 30 days before `end_us` (Unix microseconds)."""

    def __init__(self, end_us: int, *, visitors: int = 3_000, seed: int = 20_260) -> None:
        self.end_us = end_us
        self.start_us = end_us - DAYS * DAY_US
        self._random = Random(seed)  # noqa: S311 - a scenario, not a secret
        self.events: tuple[VisitorEvent, ...] = tuple(self._generate(visitors))

    def in_sending_order(self) -> Iterator[VisitorEvent]:
        """Yield the events in the order in which the sources send them.

        One in 20 is late by up to two days, one in 50 is sent twice, and neighbours are swapped.
        """
        order = Random(len(self.events))  # noqa: S311 - the same
        sent: list[tuple[int, int, VisitorEvent]] = []
        for index, event in enumerate(self.events):
            late = order.randrange(2 * DAY_US) if order.random() < 0.05 else 0
            jitter = order.randrange(10 * MINUTE_US)
            sent.append((event.occurred_at_us + late + jitter, index, event))
            if order.random() < 0.02:
                sent.append((event.occurred_at_us + order.randrange(DAY_US), index, event))
        for _, _, event in sorted(sent, key=lambda s: s[:2]):
            yield event

    def _generate(self, visitors: int) -> Iterator[VisitorEvent]:
        kinds = list(_KINDS)
        weights = [_KINDS[kind][0] for kind in kinds]
        for number in range(visitors):
            kind = self._random.choices(kinds, weights)[0]
            visitor = _Visitor(number, kind, self._devices(number, kind))
            self._visits(visitor)
            yield from visitor.events

    def _devices(self, number: int, kind: str) -> list[_Device]:
        count = 1 if kind == "passer_by" else self._random.choice((1, 2, 2, 3))
        channels = self._random.sample(("web", "app", "mini_program"), count)
        return [_Device(channel, f"anon-{number:05d}-{i}") for i, channel in enumerate(channels)]

    def _visits(self, visitor: _Visitor) -> None:
        low, high = _KINDS[visitor.kind][1]
        # Most visitors come on some days in a row, and then no more.
        middle = self.start_us + self._random.randrange(DAYS * DAY_US)
        times = sorted(self._visit_near(middle) for _ in range(self._random.randint(low, high)))
        known_from = None if visitor.kind in ("passer_by", "reader") else len(times) // 3
        logged_in: set[_Device] = set()
        for index, at in enumerate(times):
            device = visitor.devices[index % len(visitor.devices)]
            known = known_from is not None and index >= known_from
            if known and device not in logged_in:
                self._log_in(visitor, device, at, first=not logged_in)
                logged_in.add(device)
            self._browse(visitor, device, at, visitor.user_id if known else "")
        if logged_in:
            for device in visitor.devices:
                if device not in logged_in:
                    self._log_in(visitor, device, times[-1] + HOUR_US, first=False)
            self._engage(visitor, times)

    def _visit_near(self, middle: int) -> int:
        """Return an instant of the month, early enough for the events after a visit."""
        while True:
            at = int(self._random.gauss(middle, 4 * DAY_US))
            if self.start_us <= at <= self.end_us - 6 * HOUR_US:
                return at

    def _log_in(self, visitor: _Visitor, device: _Device, at: int, *, first: bool) -> None:
        traits: dict[str, Any] = {"phone": visitor.phone}
        if first:
            traits |= {
                "name": person_name(visitor.number),
                "email": f"{visitor.user_id}@school.example",
                "city": self._random.choice(CITIES),
                "grade": self._random.randint(7, 12),
            }
        self._add(visitor, device, at, "identify", user_id=visitor.user_id, traits=traits)
        if first:
            self._track(visitor, device, at + SECOND_US, "registered", {})

    def _browse(self, visitor: _Visitor, device: _Device, at: int, user_id: str) -> None:
        kind = "page" if device.channel == "web" else "screen"
        for step in range(self._random.randint(1, 5)):
            at += self._random.randrange(5 * SECOND_US, 4 * MINUTE_US)
            properties = {"path": self._random.choice(PAGES), "step": step}
            self._add(visitor, device, at, kind, user_id=user_id, properties=properties)
        views = self._random.choice((0, 1, 1, 2, 3)) if visitor.kind != "passer_by" else 1
        for _ in range(views):
            at += self._random.randrange(5 * SECOND_US, 4 * MINUTE_US)
            paid = self._random.random() < 0.8
            course = self._random.choice(PAID_COURSES if paid else FREE_COURSES)
            seconds = self._random.randint(3, 300)
            properties = {"course_id": course, "paid": paid, "seconds": seconds}
            name = "viewed_course_page"
            self._add(visitor, device, at, "track", name, user_id=user_id, properties=properties)

    def _engage(self, visitor: _Visitor, times: list[int]) -> None:
        """Add support requests, trial lessons and purchases of a visitor with a login."""
        if self._random.random() < 0.3:
            at = self._random.choice(times) + HOUR_US
            topic = self._random.choice(("price", "schedule", "refund"))
            self._track(visitor, _SUPPORT, at, "consulted_support", {"topic": topic})
        if visitor.kind in ("taster", "buyer"):
            for at in self._random.sample(times, self._random.randint(1, 2)):
                lesson = {"lesson": f"trial-{self._random.randint(1, 6)}", "minutes": 45}
                device = _OFFLINE if self._random.random() < 0.5 else visitor.devices[0]
                self._track(visitor, device, at + 2 * HOUR_US, "attended_trial_lesson", lesson)
        if visitor.kind == "buyer":
            course = self._random.choice(PAID_COURSES)
            purchase = {"course_id": course, "amount": self._random.choice((299, 999, 1_999))}
            device = _OFFLINE if self._random.random() < 0.4 else visitor.devices[0]
            self._track(visitor, device, times[-1] + 3 * HOUR_US, "purchased_course", purchase)

    def _track(
        self, visitor: _Visitor, device: _Device, at: int, name: str, properties: dict[str, Any]
    ) -> None:
        """Add an event of a visitor with a login."""
        user_id = "" if device is _OFFLINE else visitor.user_id
        self._add(visitor, device, at, "track", name, user_id=user_id, properties=properties)

    def _add(
        self,
        visitor: _Visitor,
        device: _Device,
        at: int,
        kind: str,
        name: str = "",
        *,
        user_id: str,
        properties: dict[str, Any] | None = None,
        traits: dict[str, Any] | None = None,
    ) -> None:
        inside = min(at, self.end_us - MINUTE_US)
        prefix = "crm" if device is _OFFLINE else device.channel
        event = VisitorEvent(
            visitor=visitor.number,
            message_id=f"{prefix}-{visitor.number:05d}-{len(visitor.events):03d}",
            type=kind,
            name=name,
            occurred_at_us=inside - inside % 1_000,  # whole milliseconds
            channel=device.channel,
            user_id=user_id,
            anonymous_id=device.anonymous_id,
            phone=visitor.phone if device is _OFFLINE else "",
            properties=properties or {},
            traits=traits or {},
        )
        visitor.events.append(event)
