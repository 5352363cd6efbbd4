"""Computes when dates and schedules begin runs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import date, datetime, timedelta
from itertools import pairwise
from typing import NamedTuple

from services.kernel.calendar import local_date, start_of_date
from services.kernel.cron import parse_cron
from services.kernel.ids import FactId, LeafId, WorkspaceId, hash_id
from services.kernel.journeys.inputs import date_zone
from services.kernel.journeys.model import PERSON_ZONE, DateTrigger, Journey, ScheduleTrigger
from services.kernel.local_time import ZoneHistory, anniversary, instant_of
from services.kernel.rules.readings.dates import date_of
from services.kernel.rules.values import Json
from services.kernel.time import DAY_US, HOUR_US

#: Where each day begins first.
_EARLIEST_ZONE = "Pacific/Kiritimati"
#: The last year whose dates have neighbours in all zones.
_LAST_YEAR = 9998


class DateOccasion(NamedTuple):
    """An anniversary of a person that begins a run; there is one a year at most."""

    at_us: int
    #: The day on which the date returns.
    day: date


class StatedDate(NamedTuple):
    """The value of the trait of a person from an instant on."""

    since_us: int
    value: Json


def date_occasions(
    trigger: DateTrigger,
    stated: Sequence[StatedDate],
    zones: ZoneHistory,
    after_us: int,
    until_us: int,
) -> list[DateOccasion]:
    """Return the occasions with after < at <= until, ascending.

    `stated`: the values of the trait, ascending by their instants. An occasion counts if the value
    was known at its instant: a date that is learnt later in the year begins a run in the next one.
    """
    history = zones if trigger.zone == PERSON_ZONE else ZoneHistory(trigger.zone)
    ends = [*(later.since_us for _, later in pairwise(stated)), None]
    first_year = local_date(after_us, "UTC").year - 1
    last_year = min(local_date(until_us + trigger.before_us, "UTC").year + 1, _LAST_YEAR)
    found: list[DateOccasion] = []
    for year in range(first_year, last_year + 1):
        of_year = [
            occasion
            for own, end_us in zip(stated, ends, strict=True)
            if (occasion := _occasion(trigger, own.value, year, history)) is not None
            and own.since_us <= occasion.at_us
            and (end_us is None or occasion.at_us < end_us)
        ]
        first = min(of_year, default=None)
        if first is not None and after_us < first.at_us <= until_us:
            found.append(first)
    return sorted(found)


def date_entry_id(
    workspace_id: WorkspaceId, journey_id: str, occasion: DateOccasion, leaf_id: LeafId
) -> FactId:
    """Return what identifies the entry of an occasion: the year and the leaf, not the day."""
    parts = (workspace_id, "date", journey_id, str(occasion.day.year), leaf_id)
    return FactId(hash_id(*parts))


def occasion_of_member(
    trigger: DateTrigger, entered_us: int, left_us: Sequence[int], zones: ZoneHistory
) -> DateOccasion | None:
    """Return the occasion of a person who has become a member of the journey's `entry_rule`.

    None where the date was learnt after the occasion, or was corrected before it. `left_us`: when
    the person has ceased to be a member; that the day is over is no correction.
    """
    day_zone = date_zone(trigger)
    begins = local_date(entered_us, day_zone)
    history = zones if trigger.zone == PERSON_ZONE else ZoneHistory(trigger.zone)
    at_us = history.clock_on(begins, trigger.clock)
    day_ends_us = start_of_date(begins + timedelta(days=1), day_zone)
    corrected = any(entered_us < left < min(at_us, day_ends_us) for left in left_us)
    if at_us < entered_us or corrected:
        return None
    return DateOccasion(at_us, begins + timedelta(days=trigger.before_us // DAY_US))


def schedule_instants(
    trigger: ScheduleTrigger, zone: str, after_us: int, until_us: int
) -> Iterator[int]:
    """Yield the instants of a schedule with after < at <= until, ascending.

    `zone`: that of the persons, where the schedule goes by it.
    """
    own = zone if trigger.zone == PERSON_ZONE else trigger.zone
    if trigger.at:
        wall = datetime.fromisoformat(trigger.at)
        found = instant_of(wall.date(), wall.hour * 60 + wall.minute, own)
        if after_us < found <= until_us:
            yield found
        return
    cron = parse_cron(trigger.cron)
    found = cron.next_after(after_us, own)
    while found <= until_us:
        yield found
        found = cron.next_after(found, own)


def first_instant(trigger: ScheduleTrigger, after_us: int, until_us: int) -> int | None:
    """Return the first occurrence of a schedule with after < instant <= until, or None.

    Where it goes by the zones of the persons, it occurs when the first zone comes to it.
    """
    zone = _EARLIEST_ZONE if trigger.zone == PERSON_ZONE else trigger.zone
    return next(schedule_instants(trigger, zone, after_us, until_us), None)


def member_entry(
    workspace_id: WorkspaceId,
    journey: Journey,
    occurs_us: int,
    leaf_id: LeafId,
    zone: str,
    before: int,
) -> tuple[FactId, int]:
    """Return the id of the entry of a member of the audience, and its instant.

    `occurs_us`: the occurrence of the schedule. `before`: how many members begin before this one.
    """
    trigger, pace = journey.entry.by, journey.entry.pace_an_hour
    at_us = occurs_us
    if isinstance(trigger, ScheduleTrigger) and trigger.zone == PERSON_ZONE:
        instants = schedule_instants(trigger, zone, occurs_us - 1, occurs_us + 2 * DAY_US)
        at_us = next(instants, occurs_us)
    parts = (workspace_id, "schedule", journey.journey_id, str(occurs_us), leaf_id)
    return FactId(hash_id(*parts)), at_us + (before * HOUR_US // pace if pace else 0)


def _occasion(
    trigger: DateTrigger, value: Json, year: int, zones: ZoneHistory
) -> DateOccasion | None:
    day = date_of(value, zones.first)
    if day is None or not day.year <= year:
        return None
    returns = anniversary(day, year, trigger.leap_day)
    begins = returns - timedelta(days=trigger.before_us // DAY_US)
    return DateOccasion(zones.clock_on(begins, trigger.clock), returns)
