"""Computes what journeys need of the facts of persons: events, properties, rules, memberships."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from typing import Final, NamedTuple

from services.kernel.ids import hash_id
from services.kernel.journeys import model
from services.kernel.journeys.coupons import CouponUse
from services.kernel.journeys.model import Journey, PeopleInside, SendStep
from services.kernel.journeys.naming import journey_rules, journey_triggers
from services.kernel.journeys.tree import all_steps
from services.kernel.rules.features import Aggregate, DateDistance, DateMeasure, Function
from services.kernel.rules.filters import ANY_EVENT, EventFilter, property_getter
from services.kernel.rules.forms.words import CONSENT_CHANGED
from services.kernel.rules.ids import structure_id
from services.kernel.rules.model import Predicate, Rule
from services.kernel.rules.values import Json, Members, Operator
from services.kernel.time import DAY_US

#: How the ids of the memberships begin that journeys need for themselves.
MEMBERSHIP_PREFIX: Final = "journey:"
#: The events that can change what slots show to a person beside memberships.
CONSENT_EVENTS: Final = EventFilter.of(CONSENT_CHANGED)
CONSENT_FILTER_ID: Final = structure_id(CONSENT_EVENTS)
#: The greatest age of the event by which a person becomes a member, where a journey says nothing.
MEMBERSHIP_AGE_US: Final = DAY_US
_ENTRY_PATH: Final = "entry."
_EARLIEST_ZONE: Final = "Pacific/Kiritimati"


class JourneyStop(NamedTuple):
    """A change of whether a journey lets messages through, as far as its versions are concerned."""

    journey_id: str
    #: Counts these changes from 1.
    version: int
    is_stopped: bool
    #: The version of the journey that was current.
    journey_version: int


def live_versions(versions: Iterable[Journey], stops: Iterable[JourneyStop]) -> list[Journey]:
    """Return the versions that open or new runs of journeys may go by, by id and version.

    A stop ends the runs of all versions up to its own. A version whose predecessor's people do not
    stay ends those of all versions before it. The result is a function of the sets.
    """
    newest: dict[str, JourneyStop] = {}
    first: dict[str, int] = defaultdict(int)
    for stop in stops:
        if stop.journey_id not in newest or stop.version > newest[stop.journey_id].version:
            newest[stop.journey_id] = stop
        if stop.is_stopped:
            first[stop.journey_id] = max(first[stop.journey_id], stop.journey_version)
    own = {(journey.journey_id, journey.version): journey for journey in versions}
    for (journey_id, version), journey in own.items():
        if journey.people_inside is not PeopleInside.STAY:
            first[journey_id] = max(first[journey_id], version)
    return [
        own[journey_id, version]
        for journey_id, version in sorted(own)
        if version >= first[journey_id]
        and not (journey_id in newest and newest[journey_id].is_stopped)
    ]


def entry_properties(journey: Journey) -> frozenset[str]:
    """Return the names of the properties of its entry that a journey reads."""
    names = {t.same for t in journey_triggers(journey) if isinstance(t, model.EventTrigger)}
    names.add(journey.entry.per)
    for step in all_steps(journey):
        if isinstance(step, SendStep):
            paths = [path for path in step.values.values() if path.startswith(_ENTRY_PATH)]
            names.update(path.removeprefix(_ENTRY_PATH).partition(".")[0] for path in paths)
    return frozenset(names - {""})


def awaited_events(journey: Journey) -> dict[EventFilter, frozenset[str]]:
    """Return the events that a journey waits for, with the properties that it reads of each."""
    found: dict[EventFilter, frozenset[str]] = defaultdict(frozenset)
    if isinstance(journey.entry.by, model.EventTrigger):
        found[journey.entry.by.events] |= entry_properties(journey)
    for trigger in journey_triggers(journey):
        if isinstance(trigger, model.EventTrigger):
            found[trigger.events] |= {trigger.same} - {""}
    for use in coupon_uses(journey):
        found[use.events] |= {use.code_property}
    return dict(found)


def coupon_uses(journey: Journey) -> Iterator[CouponUse]:
    """Yield the events that say that coupons of a journey were used."""
    for step in all_steps(journey):
        if isinstance(step, SendStep):
            yield from (issue.used for issue in step.issue.values() if issue.used is not None)


def call_filter_id(journey_id: str) -> int:
    """Return the id that stands for the calls of a journey beside those of event filters."""
    return int.from_bytes(hash_id("call", journey_id)[:8], "big")


def report_filter_id(journey_id: str, step_id: str, what: model.ReportKind) -> int:
    """Return the id that stands for the reports of one kind about the messages of a step."""
    return int.from_bytes(hash_id("report", journey_id, step_id, what.value)[:8], "big")


def awaited_reports(journey: Journey) -> set[int]:
    """Return the ids of the reports that a journey waits for."""
    return {
        report_filter_id(journey.journey_id, step_id, trigger.what)
        for trigger in journey_triggers(journey)
        if isinstance(trigger, model.ReportTrigger)
        for step_id in trigger.of
    }


def judged_rules(journey: Journey) -> Iterator[Rule]:
    """Yield the rules that runs of a journey are judged by."""
    for _, rule in journey_rules(journey):
        yield rule


def entry_rule(journey: Journey) -> Rule | None:
    """Return the rule whose members a journey needs for its entry; None = it needs none.

    The members are published as `journey:ID`. Of a date they are those whose anniversary is as many
    days ahead as the journey says, in the zone of `date_zone`; of `first_seen` all with an event.
    """
    if journey.retired:
        return None
    match journey.entry.by:
        case model.DateTrigger(trait=trait, before_us=before_us) as by:
            measure = DateMeasure.DAYS_UNTIL_ANNIVERSARY
            distance = DateDistance(trait, measure, date_zone(by), by.leap_day, same_zone=True)
            return Predicate(distance, Operator.EQ, before_us // DAY_US)
        case model.FirstSeenTrigger():
            return Predicate(Aggregate(Function.COUNT, EventFilter.of(ANY_EVENT)), Operator.GE, 1)
        case _:
            return None


def greatest_age_us(entry: model.JourneyEntry) -> int:
    """Return the greatest age at which an entry begins a run, microseconds; 0 = any.

    A change of a membership follows from events of any age, so it has a limit in any case.
    """
    by = (model.SegmentTrigger, model.StageTrigger, model.FirstSeenTrigger)
    if not entry.not_after_us and isinstance(entry.by, by):
        return MEMBERSHIP_AGE_US
    return entry.not_after_us


def date_zone(trigger: model.DateTrigger) -> str:
    """Return the zone at whose midnight a person becomes a member of the `entry_rule` of a date.

    Where the zone of each person counts, days begin as early as anywhere.
    """
    return _EARLIEST_ZONE if trigger.zone == model.PERSON_ZONE else trigger.zone


def select_properties(properties: Mapping[str, Json], names: Iterable[str]) -> dict[str, Json]:
    """Return the named properties that there are, as journeys read them: a name may be a path."""
    selected: dict[str, Json] = {}
    for name in sorted(names):
        value = property_getter(name)(properties)
        if value is not None:
            selected[name] = list(value) if isinstance(value, Members) else value
    return selected
