"""Converts profiles to flat records for comparison. Pure.

Network addresses and devices are no part of a record, so they never cause a match.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from difflib import SequenceMatcher
from typing import Any, NamedTuple

from services.kernel.identifiers.model import Identifier
from services.kernel.identifiers.priority import primary_identifier
from services.kernel.time import DAY_US
from services.linkage.config import MatchingConfig
from services.linkage.contacts import (
    normalize_phone,
    parse_address,
    parse_birth_date,
    parse_mailbox,
)
from services.linkage.names import parse_name

#: The number of different characters from which two dates conflict.
_DATE_CONFLICT = 3
#: The similarity below which two names conflict.
_NAME_CONFLICT = 0.8


@dataclass(frozen=True, slots=True)
class LinkageProfile:
    """One profile, as far as matching reads it."""

    profile_id: str
    #: Namespace and canonical value of each identifier.
    identifiers: tuple[tuple[str, str], ...]
    #: JSON values by name.
    traits: Mapping[str, Any] = field(default_factory=dict)
    #: The first and the last event, Unix microseconds.
    first_seen_us: int = 0
    last_seen_us: int = 0


class ComparisonRecord(NamedTuple):
    """The columns of one record; None = unknown."""

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
    address: str | None
    house: str | None
    city: str | None
    #: Days since 1970-01-01.
    first_day: int
    last_day: int


def comparison_record(profile: LinkageProfile, config: MatchingConfig) -> ComparisonRecord:
    """Return the record of a profile, with its id."""
    names, identifiers = config.traits, dict(reversed(profile.identifiers))

    def text(traits: tuple[str, ...]) -> str:
        return _first_text(profile.traits, traits)

    name = parse_name(text(names.name), text(names.surname), text(names.given_name))
    phone = normalize_phone(text(names.phone) or identifiers.get("phone", ""), config.region)
    email, mailbox = parse_mailbox(text(names.email) or identifiers.get("email", ""))
    address = parse_address(text(names.address), text(names.city))
    return ComparisonRecord(
        record_id=profile.profile_id,
        han=name.han or None,
        surname=name.surname or None,
        given=name.given or None,
        formal=name.formal or None,
        sound=name.sound or None,
        toned=name.toned or None,
        born=parse_birth_date(text(names.birth_date)) or None,
        phone=phone or None,
        phone_tail=phone[-7:] or None,
        email=email or None,
        mailbox=mailbox or None,
        address=address.whole or None,
        house=address.house or None,
        city=address.city or None,
        first_day=profile.first_seen_us // DAY_US,
        last_day=profile.last_seen_us // DAY_US,
    )


def purposes_of(profile: LinkageProfile, config: MatchingConfig) -> frozenset[str]:
    """Return the purposes that a profile allows."""
    granted = (config.grants[trait] for trait in config.grants if profile.traits.get(trait) is True)
    return frozenset(purpose for purposes in granted for purpose in purposes)


def unique_values_of(profile: LinkageProfile, config: MatchingConfig) -> dict[str, set[str]]:
    """Return the values of the namespaces of which a person has one value."""
    found: dict[str, set[str]] = {}
    for namespace, value in profile.identifiers:
        if namespace in config.unique:
            found.setdefault(namespace, set()).add(value)
    return found


def conflict(a: ComparisonRecord, b: ComparisonRecord) -> bool:
    """Return whether names and birth dates both differ by more than typing errors."""
    if not (a.sound and b.sound and a.born and b.born):
        return False
    if sum(x != y for x, y in zip(a.born, b.born, strict=True)) < _DATE_CONFLICT:
        return False
    return SequenceMatcher(None, a.sound, b.sound).ratio() < _NAME_CONFLICT


def representative(profile: LinkageProfile) -> Identifier:
    """Return the identifier that a match names: the one with the highest priority."""
    return primary_identifier(Identifier(*identifier) for identifier in profile.identifiers)


def _first_text(traits: Mapping[str, Any], names: tuple[str, ...]) -> str:
    for name in names:
        value = traits.get(name)
        if isinstance(value, str | int) and not isinstance(value, bool) and str(value).strip():
            return str(value)
    return ""
