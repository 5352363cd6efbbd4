"""Generates people who are hard to match, with the true pairs; the same for the same seed.

Families share phones, addresses and sometimes a mailbox; numbers are recycled; twins share all but
a name; many people have the same name. Their records come from several sources: in simplified or
traditional characters or in pinyin, with nicknames, typing errors, gaps and old addresses. Two
records of one person never share a unique identifier, as they would be one profile already.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import combinations, groupby
from operator import attrgetter
from typing import NamedTuple

from services.kernel.time import DAY_US
from services.linkage.records import LinkageProfile
from tests.people import hard_names as names

#: The first and the last day of all records, days since 1970-01-01.
FIRST_DAY, LAST_DAY = 18_700, 20_600


class Record(NamedTuple):
    """The record of a person in one source."""

    record_id: str
    #: The true person.
    person: int
    #: As the source spells them; unknown traits are absent.
    traits: dict[str, str]
    #: Namespaces of which a person has at most one value.
    unique: dict[str, str]
    first_day: int
    last_day: int


@dataclass
class SyntheticPerson:
    """A synthetic person."""

    number: int
    chinese: bool
    surname: names.Sign
    given: tuple[names.Sign, ...]
    short: str
    born: tuple[int, int, int]
    #: The first day of each number, and the number.
    phones: list[tuple[int, str]] = field(default_factory=list)
    addresses: list[tuple[int, str, str]] = field(default_factory=list)
    mails: list[tuple[int, str]] = field(default_factory=list)


def hard_people(people: int = 2_000, seed: int = 20_26) -> list[Record]:
    """Return about 2.2 records a person, in random order."""
    return PeopleGenerator(random.Random(seed)).records(people)


def true_pairs(records: Sequence[Record]) -> set[tuple[str, str]]:
    """Return the pairs of records of one person, each in the order of its ids."""
    by_person = sorted(records, key=attrgetter("person"))
    return {
        tuple(sorted((a.record_id, b.record_id)))
        for _, group in groupby(by_person, key=attrgetter("person"))
        for a, b in combinations(group, 2)
    }


class PeopleGenerator:
    """Generates people and their records."""

    def __init__(self, dice: random.Random) -> None:
        self.dice = dice
        self.people: list[SyntheticPerson] = []
        #: Recycled numbers, each with the day it became free.
        self.free: list[tuple[int, str]] = []

    def records(self, count: int) -> list[Record]:
        while len(self.people) < count:
            self.household()
        found: list[tuple[SyntheticPerson, dict[str, str], int, int]] = []
        for person in self.people[:count]:
            found += self.sightings(person)
        self.dice.shuffle(found)
        unique = self.unique_values(found)
        return [
            Record(f"r{index:05}", person.number, traits, unique.get(index, {}), first, last)
            for index, (person, traits, first, last) in enumerate(found)
        ]

    def unique_values(
        self, found: Sequence[tuple[SyntheticPerson, dict[str, str], int, int]]
    ) -> dict[int, dict[str, str]]:
        """Return member ids and user ids by index of the record; each is on at most one record."""
        records_of: dict[int, list[int]] = {}
        for index, (person, *_) in enumerate(found):
            records_of.setdefault(person.number, []).append(index)
        unique: dict[int, dict[str, str]] = {}
        for number, indexes in records_of.items():
            for namespace, share in (("member_id", 0.5), ("user_id", 0.3)):
                if self.dice.random() < share:
                    values = unique.setdefault(self.dice.choice(indexes), {})
                    values[namespace] = f"{namespace[0]}{number:06}"
        return unique

    def household(self) -> None:
        """Add one to five people who live together."""
        dice = self.dice
        chinese = dice.random() < 0.75
        parents = [
            self.person(chinese, dice.randint(1955, 1998))
            for _ in range(dice.choice((1, 1, 2, 2, 2)))
        ]
        children: list[SyntheticPerson] = []
        if len(parents) == 2 and dice.random() < 0.6:
            for _ in range(dice.choice((1, 1, 2))):
                child = self.person(chinese, dice.randint(1999, 2016), surname=parents[0].surname)
                children.append(child)
                if dice.random() < 0.25:
                    children.append(self.twin(child))
        self.add_contacts([*parents, *children], chinese, len(parents))

    def add_contacts(self, home: list[SyntheticPerson], chinese: bool, adults: int) -> None:
        """Add phones, addresses and mailboxes; children often share those of a parent."""
        dice = self.dice
        address = self.address(chinese)
        moved = (
            (dice.randint(FIRST_DAY, LAST_DAY), *self.address(chinese))
            if dice.random() < 0.2
            else None
        )
        for at, person in enumerate(home):
            person.addresses = [(0, *address), *([moved] if moved else [])]
            shares = dice.random() < (0.7 if at >= adults else 0.15 * (at == 1))
            person.phones = home[0].phones if shares else self.numbers(chinese)
            own = home[0].mails if at and dice.random() < 0.06 else self.mailboxes(person)
            person.mails = own

    def person(
        self, chinese: bool, year: int, surname: names.Sign | None = None
    ) -> SyntheticPerson:
        dice = self.dice
        born = (year, dice.randint(1, 12), dice.randint(1, 28))
        short = ""
        if not chinese:
            family = surname or names.Sign(*[dice.choice(names.WESTERN_SURNAMES)] * 3)
            first, short = dice.choice(names.WESTERN_GIVEN)
            given: tuple[names.Sign, ...] = (names.Sign(first, first, first),)
        elif surname is None and dice.random() < 0.1:
            family, given = _common(dice.choice(names.COMMON))
        else:
            weights = [1 / (rank + 3) for rank in range(len(names.SURNAMES))]
            family = surname or dice.choices(names.SURNAMES, weights)[0]
            given = tuple(dice.choices(names.GIVEN, k=1 if dice.random() < 0.3 else 2))
        made = SyntheticPerson(len(self.people), chinese, family, given, short, born)
        self.people.append(made)
        return made

    def twin(self, of: SyntheticPerson) -> SyntheticPerson:
        """Add a twin: the same birth date, and often the same first character."""
        other = self.person(of.chinese, of.born[0], surname=of.surname)
        other.born = of.born
        if of.chinese and len(of.given) == 2 and self.dice.random() < 0.7:
            other.given = (of.given[0], self.dice.choice(names.GIVEN))
        return other

    def numbers(self, chinese: bool) -> list[tuple[int, str]]:
        """Return the numbers of a person: one in seven changes, and old numbers are recycled."""
        dice = self.dice
        own = [(0, self.number(chinese, FIRST_DAY))]
        if dice.random() < 0.15:
            day = dice.randint(FIRST_DAY + 200, LAST_DAY - 400)
            if chinese:
                self.free.append((day + 120, own[0][1]))
            own.append((day, self.number(chinese, day)))
        return own

    def number(self, chinese: bool, day: int) -> str:
        dice = self.dice
        if not chinese:
            return f"+447{dice.randrange(10**9):09}"
        if dice.random() < 0.5:
            for at, (since, number) in enumerate(self.free):
                if since <= day or day == FIRST_DAY:
                    del self.free[at]
                    return number
        head = dice.choice(("135", "136", "138", "139", "150", "159", "186", "188"))
        return f"+86{head}{dice.randrange(10**8):08}"

    def address(self, chinese: bool) -> tuple[str, str]:
        dice = self.dice
        house = dice.randint(1, 220)
        if not chinese:
            street = dice.choice(names.STREETS).replace("-", " ").title()
            plain = f"{house} {street}, {dice.choice(names.TOWNS).title()}"
            return plain, plain
        city, traditional, _, districts = dice.choice(names.CITIES)
        tail = f"{dice.choice(districts)}{dice.choice(names.ROADS)}{house}号"
        if dice.random() < 0.6:
            tail += f"{dice.randint(1, 30)}单元{dice.randint(1, 32)}0{dice.randint(1, 4)}室"
        return city + tail, traditional + "".join(names.TRADITIONAL.get(c, c) for c in tail)

    def mailboxes(self, person: SyntheticPerson) -> list[tuple[int, str]]:
        boxes = [(0, self.mailbox(person))]
        if self.dice.random() < 0.12:
            boxes.append((self.dice.randint(FIRST_DAY, LAST_DAY), self.mailbox(person)))
        return boxes

    def mailbox(self, person: SyntheticPerson) -> str:
        dice = self.dice
        sounds = _plain("".join(sign.sound for sign in person.given))
        family = _plain(person.surname.sound)
        local = dice.choice(
            (sounds + family, family + sounds, f"{family}.{sounds}", sounds[0] + family)
        )
        if dice.random() < 0.8:
            local += str(dice.choice((person.born[0], person.born[0] % 100, dice.randrange(1000))))
        return f"{local}@{dice.choice(names.MAIL)}"

    def sightings(
        self, person: SyntheticPerson
    ) -> list[tuple[SyntheticPerson, dict[str, str], int, int]]:
        count = self.dice.choices((1, 2, 3, 4, 5), (35, 30, 20, 10, 5))[0]
        found = []
        for _ in range(count):
            first = self.dice.randint(FIRST_DAY, LAST_DAY)
            last = min(LAST_DAY, first + self.dice.choice((0, 0, 1, 30, 200, 400)))
            found.append((person, self.sighting(person, last), first, last))
        return found

    def sighting(self, person: SyntheticPerson, day: int) -> dict[str, str]:
        """Return the traits in one source: a name and at least two others."""
        source = self.dice.choices(("crm", "branch", "web"), (45, 20, 35))[0]
        traits: dict[str, str] = {}
        while len(traits) < 2:
            traits = self.contacts(person, day, source)
        traits["name"] = self.name(person, source)
        if not person.chinese and self.dice.random() < 0.3:
            family, given = _plain(person.surname.sound), person.given[0].sound
            traits.pop("name")
            traits |= {"first_name": given.title(), "last_name": family.title()}
        return traits

    def contacts(self, person: SyntheticPerson, day: int, source: str) -> dict[str, str]:
        dice = self.dice
        traits: dict[str, str] = {}
        if dice.random() < 0.65:
            traits["birthday"] = self.birthday(person)
        if dice.random() < 0.72:
            traits["phone"] = self.phone(_as_of(person.phones, day)[1])
        if dice.random() < (0.75 if source == "web" else 0.4):
            traits["email"] = self.typed(_as_of(person.mails, day)[1], 0.04)
        if dice.random() < 0.55:
            plain, traditional = _as_of(person.addresses, day)[1:]
            traits["address"] = self.place(traditional if source == "branch" else plain)
        return traits

    def birthday(self, person: SyntheticPerson) -> str:
        """Return a birth date; one in ten is a default, swaps day and month or has a digit off."""
        dice = self.dice
        year, month, day = person.born
        if dice.random() < 0.02:
            return "1900-01-01"
        if dice.random() < 0.08:
            wrong = dice.randrange(3)
            if wrong == 0 and day <= 12:
                month, day = day, month
            elif wrong == 1:
                year += dice.choice((-10, -1, 1, 10))
            else:
                day = dice.randint(1, 28)
        return dice.choice(
            (f"{year}-{month:02}-{day:02}", f"{year}/{month}/{day}", f"{year}{month:02}{day:02}")
        )

    def phone(self, number: str) -> str:
        dice = self.dice
        if dice.random() < 0.03:
            at = dice.randrange(5, len(number))
            number = number[:at] + str(dice.randrange(10)) + number[at + 1 :]
        if number.startswith("+86") and dice.random() < 0.7:
            own = number[3:]
            return dice.choice(
                (own, f"{own[:3]}-{own[3:7]}-{own[7:]}", f"{own[:3]} {own[3:7]} {own[7:]}")
            )
        return number

    def place(self, address: str) -> str:
        """Return an address, sometimes without the flat or with a typing error."""
        dice = self.dice
        if dice.random() < 0.1 and "号" in address:
            return address.split("号")[0] + "号"
        return self.typed(address, 0.05)

    def name(self, person: SyntheticPerson, source: str) -> str:
        if not person.chinese:
            return self.western(person)
        if source == "web" and self.dice.random() < 0.7:
            return self.pinyin(person)
        given = list(person.given)
        if self.dice.random() < 0.05:
            at = self.dice.randrange(len(given))
            given[at] = self.alike(given[at])
        signs = (person.surname, *given)
        return "".join(s.traditional if source == "branch" else s.simplified for s in signs)

    def alike(self, sign: names.Sign) -> names.Sign:
        """Return another character of the same sound, as input methods offer them."""
        others = [s for s in names.GIVEN if s.sound == sign.sound and s is not sign]
        return self.dice.choice(others) if others else sign

    def pinyin(self, person: SyntheticPerson) -> str:
        family = person.surname.sound.title()
        sounds = [sign.sound for sign in person.given]
        given, spaced = "".join(sounds).title(), " ".join(sounds).title()
        forms = (
            f"{given} {family}",
            f"{family} {given}",
            f"{family.upper()} {given}",
            f"{family}, {given}",
        )
        more = (f"{family} {spaced}", f"{spaced} {family}", (family + given).lower())
        return self.typed(self.dice.choice((*forms, *more)), 0.05)

    def western(self, person: SyntheticPerson) -> str:
        dice = self.dice
        family, first = person.surname.sound, person.given[0].sound
        if dice.random() < 0.15:
            first = person.short
        if dice.random() < 0.4:
            family, first = _plain(family), _plain(first)
        if dice.random() < 0.06:
            first = first[0] + "."
        form = dice.choice(("{first} {family}", "{first} {family}", "{family}, {first}"))
        name = form.format(first=first.title(), family=family.title())
        return self.typed(name.upper() if dice.random() < 0.1 else name, 0.08)

    def typed(self, text: str, rate: float) -> str:
        """Omit, double or swap a letter at this rate."""
        dice = self.dice
        if dice.random() >= rate or len(text) < 5:
            return text
        at = dice.randrange(1, len(text) - 2)
        return dice.choice(
            (
                text[:at] + text[at + 1 :],
                text[:at] + text[at] + text[at:],
                text[:at] + text[at + 1] + text[at] + text[at + 2 :],
            )
        )


def _as_of(dated: Sequence[tuple], day: int) -> tuple:
    return [entry for entry in dated if entry[0] <= day][-1]


def _common(text: str) -> tuple[names.Sign, tuple[names.Sign, ...]]:
    family, given = text.split("/")
    surname = next(s for s in names.SURNAMES if s.simplified == family)
    return surname, tuple(next(s for s in names.GIVEN if s.simplified == c) for c in given)


_ACCENTS = str.maketrans("üéèëíóáöäñễ", "ueeeioaoane")


def _plain(text: str) -> str:
    return text.translate(_ACCENTS)


def as_profile(record: Record) -> LinkageProfile:
    """Return a record as a profile that allows analytics, with the traits of the source."""
    identifiers = [*record.unique.items(), ("anonymous_id", record.record_id)]
    days = record.first_day * DAY_US, record.last_day * DAY_US
    traits = {**record.traits, "consent_analytics": True}
    return LinkageProfile(record.record_id, tuple(identifiers), traits, *days)
