"""What of a person is compared. Pure: a person in, a flat record out.

Addresses of the network and devices are no part of it, so nobody is ever matched by them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from difflib import SequenceMatcher
from typing import Any, NamedTuple

from services.kernel.identifiers import Identifier, primary_identifier
from services.kernel.time import DAY_US
from services.linkage.config import MatchingConfig
from services.linkage.contacts import birth_date, mailbox, phone_number, place_of
from services.linkage.names import name_of
from services.linkage.people import Person

#: Two dates are far apart from so many differing characters on …
_FAR_DATE = 3
#: … and two names below this ratio.
_NEAR_NAME = 0.8


class Compared(NamedTuple):
    """The columns of one record; None where it is not known."""

    record_id: str
    han: str | None
    surname: str | None
    given: str | None
    formal: str | None
    sound: str | None
    toned: str | None
    born: str | None
    phone: str | None
    phone_tail: str | None
    email: str | None
    mailbox: str | None
    place: str | None
    house: str | None
    city: str | None
    #: Days since 1970-01-01.
    first_day: int
    last_day: int


def compared(person: Person, config: MatchingConfig) -> Compared:
    """The record of a person; its id is the profile's."""
    told = {part: _told(person.traits, names) for part, names in config.traits.items()}
    known = dict(reversed(person.identifiers))
    name = name_of(told.get("name", ""), told.get("surname", ""), told.get("given_name", ""))
    phone = phone_number(told.get("phone") or known.get("phone", ""), config.region)
    email, local = mailbox(told.get("email") or known.get("email", ""))
    place = place_of(told.get("address", ""), told.get("city", ""))
    texts: Iterable[Any] = (
        *(name.han, name.surname, name.given, name.formal, name.sound, name.toned),
        *(birth_date(told.get("birth_date", "")), phone, phone[-7:], email, local),
        *(place.whole, place.house, place.city),
    )
    days = person.first_seen_us // DAY_US, person.last_seen_us // DAY_US
    return Compared._make((person.profile_id, *(text or None for text in texts), *days))


def purposes_of(person: Person, config: MatchingConfig) -> frozenset[str]:
    """What a person allows."""
    granted = (config.grants[trait] for trait in config.grants if person.traits.get(trait) is True)
    return frozenset(purpose for purposes in granted for purpose in purposes)


def unique_of(person: Person, config: MatchingConfig) -> dict[str, frozenset[str]]:
    """The values of the namespaces of which nobody has two."""
    found: dict[str, set[str]] = {}
    for namespace, value in person.identifiers:
        if namespace in config.unique:
            found.setdefault(namespace, set()).add(value)
    return {namespace: frozenset(values) for namespace, values in found.items()}


def clash(a: Compared, b: Compared) -> bool:
    """Whether both the names and the birth dates of two are too far apart for typing errors."""
    if not (a.sound and b.sound and a.born and b.born):
        return False
    if sum(x != y for x, y in zip(a.born, b.born, strict=True)) < _FAR_DATE:
        return False
    return SequenceMatcher(None, a.sound, b.sound).ratio() < _NEAR_NAME


def spokesman(person: Person) -> Identifier:
    """The identifier that a match names: the strongest one."""
    return primary_identifier(Identifier(*identifier) for identifier in person.identifiers)


def _told(traits: Mapping[str, Any], names: tuple[str, ...]) -> str:
    for name in names:
        value = traits.get(name)
        if isinstance(value, str | int) and not isinstance(value, bool) and str(value).strip():
            return str(value)
    return ""
