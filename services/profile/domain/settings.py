"""Defines how the profiles of a workspace are read: zone, orders, computed traits, standards."""

from __future__ import annotations

from collections.abc import Set
from dataclasses import dataclass, replace
from typing import NamedTuple

from services.kernel.calendar import DEFAULT_ZONE, check_zone
from services.kernel.cleaning.cleaners import check_cleaner
from services.kernel.errors import InvalidField, RuleError
from services.kernel.ids import WorkspaceId
from services.kernel.rules.evaluate import evaluate_predicate
from services.kernel.rules.features import OrderDefinition, OrderMeasure, Orders
from services.kernel.rules.ids import predicate_id
from services.kernel.rules.model import Predicate
from services.kernel.rules.readings.views import ProfileFacts
from services.kernel.rules.values import Json, Operator

MAX_COMPUTED_TRAITS = 100
MAX_CLEANERS = 100
#: The most events with a kind, and the most traits and tags with a block.
MAX_MAPPED = 1_000
MAX_NAME = 512
#: The numbers of kinds of timeline entries and of blocks.
KINDS, BLOCKS = range(1, 8), range(1, 6)

#: The computed traits of every workspace with orders, beside those that it defines.
ORDER_TRAITS = {
    "lifetime_value": OrderMeasure.NET_SPEND,
    "order_count": OrderMeasure.COUNT,
    "repurchase_interval_days": OrderMeasure.MEAN_INTERVAL,
    "days_until_next_order": OrderMeasure.DAYS_UNTIL_NEXT,
}


class ComputedTrait(NamedTuple):
    """A trait that is computed from events or orders: the value of a predicate's feature."""

    name: str
    feature: Predicate


@dataclass(frozen=True, slots=True)
class WorkspaceSettings:
    """One version of the settings of a workspace."""

    workspace_id: WorkspaceId
    version: int = 0
    zone: str = DEFAULT_ZONE
    orders: OrderDefinition | None = None
    computed_traits: tuple[ComputedTrait, ...] = ()
    #: The standard of each trait that has one, such as `place@1`, by name.
    cleaners: tuple[tuple[str, str], ...] = ()
    #: Kinds of timeline entries (services.profile.domain.timeline) with the names of events.
    timeline: tuple[tuple[int, tuple[str, ...]], ...] = ()
    #: Blocks (services.profile.domain.blocks) with the names of traits and the ids of tags.
    blocks: tuple[tuple[int, tuple[str, ...], tuple[str, ...]], ...] = ()

    @property
    def all_computed_traits(self) -> tuple[ComputedTrait, ...]:
        """The computed traits that profiles have: those defined, and those of orders."""
        if self.orders is None:
            return self.computed_traits
        defined = {trait.name for trait in self.computed_traits}
        standard = (
            ComputedTrait(name, Predicate(Orders(self.orders, measure), Operator.EXISTS))
            for name, measure in ORDER_TRAITS.items()
            if name not in defined
        )
        return (*self.computed_traits, *standard)

    def at_version(self, version: int) -> WorkspaceSettings:
        """Return the same settings with another version."""
        return replace(self, version=version)


def check_settings(settings: WorkspaceSettings) -> None:
    """Raise InvalidField where settings cannot be defined."""
    try:
        check_zone(settings.zone)
    except ValueError:
        remedy = "write an IANA name such as Asia/Shanghai"
        raise InvalidField(f"the time zone is not known: {remedy}", field="settings.zone") from None
    if len(settings.computed_traits) > MAX_COMPUTED_TRAITS:
        raise InvalidField(
            f"there are more than {MAX_COMPUTED_TRAITS} computed traits: remove some",
            field="settings.computed_traits",
        )
    if len(settings.cleaners) > MAX_CLEANERS:
        raise InvalidField(
            f"there are more than {MAX_CLEANERS} standards: remove some", field="settings.cleaners"
        )
    _check_names([trait.name for trait in settings.computed_traits], "settings.computed_traits")
    _check_names([trait for trait, _ in settings.cleaners], "settings.cleaners")
    for i, (_, cleaner) in enumerate(settings.cleaners):
        try:
            check_cleaner(cleaner)
        except RuleError as error:
            raise error.under(f"settings.cleaners[{i}]") from None
    events = [name for _, names in settings.timeline for name in names]
    _check_mapped([kind for kind, _ in settings.timeline], KINDS, "kind", "settings.timeline")
    _check_once(events, "event", "settings.timeline")
    _check_mapped([block for block, _, _ in settings.blocks], BLOCKS, "block", "settings.blocks")
    traits = [name for _, names, _ in settings.blocks for name in names]
    _check_once(traits, "trait", "settings.blocks")
    _check_once([name for *_, names in settings.blocks for name in names], "tag", "settings.blocks")


def computed_values(
    settings: WorkspaceSettings, view: ProfileFacts, at_us: int, backfilled: Set[int] | None = None
) -> list[tuple[str, Json]]:
    """Return the computed traits of a profile that have a value, by name, at an instant.

    `backfilled`: leaves out the traits of other predicates; None = leaves out none.
    """
    values = (
        (trait.name, evaluate_predicate(trait.feature, view, at_us).actual)
        for trait in settings.all_computed_traits
        if backfilled is None or predicate_id(trait.feature) in backfilled
    )
    return sorted((name, value) for name, value in values if value is not None)


def _check_names(names: list[str], field: str) -> None:
    for i, name in enumerate(names):
        if not name or name in names[:i]:
            problem = "the name is missing" if not name else "the name occurs twice"
            raise InvalidField(f"{problem}: write another one", field=f"{field}[{i}]")


def _check_mapped(numbers: list[int], allowed: range, noun: str, field: str) -> None:
    for i, number in enumerate(numbers):
        if number not in allowed:
            remedy = f"choose a {noun} that the API names"
            raise InvalidField(f"there is no such {noun}: {remedy}", field=f"{field}[{i}].{noun}")


def _check_once(names: list[str], noun: str, field: str) -> None:
    if len(names) > MAX_MAPPED:
        raise InvalidField(f"there are more than {MAX_MAPPED} {noun}s: remove some", field=field)
    for name in names:
        if not 0 < len(name) <= MAX_NAME:
            problem = f"the name of a {noun} has 1 to {MAX_NAME} characters"
            raise InvalidField(f"{problem}: write another one", field=field)
    if len(set(names)) < len(names):
        raise InvalidField(f"a {noun} occurs twice: remove one of them", field=field)
