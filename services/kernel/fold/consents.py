"""Folds the consents of a person: the last answer to each purpose.

An event `consent_changed` has the properties `purpose` and `granted`. Rules read the same events.
"""

from __future__ import annotations

from typing import Final, TypeAlias

from services.kernel.fold.events import EventView, read_object

#: The most purposes of one leaf, and the longest purpose in characters.
MAX_PURPOSES: Final = 100
MAX_PURPOSE_LENGTH: Final = 256

#: An answer: occurred_at in Unix microseconds, whether it is granted (1 or 0), the fact's id, its
#: source. The greatest one wins, as in rules: the last one, and of two at one instant the grant.
Consent: TypeAlias = tuple[int, int, bytes, str]


def fold_consent(consents: dict[str, Consent], event: EventView) -> dict[str, Consent]:
    """Return the consents after an event `consent_changed`; the same object if none changes."""
    properties = read_object(event.properties)
    purpose, granted = properties.get("purpose"), properties.get("granted")
    if type(granted) is not bool or type(purpose) is not str:
        return consents
    if not 0 < len(purpose) <= MAX_PURPOSE_LENGTH:
        return consents
    answer = (event.occurred_at_us, int(granted), event.fact_id, event.source_id)
    return combine_consents(consents, {purpose: answer})


def combine_consents(a: dict[str, Consent], b: dict[str, Consent]) -> dict[str, Consent]:
    """Return the last answer to each purpose, by purpose, ascending.

    Beyond `MAX_PURPOSES` those answered last are kept. This is exact in any order and grouping of
    the events, as in services.kernel.fold.trait_limit: the last answer to a purpose only grows.
    """
    if not a or not b:
        return a or b
    combined = dict(a)
    for purpose, answer in b.items():
        combined[purpose] = max(answer, combined.get(purpose, answer))
    if combined == a:
        return a
    surplus = len(combined) - MAX_PURPOSES
    if surplus > 0:
        for purpose in sorted(combined, key=lambda one: (combined[one], one))[:surplus]:
            del combined[purpose]
    return dict(sorted(combined.items()))
