"""Generates one month of an online school's events: the same ones for the same seed.

Each event names the visitor who caused it, which the system has to find out from identifiers alone:
`expected.py` computes the correct results from it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import Enum
from random import Random
from typing import Any

from services.kernel.time import DAY_US, HOUR_US, MINUTE_US, SECOND_US

DAYS = 30
PAID_COURSES = tuple(f"course-{n:02d}" for n in range(1, 25))
FREE_COURSES = tuple(f"open-{n:02d}" for n in range(1, 7))
PAGES = ("/", "/courses", "/teachers", "/pricing", "/blog", "/about")
CITIES = ("北京市", "上海市", "杭州市", "成都市", "深圳市", "武汉市")


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
class SchoolEvent:
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

    @property
    def endpoint(self) -> Endpoint:
        """How it enters the system."""
        return ENDPOINTS[self.channel]


@dataclass(slots=True)
class _Visitor:
    number: int
    kind: str
    devices: list[tuple[str, str]]
    events: list[SchoolEvent] = field(default_factory=list)

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
        self.events: tuple[SchoolEvent, ...] = tuple(self._generate(visitors))

    def in_sending_order(self) -> Iterator[SchoolEvent]:
        """Yield the events in the order in which the sources send them.

        One in 20 is late by up to two days, one in 50 is sent twice, and neighbours are swapped.
        """
        order = Random(len(self.events))  # noqa: S311 - the same
        sent: list[tuple[int, int, SchoolEvent]] = []
        for index, event in enumerate(self.events):
            late = order.randrange(2 * DAY_US) if order.random() < 0.05 else 0
            jitter = order.randrange(10 * MINUTE_US)
            sent.append((event.occurred_at_us + late + jitter, index, event))
            if order.random() < 0.02:
                sent.append((event.occurred_at_us + order.randrange(DAY_US), index, event))
        for _, _, event in sorted(sent, key=lambda s: s[:2]):
            yield event

    def _generate(self, visitors: int) -> Iterator[SchoolEvent]:
        kinds = list(_KINDS)
        weights = [_KINDS[kind][0] for kind in kinds]
        for number in range(visitors):
            kind = self._random.choices(kinds, weights)[0]
            visitor = _Visitor(number, kind, self._devices(number, kind))
            self._visits(visitor)
            yield from visitor.events

    def _devices(self, number: int, kind: str) -> list[tuple[str, str]]:
        count = 1 if kind == "passer_by" else self._random.choice((1, 2, 2, 3))
        channels = self._random.sample(("web", "app", "mini_program"), count)
        return [(channel, f"anon-{number:05d}-{i}") for i, channel in enumerate(channels)]

    def _visits(self, visitor: _Visitor) -> None:
        low, high = _KINDS[visitor.kind][1]
        # Most visitors come on some days in a row, and then no more.
        middle = self.start_us + self._random.randrange(DAYS * DAY_US)
        times = sorted(self._visit_near(middle) for _ in range(self._random.randint(low, high)))
        known_from = None if visitor.kind in ("passer_by", "reader") else len(times) // 3
        logged_in: set[str] = set()
        for index, at in enumerate(times):
            channel, anonymous_id = visitor.devices[index % len(visitor.devices)]
            known = known_from is not None and index >= known_from
            if known and anonymous_id not in logged_in:
                self._log_in(visitor, channel, anonymous_id, at, first=not logged_in)
                logged_in.add(anonymous_id)
            self._browse(visitor, channel, anonymous_id, at, known)
        if logged_in:
            self._log_in_elsewhere(visitor, logged_in, times[-1])
            self._engage(visitor, times)

    def _visit_near(self, middle: int) -> int:
        """Return an instant of the month, early enough for the events after a visit."""
        while True:
            at = int(self._random.gauss(middle, 4 * DAY_US))
            if self.start_us <= at <= self.end_us - 6 * HOUR_US:
                return at

    def _log_in_elsewhere(self, visitor: _Visitor, logged_in: set[str], at: int) -> None:
        """Log in on the devices on which the visitor has not logged in."""
        for channel, anonymous_id in visitor.devices:
            if anonymous_id not in logged_in:
                self._log_in(visitor, channel, anonymous_id, at + HOUR_US, first=False)

    def _log_in(
        self, visitor: _Visitor, channel: str, anonymous_id: str, at: int, *, first: bool
    ) -> None:
        traits: dict[str, Any] = {"phone": visitor.phone}
        if first:
            traits |= {
                "email": f"{visitor.user_id}@school.example",
                "city": self._random.choice(CITIES),
                "grade": self._random.randint(7, 12),
            }
        self._add(
            visitor, "identify", "", at, channel, visitor.user_id, anonymous_id, traits=traits
        )
        if first:
            self._add(
                visitor, "track", "registered", at + SECOND_US, channel, visitor.user_id,
                anonymous_id,
            )  # fmt: skip

    def _browse(
        self, visitor: _Visitor, channel: str, anonymous_id: str, at: int, known: bool
    ) -> None:
        user_id = visitor.user_id if known else ""
        for step in range(self._random.randint(1, 5)):
            at += self._random.randrange(5 * SECOND_US, 4 * MINUTE_US)
            path = self._random.choice(PAGES)
            kind = "page" if channel == "web" else "screen"
            properties = {"path": path, "step": step}
            self._add(visitor, kind, "", at, channel, user_id, anonymous_id, properties)
        views = self._random.choice((0, 1, 1, 2, 3)) if visitor.kind != "passer_by" else 1
        for _ in range(views):
            at += self._random.randrange(5 * SECOND_US, 4 * MINUTE_US)
            self._view_course(visitor, channel, anonymous_id, at, user_id)

    def _view_course(
        self, visitor: _Visitor, channel: str, anonymous_id: str, at: int, user_id: str
    ) -> None:
        paid = self._random.random() < 0.8
        course = self._random.choice(PAID_COURSES if paid else FREE_COURSES)
        properties = {"course_id": course, "paid": paid, "seconds": self._random.randint(3, 300)}
        self._add(
            visitor, "track", "viewed_course_page", at, channel, user_id, anonymous_id, properties
        )

    def _engage(self, visitor: _Visitor, times: list[int]) -> None:
        """Add support requests, trial lessons and purchases of a visitor who has logged in."""
        channel, anonymous_id = visitor.devices[0]
        if self._random.random() < 0.3:
            at = self._random.choice(times) + HOUR_US
            properties = {"topic": self._random.choice(("price", "schedule", "refund"))}
            self._add(
                visitor, "track", "consulted_support", at, "mini_program", visitor.user_id,
                "", properties,
            )  # fmt: skip
        if visitor.kind in ("taster", "buyer"):
            for at in self._random.sample(times, self._random.randint(1, 2)):
                self._attend_trial(visitor, channel, anonymous_id, at + 2 * HOUR_US)
        if visitor.kind == "buyer":
            self._buy(visitor, channel, anonymous_id, times[-1] + 3 * HOUR_US)

    def _attend_trial(self, visitor: _Visitor, channel: str, anonymous_id: str, at: int) -> None:
        properties = {"lesson": f"trial-{self._random.randint(1, 6)}", "minutes": 45}
        if self._random.random() < 0.5:
            self._add_offline(visitor, "attended_trial_lesson", at, properties)
        else:
            self._add(
                visitor, "track", "attended_trial_lesson", at, channel, visitor.user_id,
                anonymous_id, properties,
            )  # fmt: skip

    def _buy(self, visitor: _Visitor, channel: str, anonymous_id: str, at: int) -> None:
        properties = {
            "course_id": self._random.choice(PAID_COURSES),
            "amount": self._random.choice((299, 999, 1_999)),
        }
        if self._random.random() < 0.4:
            self._add_offline(visitor, "purchased_course", at, properties)
        else:
            self._add(
                visitor, "track", "purchased_course", at, channel, visitor.user_id, anonymous_id,
                properties,
            )  # fmt: skip

    def _add_offline(
        self, visitor: _Visitor, name: str, at: int, properties: dict[str, Any]
    ) -> None:
        """Add an event of a branch office, which identifies people by phone number."""
        number = len(visitor.events)
        visitor.events.append(
            SchoolEvent(
                visitor.number,
                f"crm-{visitor.number:05d}-{number:03d}",
                "track",
                name,
                self._within(at),
                "offline",
                phone=visitor.phone,
                properties=properties,
            )
        )

    def _add(
        self,
        visitor: _Visitor,
        kind: str,
        name: str,
        at: int,
        channel: str,
        user_id: str,
        anonymous_id: str,
        properties: dict[str, Any] | None = None,
        traits: dict[str, Any] | None = None,
    ) -> None:
        visitor.events.append(
            SchoolEvent(
                visitor.number,
                f"{channel}-{visitor.number:05d}-{len(visitor.events):03d}",
                kind,
                name,
                self._within(at),
                channel,
                user_id,
                anonymous_id,
                "",
                properties or {},
                traits or {},
            )
        )

    def _within(self, at: int) -> int:
        """Return `at` in whole milliseconds, limited to the month."""
        inside = min(at, self.end_us - MINUTE_US)
        return inside - inside % 1_000
