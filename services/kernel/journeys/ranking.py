"""Models how a slot ranks items for persons, and reads and writes its form."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

from services.kernel.journeys.form_kinds import NAME, FormContext, Key, ListOf, Record
from services.kernel.journeys.naming import JourneyProblem
from services.kernel.rules.filters import ANY_EVENT, EventFilter, matcher, property_getter
from services.kernel.rules.forms.json_body import Body
from services.kernel.rules.forms.json_dump import events_form
from services.kernel.rules.forms.json_parse import events_of
from services.kernel.rules.values import Json

MAX_EVENTS: Final = 20
#: The most names of events, of all kinds together.
MAX_NAMES: Final = 50
#: The longest id of an item.
MAX_ITEM: Final = 200
#: The most items of one event.
MAX_ITEMS: Final = 200


@dataclass(frozen=True, slots=True)
class ItemEvents:
    """Events that name items."""

    events: EventFilter
    #: The path of the property that has the id of an item, or of several.
    item: str

    def items_in(self, name: str, properties: Mapping[str, Json]) -> list[str]:
        """Return the items that an event names, in its order; none if it is another event."""
        names = self.events.names
        if name not in names and ANY_EVENT not in names:
            return []
        matches, read = _reader(self)
        if not matches(properties):
            return []
        value = read(properties)
        many = value if isinstance(value, list | tuple) else [value]
        found = [str(each) for each in many if _is_id(each)]
        return [item for item in dict.fromkeys(found) if 0 < len(item) <= MAX_ITEM][:MAX_ITEMS]


@dataclass(frozen=True, slots=True)
class ItemRanking:
    """How a slot ranks items, such as products, courses or articles."""

    #: By which persons get items; what belongs together follows from them.
    bought: tuple[ItemEvents, ...] = ()
    #: By which persons show interest in items.
    seen: tuple[ItemEvents, ...] = ()
    #: Of another recommender: the items of the last one go before all others.
    recommended: tuple[ItemEvents, ...] = ()
    #: The type of the objects that describe the items; empty = nothing describes them.
    catalogue: str = ""
    #: The trait of these objects that has the category of the item.
    category: str = ""
    #: By their traits, the objects that are not shown.
    unavailable: EventFilter | None = None

    def names(self) -> list[str]:
        """Return the names of all its events, ascending."""
        every = (*self.bought, *self.seen, *self.recommended)
        return sorted({name for each in every for name in each.events.names})

    def is_available(self, traits: Mapping[str, Json]) -> bool:
        """Return whether an item is shown whose object has these traits."""
        return self.unavailable is None or not matcher(self.unavailable.where)(traits)


def ranking_problems(ranking: ItemRanking) -> Iterator[JourneyProblem]:
    """Yield the mistakes of a ranking."""
    if not ranking.bought:
        problem = "no event says which items belong together"
        remedy = "write `bought: [{event: NAME, item: PROPERTY}]`"
        yield JourneyProblem("items", problem, remedy)
    every = (*ranking.bought, *ranking.seen, *ranking.recommended)
    if len(every) > MAX_EVENTS:
        remedy = f"write at most {MAX_EVENTS}, each with a list of names"
        yield JourneyProblem("items", f"it has {len(every)} kinds of events", remedy)
    if len(ranking.names()) > MAX_NAMES:
        remedy = f"write at most {MAX_NAMES}"
        yield JourneyProblem("items", "its events have many names", remedy)
    if ANY_EVENT in ranking.names():
        yield JourneyProblem("items", "an event has no name", "name the events")
    if (ranking.category or ranking.unavailable) and not ranking.catalogue:
        problem = "nothing describes the items"
        remedy = "write `catalogue: TYPE`, the type of the objects"
        yield JourneyProblem("items", problem, remedy)


@lru_cache(maxsize=1_024)
def _reader(
    events: ItemEvents,
) -> tuple[Callable[[Mapping[str, Json]], bool], Callable[[Mapping[str, Json]], Json]]:
    """Return what tests the properties of an event, and what reads the items among them."""
    return matcher(events.events.where), property_getter(events.item)


def _is_id(value: Json) -> bool:
    return isinstance(value, str | int) and not isinstance(value, bool)


class _ItemEventsKind:
    """The kind of `ItemEvents`: `{event, where, item}`."""

    def read(self, form: Json, path: str, context: FormContext) -> ItemEvents:
        body = Body(form, path)
        body.check_keys(("event", "where", "item"))
        return ItemEvents(events_of(body), body.name("item"))

    def write(self, value: Any, context: FormContext) -> Json:
        return {**events_form(value.events), "item": value.item}


class _TraitsKind:
    """The kind of the filters of traits: `{stock: {at_most: 0}}`."""

    def read(self, form: Json, path: str, context: FormContext) -> EventFilter:
        return events_of(Body({"event": ANY_EVENT, "where": form}, path))

    def write(self, value: Any, context: FormContext) -> Json:
        return events_form(value)["where"]


RANKING: Final = Record(
    ItemRanking,
    [
        Key("bought", "bought", ListOf(_ItemEventsKind())),
        Key("seen", "seen", ListOf(_ItemEventsKind())),
        Key("recommended", "recommended", ListOf(_ItemEventsKind())),
        Key("catalogue", "catalogue", NAME),
        Key("category", "category", NAME),
        Key("unavailable", "unavailable", _TraitsKind()),
    ],
)
