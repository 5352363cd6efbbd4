"""The state of one leaf, and how leaves are read as one profile.

A state is a function of the set of events folded into it. Folding changes a state in place, for it
is done ten thousand times a second; whoever wants to keep the old one keeps its bytes.
"""

from __future__ import annotations

from collections.abc import Iterable, Set
from functools import reduce
from typing import Any, TypeAlias

import msgspec

from services.kernel.fold.accumulators import CountAccumulator, DistinctAccumulator
from services.kernel.fold.events import GROUP, IDENTIFY, EventView, raw_members, read_value
from services.kernel.fold.packed_ids import joined_ids, split_ids, with_id
from services.kernel.fold.predicate_index import PredicateIndex
from services.kernel.rules.model import AccumulatorKind

#: A trait as it was stated: occurred_at in Unix microseconds, the fact's id, the JSON value as it
#: was written. The greatest one counts, so the last writer wins, by (occurred_at, fact id). A value
#: of `null` takes the trait away, and is kept, for it must win over older ones that come later.
TraitValue: TypeAlias = tuple[int, bytes, bytes]
AnySeries: TypeAlias = CountAccumulator | DistinctAccumulator

NOT_YET_US = 2**63 - 1
NEVER_US = -(2**63)
_NONE: frozenset[int] = frozenset()
_EMPTY_INDEX = PredicateIndex()


class LeafState(msgspec.Struct, array_like=True, gc=False, tag=1):
    """What is known of one leaf. The keys of the mappings ascend, so equal states are equal bytes.

    The tag is the version of the encoding.
    """

    #: The occurred_at of the oldest event; NEVER_YET where there is none.
    first_seen_us: int = NOT_YET_US
    #: The occurred_at of the newest event; NEVER where there is none.
    last_seen_us: int = NEVER_US
    event_count: int = 0
    traits: dict[str, TraitValue] = {}
    #: By series id.
    accumulators: dict[int, AnySeries] = {}
    #: The leaves of the accounts that this leaf of a person belongs to; see leaf_ids.
    accounts: bytes = b""
    #: The leaves of the persons that belong to this leaf of an account; see leaf_ids. It is never
    #: empty where the leaf is an account's, and always where it is a person's.
    members: bytes = b""


class _WithoutLeaves(msgspec.Struct, array_like=True, gc=False, tag=1):
    """The first fields of a state, which are all of it where both sets are empty."""

    first_seen_us: int
    last_seen_us: int
    event_count: int
    traits: dict[str, TraitValue]
    series: dict[int, AnySeries]


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(LeafState)


def encode(state: LeafState) -> bytes:
    """The canonical bytes of a state: equal states have equal bytes.

    The sets of leaf ids are left out where both are empty. So it is for most, and was for all.
    """
    if state.accounts or state.members:
        return _encoder.encode(state)
    first_us, last_us, count = state.first_seen_us, state.last_seen_us, state.event_count
    return _encoder.encode(
        _WithoutLeaves(first_us, last_us, count, state.traits, state.accumulators)
    )


def decode(data: bytes) -> LeafState:
    """The state of these bytes; raises msgspec.DecodeError where they are none."""
    return _decoder.decode(data)


def fold_event(state: LeafState, event: EventView, catalogue: PredicateIndex) -> frozenset[int]:
    """Take one event into a state; the ids of the predicates that may have changed."""
    at_us = event.occurred_at_us
    if at_us < state.first_seen_us:
        state.first_seen_us = at_us
    if at_us > state.last_seen_us:
        state.last_seen_us = at_us
    state.event_count += 1
    if event.type == IDENTIFY:
        return _fold_traits(state, event, catalogue)
    if event.type == GROUP:
        return _fold_group(state, event)
    return fold_accumulators(state, event, catalogue)


def fold_accumulators(
    state: LeafState, event: EventView, catalogue: PredicateIndex
) -> frozenset[int]:
    """Take one event into the series of a catalogue, and into nothing else.

    With a catalogue of new rules alone this fills a state in from the past; `combine` adds it.
    """
    touched = _NONE
    for feed, what in catalogue.matching_bindings(event):
        series = state.accumulators.get(feed.accumulator_id)
        if series is None:
            series = _new_accumulator(state, feed.accumulator_id, feed.kind)
        if type(series) is CountAccumulator:
            series.add(event.occurred_at_us)
        elif type(series) is DistinctAccumulator:
            series.add(what, event.occurred_at_us)
        touched = touched | feed.predicates if touched else feed.predicates
    return touched


def combine(a: LeafState, b: LeafState) -> LeafState:
    """The state of both sets of events (which share none).

    Neither is changed, but the result shares parts with them: fold on into the result only.
    """
    return LeafState(
        min(a.first_seen_us, b.first_seen_us),
        max(a.last_seen_us, b.last_seen_us),
        a.event_count + b.event_count,
        _combine_traits(a.traits, b.traits),
        _combine_accumulators(a.accumulators, b.accumulators),
        joined_ids(a.accounts, b.accounts),
        joined_ids(a.members, b.members),
    )


def keep_accumulators(state: LeafState, series_ids: Set[int]) -> LeafState:
    """The state without the series of rules that are no longer in force."""
    kept = {id_: series for id_, series in state.accumulators.items() if id_ in series_ids}
    return msgspec.structs.replace(state, accumulators=kept)


class ProfileView:
    """Leaves read as one profile. Series are joined when they are asked for.

    It must be read before its leaves are folded further.
    """

    __slots__ = ("_leaves", "event_count", "first_seen_us", "last_seen_us")

    def __init__(self, leaves: tuple[LeafState, ...]) -> None:
        self._leaves = leaves
        if len(leaves) == 1:  # so are most, and this is done for every event that matters
            self.first_seen_us = leaves[0].first_seen_us
            self.last_seen_us = leaves[0].last_seen_us
            self.event_count = leaves[0].event_count
            return
        self.first_seen_us = min((leaf.first_seen_us for leaf in leaves), default=NOT_YET_US)
        self.last_seen_us = max((leaf.last_seen_us for leaf in leaves), default=NEVER_US)
        self.event_count = sum(leaf.event_count for leaf in leaves)

    @property
    def is_account(self) -> bool:
        """Whether it is an account, and no person. Rules are for persons: of an account none is
        asked, and it stands nowhere."""
        return bool(self._leaves) and all(leaf.members for leaf in self._leaves)

    @property
    def accounts(self) -> list[bytes]:
        """The leaves of the accounts that the person belongs to, ascending."""
        return split_ids(reduce(joined_ids, (leaf.accounts for leaf in self._leaves), b""))

    @property
    def members(self) -> list[bytes]:
        """The leaves of the persons that belong to the account, ascending."""
        return split_ids(reduce(joined_ids, (leaf.members for leaf in self._leaves), b""))

    def trait_value(self, name: str) -> TraitValue | None:
        """A trait as it was stated last, null or not; None where it never was."""
        last: TraitValue | None = None
        for leaf in self._leaves:
            stated = leaf.traits.get(name)
            if stated is not None and (last is None or stated > last):
                last = stated
        return last

    def trait(self, name: str) -> Any:
        """The decoded value of a trait; None where it is absent."""
        stated = self.trait_value(name)
        return None if stated is None else read_value(stated[2])

    def traits(self) -> dict[str, TraitValue]:
        """The traits that are there, by name, ascending."""
        joined: dict[str, TraitValue] = reduce(
            _combine_traits, (leaf.traits for leaf in self._leaves), {}
        )
        return {name: stated for name, stated in joined.items() if stated[2] != b"null"}

    def accumulator(self, series_id: int) -> AnySeries | None:
        """What a series holds; None where that is nothing."""
        joined = None
        for leaf in self._leaves:
            series = leaf.accumulators.get(series_id)
            if series is not None:
                joined = series if joined is None else _combine_one(joined, series)
        return joined


def view_of(states: Iterable[LeafState]) -> ProfileView:
    """Leaves read as one profile, in whatever order they come."""
    return ProfileView(tuple(states))


def _fold_group(state: LeafState, event: EventView) -> frozenset[int]:
    """The traits are the account's; nobody's rules ask for what is kept here."""
    if event.member_leaf:
        state.members = with_id(state.members, event.member_leaf)
        _fold_traits(state, event, _EMPTY_INDEX)
    elif event.account_leaf:
        state.accounts = with_id(state.accounts, event.account_leaf)
    return _NONE


def _fold_traits(state: LeafState, event: EventView, catalogue: PredicateIndex) -> frozenset[int]:
    known, touched, count = state.traits, _NONE, len(state.traits)
    for name, value in raw_members(event.traits).items():
        stated = (event.occurred_at_us, event.fact_id, value)
        before = known.get(name)
        if before is None or stated > before:
            known[name] = stated
            touched |= catalogue.affected_by_trait(name)
    if len(known) > count:
        state.traits = dict(sorted(known.items()))
    return touched


def _new_accumulator(state: LeafState, series_id: int, kind: AccumulatorKind) -> AnySeries:
    series = CountAccumulator() if kind is AccumulatorKind.COUNT else DistinctAccumulator()
    state.accumulators = dict(sorted([*state.accumulators.items(), (series_id, series)]))
    return series


def _combine_traits(a: dict[str, TraitValue], b: dict[str, TraitValue]) -> dict[str, TraitValue]:
    joined = dict(a)
    for name, stated in b.items():
        joined[name] = max(stated, joined.get(name, stated))
    return dict(sorted(joined.items()))


def _combine_accumulators(a: dict[int, AnySeries], b: dict[int, AnySeries]) -> dict[int, AnySeries]:
    joined = dict(a)
    for id_, series in b.items():
        joined[id_] = _combine_one(joined[id_], series) if id_ in joined else series
    return dict(sorted(joined.items()))


def _combine_one(a: AnySeries, b: AnySeries) -> AnySeries:
    """Two states of one series, which are of one kind."""
    if type(a) is CountAccumulator and type(b) is CountAccumulator:
        return a.combine(b)
    if type(a) is DistinctAccumulator and type(b) is DistinctAccumulator:
        return a.combine(b)
    raise TypeError("a series changed its kind")
