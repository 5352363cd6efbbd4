"""Counts the types of traits' values, and what other settings change in their standard forms."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from services.kernel.cleaning.cleaners import clean
from services.kernel.fold.events import read_value
from services.kernel.fold.leaf import ProfileView
from services.kernel.ids import ProfileId
from services.kernel.rules.features import Trait
from services.kernel.rules.model import All, Any_, Not, Predicate, ReferenceKind, Rule
from services.kernel.rules.references import Definitions, Name
from services.kernel.rules.values import Json, canonical_json
from services.kernel.tokens import Token

#: The most traits that are described, and the most different changes of one that are counted, and
#: shown.
MAX_TRAITS, MAX_CHANGES, MAX_SHOWN = 1_000, 10_000, 20
#: The numbers of onefold.profile.v1.ValueType.
_TYPES: Mapping[type, int] = {str: 1, int: 2, float: 2, bool: 3, list: 4, dict: 5}


class FormChange(NamedTuple):
    """A change of the standard form of a value. A form is canonical JSON; empty = there is none."""

    before: str
    after: str
    persons: int
    #: A raw value and a person that has it.
    value: Json
    profile_id: ProfileId


@dataclass(slots=True)
class TraitCounts:
    """What was counted of one trait."""

    #: The cleaners in force and by the other settings; empty = there is none.
    cleaner: str
    other_cleaner: str
    persons: int = 0
    #: By the number of the type.
    types: Counter[int] = field(default_factory=Counter)
    without_standard: int = 0
    changed: int = 0
    _changes: dict[tuple[str, str], FormChange] = field(default_factory=dict)

    def add(self, profile_id: ProfileId, value: Json) -> None:
        """Count the value of one person."""
        self.persons += 1
        self.types[_TYPES[type(value)]] += 1
        before = _form(self.cleaner, value)
        self.without_standard += bool(self.cleaner) and not before
        if self.cleaner == self.other_cleaner:
            return
        after = _form(self.other_cleaner, value)
        if after == before:
            return
        self.changed += 1
        known = self._changes.get((before, after))
        if known is not None:
            self._changes[before, after] = known._replace(persons=known.persons + 1)
        elif len(self._changes) < MAX_CHANGES:
            self._changes[before, after] = FormChange(before, after, 1, value, profile_id)

    @property
    def changes(self) -> Sequence[FormChange]:
        """The most frequent changes."""
        by_number = sorted(self._changes.values(), key=lambda c: (-c.persons, c.before, c.after))
        return by_number[:MAX_SHOWN]


class TraitSurvey:
    """Counts the traits of persons."""

    def __init__(self, cleaners: Mapping[str, str], others: Mapping[str, str] | None) -> None:
        """`cleaners`: those in force; `others`: those to compare with, None = nothing is."""
        compared = cleaners if others is None else others
        self._traits: dict[str, TraitCounts] = defaultdict(lambda: TraitCounts("", ""))
        for name in sorted({*cleaners, *compared}):
            self._traits[name] = TraitCounts(cleaners.get(name, ""), compared.get(name, ""))

    def add(self, profile_id: ProfileId, view: ProfileView) -> None:
        """Count the present traits of a person."""
        for name, won in view.traits().items():
            self._traits[name].add(profile_id, read_value(won.value))

    @property
    def traits(self) -> Iterator[tuple[str, TraitCounts]]:
        """Yield traits by name, those whose cleaner changes and those of most persons first."""

        def rank(entry: tuple[str, TraitCounts]) -> tuple[bool, int, str]:
            name, counts = entry
            return counts.cleaner == counts.other_cleaner, -counts.persons, name

        yield from sorted(self._traits.items(), key=rank)[:MAX_TRAITS]


class SurveyedTraits(NamedTuple):
    """What was counted, and how many persons were read."""

    survey: TraitSurvey
    #: Those of the workspace.
    definitions: Definitions
    #: The persons of the workspace; one in so many was read.
    persons: int
    one_in: int
    #: The state of the log that was read first.
    token: Token


def users_of(definitions: Definitions, trait: str, cleaner: str) -> list[str]:
    """Return the segments, tags and sets of stages whose own rules compare a trait by a cleaner
    (empty = as it is): by their ids, those of tags and stages as `tag:ID` and `stage:ID`."""
    return sorted(
        _id_of(name)
        for name, own in definitions.items()
        if any((trait, cleaner) in _compared_in(rule) for _, rule in own.values)
    )


def _compared_in(rule: Rule) -> Iterator[tuple[str, str]]:
    """Yield the traits that a rule compares, each with its cleaner."""
    match rule:
        case All() | Any_():
            for part in rule.rules:
                yield from _compared_in(part)
        case Not():
            yield from _compared_in(rule.rule)
        case Predicate(feature=Trait() as trait):
            yield trait.name, trait.cleaner


def _id_of(name: Name) -> str:
    return name.id if name.kind is ReferenceKind.SEGMENT else f"{name.kind.value}:{name.id}"


def _form(cleaner: str, value: Json) -> str:
    """Return the standard form of a value as canonical JSON; empty = it has none."""
    standard = clean(cleaner, value) if cleaner else None
    return "" if standard is None else canonical_json(standard)
