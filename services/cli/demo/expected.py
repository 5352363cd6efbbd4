"""Computes the correct results of the demo from the visitors themselves.

It shares no code with the system: no leaves, no accumulators, no rules.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Hashable, Iterable, Mapping
from functools import cached_property
from typing import NamedTuple, TypeVar

from services.cli.demo.dataset import School, VisitorEvent
from services.kernel.time import DAY_US

WINDOW_US = 7 * DAY_US
T = TypeVar("T", bound=Hashable)


class ExpectedResults:
    """The correct profiles, identifiers and segment members of a school's events."""

    def __init__(self, school: School) -> None:
        self._events: dict[int, list[VisitorEvent]] = defaultdict(list)
        for event in school.events:
            self._events[event.visitor].append(event)

    def high_intent(self, at_us: int) -> frozenset[int]:
        """Return the visitors with high intent at an instant.

        In the 7 days before it they attended a trial lesson and viewed at least 3 different paid
        courses, and they have purchased nothing until then.
        """
        return frozenset(v for v, events in self._events.items() if _high_intent(events, at_us))

    def profiles(self) -> int:
        """Return the number of profiles.

        A visitor with a login is one profile; of the others every device is one, as no
        evidence links them.
        """
        return sum(
            1 if _has_logged_in(events) else _devices(events) for events in self._events.values()
        )

    def persons(self) -> dict[tuple[str, str], tuple[int, str]]:
        """Return the person of every identifier: a visitor, or a device without a login."""
        return {
            identifier: (visitor, "" if _has_logged_in(events) else device)
            for visitor, events in self._events.items()
            for device, of_device in _by_device(events).items()
            for identifier in _identifiers(of_device)
        }

    def identifiers(self) -> int:
        """Return the number of different identifiers."""
        return sum(len(_identifiers(events)) for events in self._events.values())

    @cached_property
    def visitors(self) -> dict[tuple[str, str], int]:
        """The visitor of each identifier."""
        return {
            identifier: visitor
            for visitor, events in self._events.items()
            for identifier in _identifiers(events)
        }


def _high_intent(events: list[VisitorEvent], at_us: int) -> bool:
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


def _has_logged_in(events: list[VisitorEvent]) -> bool:
    return any(e.user_id for e in events)


def _devices(events: list[VisitorEvent]) -> int:
    return len({e.anonymous_id for e in events if e.anonymous_id})


def _by_device(events: list[VisitorEvent]) -> dict[str, list[VisitorEvent]]:
    found: dict[str, list[VisitorEvent]] = defaultdict(list)
    for event in events:
        found[event.anonymous_id].append(event)
    return found


def _identifiers(events: list[VisitorEvent]) -> set[tuple[str, str]]:
    found: set[tuple[str, str]] = set()
    for event in events:
        phone = event.phone or event.traits.get("phone", "")
        values = {
            "user_id": event.user_id,
            "anonymous_id": event.anonymous_id,
            # In canonical form.
            "phone": phone and f"+86{phone}",
            "email": event.traits.get("email", ""),
        }
        found |= {(namespace, value) for namespace, value in values.items() if value}
    return found


class PairwiseScores(NamedTuple):
    """How many pairs of identifiers are grouped correctly."""

    #: The part of the found pairs that is correct; 1.0 where there are none.
    precision: float = 1.0
    #: The part of the correct pairs that was found; 1.0 where there are none.
    recall: float = 1.0
    #: The number of correct pairs.
    pairs: int = 0


def score_pairs(found: Mapping[T, Hashable], correct: Mapping[T, Hashable]) -> PairwiseScores:
    """Score the groups that were found; both mappings name the group of each identifier.

    An identifier that was not found is alone in its group.
    """
    both = Counter((found.get(each, each), group) for each, group in correct.items())
    joined = _pairs(Counter(found.get(each, each) for each in correct).values())
    right, agreed = _pairs(Counter(correct.values()).values()), _pairs(both.values())
    return PairwiseScores(
        agreed / joined if joined else 1.0, agreed / right if right else 1.0, right
    )


def _pairs(sizes: Iterable[int]) -> int:
    return sum(size * (size - 1) // 2 for size in sizes)
