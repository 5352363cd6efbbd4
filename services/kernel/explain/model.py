"""Models the explanation of a rule for one person at one instant."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple, TypeAlias

from services.kernel.fold.events import EventView
from services.kernel.ids import FactId
from services.kernel.rules.filters import EventFilter
from services.kernel.rules.model import Rule
from services.kernel.rules.readings.ranges import Range
from services.kernel.rules.references import Classification, Name
from services.kernel.rules.values import Json

#: The traits of the related objects of a person, by type.
RelatedObjects: TypeAlias = Mapping[str, Sequence[Mapping[str, Json]]]


def no_objects(leaves: Sequence[bytes]) -> RelatedObjects:
    """Return that a person has no related objects."""
    return {}


class Definition(NamedTuple):
    """One version of what references name."""

    classification: Classification
    version: int


#: What references may name.
VersionedDefinitions: TypeAlias = Mapping[Name, Definition]


@dataclass(frozen=True, slots=True)
class Person:
    """What is known of one person, as the explanation reads it."""

    #: The events of each leaf.
    leaves: Sequence[Sequence[EventView]]
    #: Returns the related objects that have some leaves of accounts.
    objects_of: Callable[[Sequence[bytes]], RelatedObjects] = no_objects


class MissingKind(Enum):
    """What kind of fact is missing."""

    #: An event that matches a filter.
    EVENT = "event"
    #: A statement of a trait; a correction where it is corrected, or a score of a model.
    TRAIT = "trait"
    #: A paid order.
    ORDER = "order"


@dataclass(frozen=True, slots=True)
class MissingFacts:
    """Facts that would have to be added for another answer."""

    kind: MissingKind
    #: How many facts.
    number: int = 1
    #: Of events, and of the payments of orders.
    events: EventFilter | None = None
    #: The property that each event has to have, or the name of the trait; empty = none.
    name: str = ""
    #: Its value; of several events that of each; None = absent, or any that is different.
    value: Json = None
    #: When the first event that counts now leaves its window, Unix microseconds; later more facts
    #: are needed. None = none leaves.
    until_us: int | None = None
    #: When the facts would have to have occurred, Unix microseconds; None = at the instant.
    occurred_at_us: int | None = None


@dataclass(frozen=True, slots=True)
class Change:
    """Facts that change the answer when they are added; this was evaluated."""

    missing: tuple[MissingFacts, ...]
    #: An example of these facts.
    samples: tuple[EventView, ...]


@dataclass(frozen=True, slots=True)
class PredicateFacts:
    """What a predicate compared, and the facts that its value comes from."""

    #: The value of the feature; a span in microseconds; None = absent.
    actual: Json
    #: The instants that the window contains; None = there is no window.
    window: Range | None
    #: The facts, newest first: the counted events, the statement of a trait, the payments and
    #: refunds of orders, the events that complete a sequence, those that relate matching objects.
    #: None = what was looked for is absent.
    fact_ids: tuple[FactId, ...]


@dataclass(frozen=True, slots=True)
class ExplainedPart:
    """A part of the rule with its result. The tree has the shape of the rule as it is written.

    A reference has the rule that it names as its only child; none where it names nothing.
    """

    rule: Rule
    holds: bool
    children: tuple[ExplainedPart, ...] = ()
    #: Of a reference: the version of the definition that it names; 0 = there is none.
    version: int = 0
    #: Of a predicate.
    facts: PredicateFacts | None = None
    #: The earliest later instant at which time alone changes the result of a predicate.
    next_due_us: int | None = None
    #: Of a predicate: what would change its result; None = nothing that can be added.
    change: Change | None = None


@dataclass(frozen=True, slots=True)
class Citation:
    """The facts that an answer rests on.

    Removing any one other fact does not change the answer. Removing all facts of `removed`, which
    are some of these, changes it. Mostly these are all of them; not where the answer is none that
    fewer facts can only weaken, such as `count = 2` for a person with three events. Where `removed`
    is empty the answer rests on the absence of facts: no removal is known to change it.
    """

    fact_ids: tuple[FactId, ...] = ()
    removed: tuple[FactId, ...] = ()
    #: Whether no smaller part of `fact_ids` has these properties. A large set is not minimised.
    is_minimal: bool = True


@dataclass(frozen=True, slots=True)
class ExplainedRule:
    """Why a rule is true, or not, of one person at one instant."""

    root: ExplainedPart
    #: The instant of the evaluation, which is never before the newest event; Unix microseconds.
    at_us: int
    citation: Citation
    #: What changes the answer when it is added; None = nothing was found.
    change: Change | None
    #: The earliest later instant at which time alone changes the answer; None = never, or so late
    #: that it was not looked for.
    next_due_us: int | None

    @property
    def holds(self) -> bool:
        """Whether the rule is true."""
        return self.root.holds
