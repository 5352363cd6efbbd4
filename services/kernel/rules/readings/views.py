"""Defines the state of one profile as far as rules read it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Protocol, TypeAlias

from services.kernel.rules.values import Json
from services.kernel.trust import Party

#: A scalar, or a list of scalars whose last one is a number of micro-units.
RecordValue: TypeAlias = Any


class RecordGroup(NamedTuple):
    """One record, or all older records of one day, as windows read them."""

    at_us: int
    records: int
    numbers: int
    #: In micro-units.
    sum: int
    least: int | float
    greatest: int | float


class TimesView(Protocol):
    """The occurred_at of the events of an accumulator, or of each value's newest event."""

    def total(self) -> int:
        """Return the number of events or values."""

    def count_after(self, start_us: int) -> int:
        """Return the number of those later than `start_us`."""

    def nth_most_recent(self, n: int) -> int:
        """Return the occurred_at of the n-th newest, 1 <= n <= total()."""


class EventTimesView(TimesView, Protocol):
    """The occurred_at of all events of an accumulator."""

    def count_between(self, start_us: int, end_us: int) -> int:
        """Return the number of events with start_us <= occurred_at < end_us."""

    def exact_times(self) -> Sequence[int]:
        """Return the exact times, ascending."""

    def all_times(self) -> list[int]:
        """Return the distinct times as they are counted, ascending."""

    def first(self) -> int:
        """Return the occurred_at of the oldest event."""


class RecordsView(Protocol):
    """The records of an accumulator."""

    @property
    def times(self) -> Sequence[int]:
        """The times of the exact records, ascending."""

    @property
    def values(self) -> Sequence[RecordValue]:
        """Their values."""

    def earliest(self) -> tuple[int, RecordValue]:
        """Return the first record of all, (occurred_at, value)."""

    def older(self) -> list[RecordGroup]:
        """Return the days of the older records, ascending by time."""

    def cells(self) -> list[RecordGroup]:
        """Return all records, the days of the older ones first, ascending by time."""


class ProfileFacts(Protocol):
    """The state of one profile, as far as rules read it."""

    @property
    def last_seen_us(self) -> int:
        """The occurred_at of its newest event; 0 if there is none."""

    def trait(
        self, name: str, parties: tuple[Party, ...] = (), sources: tuple[str, ...] = ()
    ) -> Json:
        """Return the decoded value of a trait that sources of some parties (empty = all) state.

        None if it is absent, and if the statement that wins comes from none of `sources` (empty =
        any).
        """

    def accumulator(self, accumulator_id: int) -> Any:
        """Return an accumulator, a view above by its kind; None if it is empty."""

    def related(self, object_type: str) -> Sequence[Mapping[str, Json]]:
        """Return the traits of each related object of a type."""
