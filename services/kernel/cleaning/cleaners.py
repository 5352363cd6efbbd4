"""Applies cleaners by name and version: pure functions from a raw value to its standard form.

A cleaner's version is part of its name, such as `place@1`, and a version never changes: another
table or rule is another version. So a predicate gives the same result wherever it is evaluated.

A value that a cleaner cannot read has no standard form (None), so in a rule it is absent; the raw
value stays as it is in the log and beside the standard form. A standard form is its own standard
form: cleaning twice changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from services.kernel.cleaning.currencies import clean_currency
from services.kernel.cleaning.dates import clean_date
from services.kernel.cleaning.names import clean_person_name
from services.kernel.cleaning.numbers import clean_number
from services.kernel.cleaning.places import Place, standard_place
from services.kernel.cleaning.regions import region_of, standard_region
from services.kernel.errors import RuleError
from services.kernel.rules.values import Json

Cleaner = Callable[[Json], Json]


def clean(cleaner: str, value: Json) -> Json:
    """Return the standard form of a value, or None. Raises RuleError for an unknown cleaner."""
    check_cleaner(cleaner)
    return CLEANERS[cleaner](value)


def check_cleaner(cleaner: str) -> None:
    """Check that a text is the name and the version of a cleaner. Raises RuleError."""
    if cleaner not in CLEANERS:
        remedy = f"write one of {', '.join(CLEANERS)}"
        raise RuleError("there is no such cleaner", remedy, field="clean")


def newest_version(name: str) -> str:
    """Return a cleaner's name with its newest version: `place@1` for `place`.

    A name that has a version keeps it. Raises RuleError for an unknown cleaner.
    """
    if "@" in name:
        check_cleaner(name)
        return name
    versions = [cleaner for cleaner in CLEANERS if cleaner.partition("@")[0] == name]
    if not versions:
        names = dict.fromkeys(cleaner.partition("@")[0] for cleaner in CLEANERS)
        remedy = f"write one of {', '.join(names)}"
        raise RuleError("there is no such cleaner", remedy, field="clean")
    return max(versions, key=lambda cleaner: int(cleaner.partition("@")[2]))


def clean_literal(cleaner: str, literal: Json) -> Json:
    """Return the standard form of what a rule compares a cleaned value with: a scalar, or a list.

    Raises RuleError if a text has no standard form, because nothing could be equal to it.
    """
    if isinstance(literal, list | tuple):
        return [_clean_scalar(cleaner, element) for element in literal]
    return _clean_scalar(cleaner, literal)


def _clean_scalar(cleaner: str, literal: Json) -> Json:
    standard = clean(cleaner, literal)
    if standard is None:
        name = cleaner.partition("@")[0]
        raise RuleError(f"the cleaner `{name}` has no standard form of this", _REMEDIES[name])
    return standard


def _of_place(part: Callable[[Place], str | None]) -> Cleaner:
    """Return a cleaner that reads a place and returns a part of it."""

    def cleaner(value: Json) -> Json:
        place = standard_place(value) if isinstance(value, str) else None
        return None if place is None else part(place) or None

    return cleaner


def _region(value: Json) -> Json:
    named = standard_region(value) if isinstance(value, str) else None
    return named or _PROVINCE_REGION(value)


_PROVINCE_REGION: Final = _of_place(lambda place: region_of(place.province))

_REMEDIES: Final = {
    **dict.fromkeys(("place", "city"), "write one name such as 北京市, or 江苏省南京市"),
    "province": "write one name such as 江苏省",
    "region": "write one name such as 华东",
    "number": "write one such as 1200",
    "date": "write one such as 2026-01-02",
    "person_name": "write a name",
    "currency": "write a code such as CNY",
}
#: The cleaners, by name and version.
CLEANERS: Final[Mapping[str, Cleaner]] = {
    "place@1": _of_place(lambda place: place.text),
    "province@1": _of_place(lambda place: place.province),
    "city@1": _of_place(lambda place: place.city),
    "region@1": _region,
    "number@1": clean_number,
    "date@1": clean_date,
    "person_name@1": clean_person_name,
    "currency@1": clean_currency,
}
