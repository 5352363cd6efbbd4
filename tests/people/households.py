"""Generates households with the true owner of each identifier; the same for the same seed.

Most are single persons with several devices. Couples and families share a phone, a mailbox or a
tablet; in some couples one has the account and the other the member card. Shops have terminals and
kiosks, operators assign a phone number again, and people lend cards and devices and mistype
numbers. Where a person has both an account and a member card, mostly one event has both; some are
joined by a phone alone, as the couples are.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from services.kernel.identifiers.model import Identifier
from services.kernel.time import DAY_US

#: The first and the last day of all events, days since 1970-01-01.
FIRST_DAY, LAST_DAY = 19_700, 20_600
#: The day on which a recycled number has its new owner, and the days before without an owner.
HANDOVER_DAY, UNUSED_DAYS = 20_250, 260
#: The probability that one event has both the account and the member card of a person.
CONFIRMED = 0.98


@dataclass(frozen=True)
class HouseholdEvent:
    """An event, as far as identity depends on it."""

    identifiers: tuple[Identifier, ...]
    occurred_at_us: int


@dataclass
class Person:
    """A person, and the identifiers that are of this person alone."""

    number: int
    user: Identifier | None = None
    card: Identifier | None = None
    #: The ids of a mini-program.
    mini: tuple[Identifier, ...] = ()
    mails: list[Identifier] = field(default_factory=list)
    phones: list[Identifier] = field(default_factory=list)
    browsers: list[Identifier] = field(default_factory=list)
    first_day: int = FIRST_DAY
    last_day: int = LAST_DAY


@dataclass
class Households:
    """Events in the order of time, and the truth about their identifiers."""

    events: list[HouseholdEvent] = field(default_factory=list)
    #: The persons who use each identifier as theirs; one that belongs to no person has none.
    owners: dict[Identifier, frozenset[int]] = field(default_factory=dict)


class _Town:
    """Draws persons and their events."""

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)
        self.persons: list[Person] = []
        self.events: list[HouseholdEvent] = []
        self.owners: dict[Identifier, set[int]] = {}
        self._serial = 0

    def name(self, namespace: str, *owners: Person) -> Identifier:
        self._serial += 1
        found = Identifier(namespace, f"{namespace}-{self._serial}")
        self.owners[found] = {owner.number for owner in owners}
        return found

    def likely(self, probability: float) -> bool:
        return self.chance.random() < probability

    def person(
        self, user: float = 0.75, card: float = 0.55, mini: float = 0.3, contact: float = 0.9
    ) -> Person:
        """Return a person who has an account, a card … with these probabilities."""
        one = Person(len(self.persons))
        self.persons.append(one)
        if self.likely(user):
            one.user = self.name("user_id", one)
        if self.likely(card):
            one.card = self.name("member_id", one)
        if not one.user and not one.card and self.likely(0.9):
            one.user = self.name("user_id", one)
        if self.likely(mini):
            one.mini = (self.name("wechat_unionid", one), self.name("wechat_openid.wx1", one))
        if self.likely(contact):
            one.phones = [self.name("phone", one) for _ in range(1 + self.likely(0.1))]
        if self.likely(contact * 0.8):
            one.mails = [self.name("email", one) for _ in range(1 + self.likely(0.2))]
        one.browsers = [
            self.name("anonymous_id", one) for _ in range(self.chance.choice([1, 2, 2, 3, 4]))
        ]
        return one

    def at(self, person: Person, *identifiers: Identifier) -> None:
        """A person sends an event."""
        day = self.chance.randint(person.first_day, person.last_day)
        instant = day * DAY_US + self.chance.randrange(DAY_US)
        carried = tuple(dict.fromkeys(identifiers))
        self.events.append(HouseholdEvent(carried, instant))

    def live(
        self,
        one: Person,
        phones: Sequence[Identifier] = (),
        mails: Sequence[Identifier] = (),
        devices: Sequence[Identifier] = (),
    ) -> None:
        """A person sends the events of some years, also with what the household shares."""
        phones, mails = [*one.phones, *phones], [*one.mails, *mails]
        devices = [*one.browsers, *devices]
        for carried in self._habits(one, phones, mails, devices):
            for _ in range(self.chance.choice([1, 1, 2, 3])):
                self.at(one, *carried)

    def _habits(
        self,
        one: Person,
        phones: Sequence[Identifier],
        mails: Sequence[Identifier],
        devices: Sequence[Identifier],
    ) -> Iterator[tuple[Identifier, ...]]:
        """Yield the identifiers of each kind of event of a person."""
        likely, contacts = self.likely, [*phones, *mails]
        own = [*one.phones, *one.mails]
        for device in devices:
            yield (device,)
            if one.user and likely(0.7):
                yield one.user, device
            elif contacts and likely(0.3):
                # A form without a login mostly has an address of one's own.
                yield self.chance.choice(own if own and likely(0.8) else contacts), device
        if one.user:
            signed_up = [c[0] for c in (mails, phones) if c and likely(0.8)]
            yield one.user, *signed_up, self.chance.choice(devices)
            for contact in contacts:
                if likely(0.7):
                    yield one.user, contact
        if one.card:
            for contact in contacts:
                if likely(0.7):
                    yield one.card, contact
            yield (one.card,)
        if one.mini:
            yield one.mini
            if phones and likely(0.6):
                yield one.mini[0], self.chance.choice(phones)
        cores = [core for core in (one.user, one.card, *one.mini[:1]) if core]
        for other in cores[1:]:
            if likely(CONFIRMED):
                yield cores[0], other


def households(
    number: int = 300, seed: int = 20_26, *, shops: int = 1, recycled: int = 1, lent: int = 1
) -> Households:
    """Return so many households, of which about two thirds are single persons.

    `shops`, `recycled` and `lent` multiply the shops with a terminal and a kiosk, the numbers that
    get a second owner, and the mistakes with a card, a device or a number.
    """
    town = _Town(seed)
    kinds = [_single] * 13 + [_couple, _couple, _account_and_card, _family, _family, _flat_share]
    for _ in range(number):
        town.chance.choice(kinds)(town)
    for _ in range(number // 30 + 1):
        for _ in range(recycled):
            _recycled_phone(town)
        for _ in range(shops):
            _shop(town)
    for _ in range(number // 60 * lent):
        _lend(town)
    town.events.sort(key=lambda event: (event.occurred_at_us, event.identifiers))
    owners = {id_: frozenset(some) for id_, some in town.owners.items()}
    return Households(town.events, owners)


def _single(town: _Town) -> None:
    town.live(town.person())


def _couple(town: _Town) -> None:
    """Two adults share a phone, a mailbox or a tablet, and have some of their own."""
    pair = [town.person(contact=0.6), town.person(contact=0.6)]
    _live_together(town, pair, phone=0.7, mail=0.4, tablet=0.5)


def _account_and_card(town: _Town) -> None:
    """One has the account and the other the member card, both with the family phone."""
    pair = [town.person(user=1, card=0, contact=0.3), town.person(user=0, card=1, contact=0.3)]
    _live_together(town, pair, phone=1, mail=0.3, tablet=0.4)


def _family(town: _Town) -> None:
    """Children have accounts with the phone and the mailbox of their parents."""
    parents = [town.person(contact=0.8) for _ in range(town.chance.choice([1, 2, 2]))]
    children = [
        town.person(user=0.9, card=0.2, mini=0, contact=0)
        for _ in range(town.chance.choice([1, 1, 2, 3]))
    ]
    _live_together(town, parents + children, phone=0.9, mail=0.5, tablet=0.7)


def _flat_share(town: _Town) -> None:
    """Three adults share a landline and a tablet and nothing else."""
    _live_together(town, [town.person() for _ in range(3)], phone=0.5, mail=0, tablet=0.7)


def _live_together(
    town: _Town, persons: Sequence[Person], *, phone: float, mail: float, tablet: float
) -> None:
    """Persons send events, with what they share with these probabilities."""
    shares = (("phone", phone), ("email", mail), ("anonymous_id", tablet))
    phones, mails, devices = (
        [town.name(namespace, *persons)] if town.likely(probability) else []
        for namespace, probability in shares
    )
    for one in persons:
        town.live(one, phones, mails, devices)


def _recycled_phone(town: _Town) -> None:
    """A number has one owner, no owner for some months, and then another one."""
    before, after = town.person(user=1), town.person(user=1)
    before.last_day, after.first_day = HANDOVER_DAY - UNUSED_DAYS, HANDOVER_DAY
    number = [town.name("phone", before, after)]
    town.live(before, number)
    town.live(after, number)


def _shop(town: _Town) -> None:
    """Customers use the terminal and the kiosk of a shop; its desk types in its own number."""
    terminal, kiosk = town.name("device_id"), town.name("anonymous_id")
    desk = town.name("phone")
    for customer in town.chance.sample(town.persons, min(len(town.persons), 14)):
        if customer.card:
            town.at(customer, customer.card, terminal)
            if town.likely(0.3):
                town.at(customer, customer.card, desk)
        if customer.user and town.likely(0.7):
            town.at(customer, customer.user, kiosk)
        elif customer.phones:
            town.at(customer, customer.phones[0], kiosk)


def _lend(town: _Town) -> None:
    """A person uses the card or a device of another one, or mistypes a number as theirs."""
    one, other = town.chance.sample(town.persons, 2)
    own = one.user or one.card or (one.phones or one.browsers)[0]
    match town.chance.randrange(3):
        case 0 if other.card:
            # The event of the till has the card and the number of the borrower.
            town.at(one, other.card, *one.phones[:1])
        case 1:
            town.at(one, own, other.browsers[0])
        case _ if other.phones:
            town.at(one, own, other.phones[0])
