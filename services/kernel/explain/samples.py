"""Makes examples of events and values that match filters."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec

from services.kernel.fold.events import CORRECTION, IDENTIFY, PAGE, SCORE, TRACK, EventView
from services.kernel.rules.filters import ANY_EVENT, EventFilter, PropertyFilter, matcher
from services.kernel.rules.values import Json
from services.kernel.trust import Party, SourceTrust

#: Above all ids of facts, so that of equal instants a sample is the last one.
_ID_PREFIX = b"\xff" * 12
_SAMPLE_NAME = "any_event"


def sample_id(number: int) -> bytes:
    """Return the id of a sample, 0 <= number < 2^32."""
    return _ID_PREFIX + number.to_bytes(4, "big")


def values_near(literal: Any) -> Iterator[Json]:
    """Yield values of which some comparison with a literal is true, and some is not."""
    scalars = literal if isinstance(literal, tuple | list) else (literal,)
    for scalar in scalars:
        yield scalar
        if isinstance(scalar, str):
            yield from ("another", f"{scalar}x", f"x{scalar}", scalar[:-1], "")
        elif isinstance(scalar, int | float) and not isinstance(scalar, bool):
            yield from (scalar + 1, scalar - 1, scalar * 2, -scalar)
        elif isinstance(scalar, bool):
            yield not scalar
    yield from ("another", 0, 1, True, None)
    # Less like what people state, so these are tried last.
    yield from ([scalar] for scalar in scalars)


def sample_properties(
    filters: Sequence[PropertyFilter], fixed: Mapping[str, Json] | None = None
) -> dict[str, Json] | None:
    """Return properties that match filters, with fixed ones by path; None if none was found."""
    by_path: dict[str, list[PropertyFilter]] = defaultdict(list)
    for filter_ in filters:
        by_path[filter_.property].append(filter_)
    chosen: dict[str, Json] = dict(fixed or {})
    for path, own in by_path.items():
        if path in chosen:
            continue
        matches = matcher(tuple(own))
        literals = tuple(v for f in own for v in _scalars(f.value))
        found = [v for v in values_near(literals) if matches({path: v})]
        if not found:
            return None
        chosen[path] = found[0]
    properties: dict[str, Json] = {}
    for path, value in chosen.items():
        if value is not None and not _put(properties, path, value):
            return None
    return properties if matcher(tuple(filters))(properties) else None


def sample_event(
    events: EventFilter, at_us: int, number: int, fixed: Mapping[str, Json] | None = None
) -> EventView | None:
    """Return an event that matches a filter; None if none was found."""
    properties = sample_properties(events.where, fixed)
    if properties is None:
        return None
    name = _SAMPLE_NAME if events.names == (ANY_EVENT,) else events.names[0]
    type_ = PAGE if name == "page" else TRACK
    return EventView(type_, name, at_us, sample_id(number), msgspec.json.encode(properties), b"{}")


def sample_statement(
    trait: str, value: Json, at_us: int, number: int, party: Party = Party.FIRST
) -> EventView:
    """Return a statement of a trait by the most trusted source of a party."""
    stated = msgspec.json.encode({trait: value})
    trust = max(SourceTrust)
    return EventView(
        IDENTIFY, "", at_us, sample_id(number), b"{}", stated, trust=trust, party=party
    )


def sample_correction(trait: str, value: Json, at_us: int, number: int) -> EventView:
    """Return a correction of a trait."""
    fact_id = sample_id(number)
    record = (at_us, fact_id, msgspec.json.encode(value), "", "")
    return EventView(CORRECTION, trait, at_us, fact_id, record=record)


def sample_score(model: str, score: float, at_us: int, number: int) -> EventView:
    """Return a score of a model."""
    fact_id = sample_id(number)
    return EventView(SCORE, model, at_us, fact_id, record=(at_us, fact_id, score, ""))


def _scalars(value: Any) -> tuple[Any, ...]:
    return value if isinstance(value, tuple) else (value,)


def _put(properties: dict[str, Json], path: str, value: Json) -> bool:
    """Set a property by its path; return False if another property is in the way."""
    *parents, last = path.split(".")
    target: Any = properties
    for step in parents:
        target = target.setdefault(step, {})
        if not isinstance(target, dict):
            return False
    if last in target:
        return False
    target[last] = value
    return True
