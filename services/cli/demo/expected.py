"""What the generator knows: who is who, and who belongs to the segment at an instant.

This is told from the visitors themselves and knows nothing of identifiers, leaves or series.
"""

from __future__ import annotations

from collections import defaultdict
from functools import cached_property

from services.cli.demo.dataset import Happening, School
from services.kernel.time import DAY_US

WINDOW_US = 7 * DAY_US


class Truth:
    """The planted truth of a school."""

    def __init__(self, school: School) -> None:
        self._events: dict[int, list[Happening]] = defaultdict(list)
        for event in school.happenings:
            self._events[event.visitor].append(event)

    def high_intent(self, at_us: int) -> frozenset[int]:
        """The visitors who, in the 7 days before `at_us`, attended a trial lesson and viewed at
        least 3 distinct paid courses, and never purchased until then."""
        return frozenset(v for v, events in self._events.items() if _high_intent(events, at_us))

    def profiles(self) -> int:
        """How many profiles there must be: a known visitor is one; of the others every device is,
        for nothing tells that they are the same person."""
        return sum(1 if _known(events) else _devices(events) for events in self._events.values())

    def people(self) -> dict[tuple[str, str], tuple[int, str]]:
        """The person that every identifier belongs to: a visitor, and the device where they are not
        known."""
        return {
            identifier: (visitor, "" if _known(events) else device)
            for visitor, events in self._events.items()
            for device, of_device in _by_device(events).items()
            for identifier in _identifiers(of_device)
        }

    def identifiers(self) -> int:
        """How many different identifiers were sent."""
        return sum(len(_identifiers(events)) for events in self._events.values())

    def visitor_of(self, namespace: str, value: str) -> int | None:
        """Whose identifier it is."""
        return self._visitors.get((namespace, value))

    @cached_property
    def _visitors(self) -> dict[tuple[str, str], int]:
        return {
            identifier: visitor
            for visitor, events in self._events.items()
            for identifier in _identifiers(events)
        }


def _high_intent(events: list[Happening], at_us: int) -> bool:
    past = [e for e in events if e.occurred_at_us <= at_us]
    recent = [e for e in past if e.occurred_at_us > at_us - WINDOW_US]
    attended = any(e.name == "attended_trial_lesson" for e in recent)
    courses = {
        e.properties["course_id"]
        for e in recent
        if e.name == "viewed_course_page" and e.properties["paid"]
    }
    purchased = any(e.name == "purchased_course" for e in past)
    return attended and len(courses) >= 3 and not purchased


def _known(events: list[Happening]) -> bool:
    return any(e.user_id for e in events)


def _devices(events: list[Happening]) -> int:
    return len({e.anonymous_id for e in events if e.anonymous_id})


def _by_device(events: list[Happening]) -> dict[str, list[Happening]]:
    found: dict[str, list[Happening]] = defaultdict(list)
    for event in events:
        found[event.anonymous_id].append(event)
    return found


def _identifiers(events: list[Happening]) -> set[tuple[str, str]]:
    found: set[tuple[str, str]] = set()
    for event in events:
        phone = event.phone or event.traits.get("phone", "")
        told = {
            "user_id": event.user_id,
            "anonymous_id": event.anonymous_id,
            # As it is dialled from anywhere.
            "phone": phone and f"+86{phone}",
            "email": event.traits.get("email", ""),
        }
        found |= {(namespace, value) for namespace, value in told.items() if value}
    return found
