"""Plants customers whose tags, stages and segments are known beforehand, at each instant."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from random import Random
from typing import Any, NamedTuple

from services.cli.demo.dataset import VisitorEvent, person_name
from services.kernel.time import DAY_US

#: How far ahead of the end of the data, in days, the memberships are compared.
CHECKS_DAYS = (0, 1, 8)
ALWAYS = (0.0, 1e9)
#: Days by which the events of a customer are moved at most, so that no two are alike.
_JITTER = 0.2


class PlantedStep(NamedTuple):
    """Something that a customer does."""

    #: Days before the end of the data.
    days: float
    #: The name of the event, `page`, `identify`, or `group`.
    name: str
    #: Properties, or the traits of the customer or, with `group`, of an account of its own.
    values: dict[str, Any] = {}  # noqa: RUF012 - it is never changed


@dataclass(frozen=True, slots=True)
class CustomerKind:
    """Customers who do the same, and what they therefore are."""

    name: str
    steps: tuple[PlantedStep, ...]
    #: By the id of a segment, `tag:ID=VALUE` or `stage:SET=STAGE`: the days ahead of the end of
    #: the data from which, and before which, the customers are members. No threshold is closer
    #: than `_JITTER` to a check.
    truth: Mapping[str, tuple[float, float]] = field(default_factory=dict)

    def is_member(self, id_: str, days: float) -> bool:
        """Return whether the customers are members some days ahead of the end of the data."""
        begin, end = self.truth.get(id_, (0.0, 0.0))
        return begin <= days < end


#: The names of events of visitors before they log in: their source knows a device only.
ANONYMOUS = frozenset({"page", "screen", "viewed_product", "searched", "added_to_cart"})


class Customers:
    """Customers of some kinds, in turn; the same ones for the same arguments."""

    def __init__(self, kinds: tuple[CustomerKind, ...], end_us: int, number: int) -> None:
        """`end_us`: the end of the data, Unix microseconds."""
        self.kinds = [kinds[i % len(kinds)] for i in range(number)]
        random = Random(number)  # noqa: S311 - a scenario, not a secret
        self.events = [
            event
            for i, kind in enumerate(self.kinds)
            for event in _events(i, kind, end_us - round(random.random() * _JITTER * DAY_US))
        ]

    @property
    def checked(self) -> list[str]:
        """The ids of all memberships that some customers have at some time."""
        return sorted({id_ for kind in self.kinds for id_ in kind.truth})

    def identifiers(self) -> list[tuple[str, str]]:
        """Return the identifier of each customer that finds the profile."""
        return [
            ("user_id", _user(i)) if _has_account(kind) else ("anonymous_id", _device(i))
            for i, kind in enumerate(self.kinds)
        ]

    @property
    def accounts(self) -> int:
        """The number of accounts, each of which is a profile beside that of its customer."""
        return len({event.group_id for event in self.events if event.group_id})

    def members(self, id_: str, days: float) -> set[int]:
        """Return the numbers of the members some days ahead of the end of the data."""
        return {i for i, kind in enumerate(self.kinds) if kind.is_member(id_, days)}


def _has_account(kind: CustomerKind) -> bool:
    return any(step.name not in ANONYMOUS for step in kind.steps)


def _user(number: int) -> str:
    return f"customer-{number:05d}"


def _device(number: int) -> str:
    return f"device-{number:05d}"


def _events(number: int, kind: CustomerKind, end_us: int) -> Iterator[VisitorEvent]:
    for i, step in enumerate(kind.steps):
        is_anonymous, has_traits = step.name in ANONYMOUS, step.name in ("identify", "group")
        type_ = step.name if step.name in ("page", "identify", "group") else "track"
        occurred_us = end_us - round(step.days * DAY_US)
        yield VisitorEvent(
            visitor=number,
            message_id=f"planted-{number:05d}-{i:02d}",
            type=type_,
            name=step.name if type_ == "track" else "",
            occurred_at_us=occurred_us - occurred_us % 1_000,
            channel="web" if is_anonymous else "offline",
            user_id="" if is_anonymous else _user(number),
            anonymous_id=_device(number) if is_anonymous or type_ == "identify" else "",
            properties={} if has_traits else _own(step.values, number),
            traits=_traits(number, type_, step.values) if has_traits else {},
            group_id=f"account-{number:05d}" if type_ == "group" else "",
        )


def _traits(number: int, type_: str, values: dict[str, Any]) -> dict[str, Any]:
    """Return traits, those of a person with a name."""
    return {"name": person_name(number), **values} if type_ == "identify" else values


def _own(values: dict[str, Any], number: int) -> dict[str, Any]:
    """Return properties whose order belongs to this customer."""
    ids = ("order_id", "invoice_id")
    return {k: f"{v}-{number}" if k in ids else v for k, v in values.items()}
