"""Folds what a leaf has beside the traits and accumulators of its events.

These are touches (how the person came), corrections of traits by people, and scores of models.
Rules read touches and scores as traits with reserved names.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, TypeAlias, TypeVar

import msgspec

from services.kernel.fold.events import CORRECTION, EventView, read_object
from services.kernel.fold.trait_limit import least_traits
from services.kernel.fold.trait_values import canonical_value
from services.kernel.rules.names import FIRST_TOUCH, LAST_TOUCH, SCORE
from services.kernel.rules.values import Json

#: occurred_at in Unix microseconds, the id of the event, and the touch: a JSON object of texts.
Touch: TypeAlias = tuple[int, bytes, bytes]
#: occurred_at in Unix microseconds, the fact's id, the JSON value in canonical form (empty = the
#: corrections are withdrawn), the author and the reason. The greatest one wins.
Correction: TypeAlias = tuple[int, bytes, bytes, str, str]
#: As of when the score was computed in Unix microseconds, the fact's id, the score, and the version
#: of the model. The greatest one wins.
Score: TypeAlias = tuple[int, bytes, float, str]
V = TypeVar("V", bound=tuple[Any, ...])


class Additions(msgspec.Struct, array_like=True, gc=False):
    """The additions of one leaf. The keys of its mappings ascend."""

    first_touch: Touch | None = None
    last_touch: Touch | None = None
    #: By trait.
    corrections: dict[str, Correction] = {}
    #: By model.
    scores: dict[str, Score] = {}


def fold_additions(additions: Additions, event: EventView) -> list[str]:
    """Add a correction, a score, or the touch of an event.

    Return the names of the traits that change.
    """
    return (
        _add_record(additions, event) if event.type >= CORRECTION else _add_touch(additions, event)
    )


def _add_touch(additions: Additions, event: EventView) -> list[str]:
    touch, changed = (event.occurred_at_us, event.fact_id, event.touch), []
    if additions.first_touch is None or touch < additions.first_touch:
        additions.first_touch = touch
        changed.append(FIRST_TOUCH)
    if additions.last_touch is None or touch > additions.last_touch:
        additions.last_touch = touch
        changed.append(LAST_TOUCH)
    return changed


def _add_record(additions: Additions, event: EventView) -> list[str]:
    if event.type == CORRECTION:
        at_us, fact_id, value, *author = event.record
        correction = (at_us, fact_id, canonical_value(value) if value else b"", *author)
        corrections = _with(additions.corrections, event.name, correction)
        is_new, additions.corrections = corrections is not additions.corrections, corrections
        return [event.name] if is_new else []
    scores = _with(additions.scores, event.name, event.record)
    is_new, additions.scores = scores is not additions.scores, scores
    return [f"{SCORE}.{event.name}"] if is_new else []


def traits_of_addition(event: EventView) -> tuple[str, ...]:
    """Return the names of the traits that a correction, a score or the touch of an event gives."""
    if event.type >= CORRECTION:
        return (event.name if event.type == CORRECTION else f"{SCORE}.{event.name}",)
    return (FIRST_TOUCH, LAST_TOUCH) if event.touch else ()


def drop_surplus(additions: Additions | None) -> list[str]:
    """Remove the corrections and scores beyond the limit, and return the names of their traits."""
    if additions is None:
        return []
    corrections, models = least_traits(additions.corrections), least_traits(additions.scores)
    for name in corrections:
        del additions.corrections[name]
    for model in models:
        del additions.scores[model]
    return [*corrections, *(f"{SCORE}.{model}" for model in models)]


def combine_additions(a: Additions | None, b: Additions | None) -> Additions | None:
    """Return the additions of both, without a limit; neither is changed."""
    if a is None or b is None:
        return a or b
    return Additions(
        first_touch([a, b]),
        last_touch([a, b]),
        _combined(a.corrections, b.corrections),
        _combined(a.scores, b.scores),
    )


def first_touch(parts: Iterable[Additions]) -> Touch | None:
    """Return the first touch of several leaves; None without one."""
    return min((p.first_touch for p in parts if p.first_touch is not None), default=None)


def last_touch(parts: Iterable[Additions]) -> Touch | None:
    """Return the last touch of several leaves; None without one."""
    return max((p.last_touch for p in parts if p.last_touch is not None), default=None)


def correction_of(parts: Iterable[Additions], trait: str) -> Correction | None:
    """Return the correction of a trait that counts; None without one."""
    last = last_correction(parts, trait)
    return last if last is not None and last[2] else None


def last_correction(parts: Iterable[Additions], trait: str) -> Correction | None:
    """Return the last correction of a trait, also where that is withdrawn; None without one."""
    return max((p.corrections[trait] for p in parts if trait in p.corrections), default=None)


def scores_of(parts: Sequence[Additions]) -> dict[str, Score]:
    """Return the last score of each model, by model, ascending."""
    scores: dict[str, Score] = {}
    for part in parts:
        scores = _combined(scores, part.scores)
    return scores


def reserved_fact(parts: Sequence[Additions], name: str) -> bytes | None:
    """Return the fact that gives a trait with a reserved name its value; None if it is absent."""
    head, _, model = name.partition(".")
    if head == SCORE:
        last: tuple[Any, ...] | None = _last_score(parts, model)
    else:
        last = first_touch(parts) if head == FIRST_TOUCH else last_touch(parts)
    return None if last is None else last[1]


def _last_score(parts: Iterable[Additions], model: str) -> Score | None:
    return max((p.scores[model] for p in parts if model in p.scores), default=None)


def reserved_trait(parts: Sequence[Additions], name: str) -> Json:
    """Return the value of a trait with a reserved name; None if it is absent."""
    head, dot, member = name.partition(".")
    if head == SCORE:
        score = _last_score(parts, member)
        return None if score is None else score[2]
    touch = first_touch(parts) if head == FIRST_TOUCH else last_touch(parts)
    if touch is None:
        return None
    members = read_object(touch[2])
    return members.get(member) if dot else members


def _with(values: dict[str, V], name: str, value: V) -> dict[str, V]:
    """Return the mapping with a value; the same object if it has that one or a greater one."""
    if name in values and value <= values[name]:
        return values
    return dict(sorted({**values, name: value}.items()))


def _combined(a: dict[str, V], b: dict[str, V]) -> dict[str, V]:
    combined = dict(a)
    for name, value in b.items():
        combined[name] = max(value, combined.get(name, value))
    return dict(sorted(combined.items()))
