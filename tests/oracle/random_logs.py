"""Makes random logs of one person, with close instants, ties, duplicates and edges of days.

The instants of a log are near one of a few `BASES`: changes of summer time, ends of years, a day
that a zone does not have. So small offsets of hours and days cross the edges of all windows.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from random import Random
from typing import Any

from oracle.random_rules import MODELS, NAMES, OBJECT_TYPES, SCALARS, SOURCES, SPANS, TOUCHES, ZONES
from oracle.rules_oracle import OracleEvent

from services.kernel.time import DAY_US, HOUR_US, to_us
from services.kernel.trust import Party, SourceTrust

BASES = tuple(
    to_us(datetime.fromisoformat(text).replace(tzinfo=UTC))
    for text in (
        "2026-12-31T16:00",  # midnight and the end of a year in Shanghai
        "2026-03-08T07:00",  # summer time begins in New York
        "2026-11-01T06:00",  # it ends in New York
        "2024-04-25T22:00",  # it begins in Cairo, which has no midnight on this day
        "2024-02-29T23:00",  # midnight in Berlin after a leap day
        "2011-12-30T10:00",  # Apia has no 30 December
    )
)
HOURS = (0, 0, 0, 1, -1, 2, -3, 12)
#: The days of the events of a log: mostly near each other.
DAYS = (
    (0,),
    (0, 0, 0, 1, -1),
    (0, 0, 1, 1, -1, -2),
    (0, 0, 1, -1, 2, -2, 7, -7, 30, -31, 91, -365),
)
#: No instant of a log is later.
LATEST = max(BASES) + 92 * DAY_US
#: The kinds of events in a log, by what most of its events are.
THEMES = {
    "events": ("track", "track", "track", "track", "track", "identify", "page", "group"),
    "traits": (*("identify",) * 6, "track", "track", "correction", "score"),
    "corrections": ("correction", "correction", "identify"),
    "relations": ("group", "group", "group", "track", "identify"),
    "orders": ("order", "order", "order", "order", "order", "track", "identify"),
}
#: By the class of a feature, or the part of the language.
THEME_OF = {
    "Corrections": "corrections",
    "Trait": "traits",
    "DateDistance": "traits",
    "Orders": "orders",
    "Related": "relations",
}
#: The leaves of the objects that group events name.
OBJECTS = tuple(f"object {n}".encode().ljust(16) for n in range(5))
#: Sums of these are exact in decimal fractions only; ties of rounding, and one that is too large.
NUMBERS = (0, 1, 1, 2, 2, -3, 1.0, 1.5, 0.1, 0.2, 0.3, 0.0000005, 0.0000015, 1e15, 1.1e15)
ORDER_IDS = ("1", "1", "1", "2", "2", 1, 3, "", None)
AMOUNTS = (
    *(10, 10, 10, 2, 0, 9.5, 0.1, 0.2, "1,200.50", "１２００", "1.2万", " 7 ", "1.5"),
    *(-5, "-5", "abc", "", None, True, 1e16),
)
CURRENCIES = ("CNY", "CNY", "cny", "人民币", "USD", None)
#: Spellings of places, as the cleaners of places read them, and values that name none.
HOMES = (
    *(
        "北京",
        " 北京 ",
        "Beijing",
        "江苏南京",
        "南京市",
        "朝阳区",
        "上海市浦东新区",
        "华东",
        "320100",
    ),
    *("nowhere", "", None, 3, True, ["北京"]),
)
DATES = (
    *("1990-01-01", "2000-02-29", "2000-03-01", "1999-12-31", "2026-03-08", "2027-01-02"),
    *("2000-02-29T23:30:00Z", "2011-12-30T10:00:00+00:00", "2026-11-01T00:30:00-04:00"),
    *("2000-02-29T23:30:00", "20000301", "1990年5月1日", "2000/2/29", "1990-13-01", "soon"),
    *(1990, 19900501, None, True),
)


def make_log(random: Random, theme: str = "", max_size: int = 12) -> list[OracleEvent]:
    """Return events of one profile, each with its own fact id."""
    base_us, days = random.choice(BASES), random.choice(DAYS)
    types = THEMES[theme or random.choice(tuple(THEMES))]
    size = min(max_size, random.choice((0, 1, *range(2, max_size + 1), max_size, max_size)))
    ids = list(range(size))
    random.shuffle(ids)
    log: list[OracleEvent] = []
    for id_ in ids:
        hours = random.choice(days) * 24 + random.choice(HOURS)
        at_us = base_us + hours * HOUR_US + random.choice((0, 0, 0, -1, 1))
        log.append(make_event(random, random.choice(types), at_us, id_.to_bytes(16, "big"), log))
    return log


def make_event(
    random: Random, type_: str, at_us: int, fact_id: bytes, log: Sequence[OracleEvent]
) -> OracleEvent:
    """Return an event; an `order` is a payment or a refund, and may repeat one of the log."""
    name, own, stated = "", dict[str, Any](), dict[str, Any]()
    if type_ in ("correction", "score"):
        return _make_record(random, type_, at_us, fact_id)
    if type_ == "order":
        type_, name = "track", random.choice(("bought", "bought", "refunded"))
        own = _make_order(random)
        earlier = [event for event in log if "amount" in event.properties]
        if earlier and random.random() < 0.2:
            again = random.choice(earlier)
            name, own = again.name, again.properties
    elif type_ in ("identify", "group"):
        stated = make_traits(random)
    else:
        name = random.choice(NAMES if type_ == "track" else ("viewed", ""))
        own = _make_properties(random)
    trust, party = random.choice(tuple(SourceTrust)), random.choice(tuple(Party))
    source = random.choice(SOURCES)
    touch = {name: random.choice(("a", "b")) for name in TOUCHES if random.random() < 0.6}
    touch = touch if random.random() < 0.15 else {}
    account = random.choice(OBJECTS) if type_ == "group" else b""
    first = (type_, name, at_us, fact_id, own, stated, trust, party, source, touch)
    return OracleEvent(*first, account)


def _make_record(random: Random, type_: str, at_us: int, fact_id: bytes) -> OracleEvent:
    """Return a correction of a trait, which may be withdrawn, or a score of a model."""
    if type_ == "score":
        own: dict[str, Any] = {"score": random.choice((0.0, 0.5, 1.0, 1.5, 2.0))}
        return OracleEvent(type_, random.choice(MODELS), at_us, fact_id, own)
    made = {"city": make_value(random), **make_traits(random)}
    name, value = random.choice([("city", made["city"]), *made.items()])
    return OracleEvent(
        type_, name, at_us, fact_id, {"value": value} if random.random() < 0.8 else {}
    )


def make_value(random: Random) -> Any:
    """Return a JSON value; most are scalars."""
    kind = random.randrange(10)
    if kind < 8:
        return random.choice(SCALARS)
    return None if kind == 8 else [random.choice(SCALARS) for _ in range(random.randrange(3))]


def make_traits(random: Random) -> dict[str, Any]:
    """Return traits as a source states them."""
    makers = {
        "city": lambda: make_value(random),
        "age": lambda: make_value(random),
        "born": lambda: random.choice(DATES),
        "home": lambda: random.choice(HOMES),
        "spent": lambda: random.choice(AMOUNTS),
        "o": lambda: _make_object(random),
        "o.p": lambda: make_value(random),
        "timezone": lambda: random.choice((*ZONES, "nowhere", None, 8)),
    }
    rare = {"o.p": 0.15, "timezone": 0.25}
    return {name: make() for name, make in makers.items() if random.random() < rare.get(name, 0.5)}


def make_related(random: Random) -> dict[str, list[dict[str, Any]]]:
    """Return the traits of related objects by type."""
    return {
        type_: [make_traits(random) for _ in range(random.randrange(4))]
        for type_ in OBJECT_TYPES
        if random.random() < 0.8
    }


def make_objects(random: Random) -> dict[bytes, tuple[str, dict[str, Any]]]:
    """Return the type and the traits of each object."""
    return {leaf: (random.choice(OBJECT_TYPES), make_traits(random)) for leaf in OBJECTS}


def newest(log: list[OracleEvent]) -> int:
    """Return the instant of the newest event; that of a base without one."""
    return max((event.occurred_at_us for event in log), default=BASES[0])


def later_instants(log: list[OracleEvent], random: Random, number: int) -> list[int]:
    """Return instants after a log at which windows are likely to change, ascending."""
    start_us, found = newest(log), []
    times = [event.occurred_at_us for event in log] or [start_us]
    hour_us = start_us // HOUR_US * HOUR_US
    for _ in range(number):
        edge_us = random.choice(times) + random.choice((0, 1, 1, 2)) * random.choice(SPANS)
        hours = random.choice((1, 24, 7 * 24, 30 * 24)) * random.randrange(40)
        found.append(random.choice((edge_us, edge_us, hour_us + hours * HOUR_US)))
    return sorted({max(start_us, at_us + random.choice((-1, 0, 1))) for at_us in found})


def _make_properties(random: Random) -> dict[str, Any]:
    own: dict[str, Any] = {}
    if random.random() < 0.7:
        own["p"] = make_value(random)
    if random.random() < 0.8:
        own["n"] = random.choice(NUMBERS) if random.random() < 0.7 else make_value(random)
    if random.random() < 0.5:
        own["o"] = _make_object(random)
    if random.random() < 0.15:
        own["o.p"] = make_value(random)
    return own


def _make_object(random: Random) -> Any:
    if random.random() < 0.3:
        return make_value(random)
    if random.random() < 0.3:
        return [{"p": make_value(random)} for _ in range(random.randint(0, 2))]
    return {"p": make_value(random)}


def _make_order(random: Random) -> dict[str, Any]:
    own: dict[str, Any] = {"id": random.choice(ORDER_IDS), "amount": random.choice(AMOUNTS)}
    if random.random() < 0.5:
        own["refund"] = random.choice(ORDER_IDS)
    if random.random() < 0.5:
        own["currency"] = random.choice(CURRENCIES)
    if random.random() < 0.5:
        own["p"] = random.choice(SCALARS)
    return own
