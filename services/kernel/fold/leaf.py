"""Folds events into the state of a leaf, and reads leaves as one profile.

A state is a function of the set of events folded into it. Folding changes a state in place, as it
runs ten thousand times a second; to preserve a state, encode it first.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import reduce
from typing import Any, TypeAlias

import msgspec

from services.kernel.fold.accumulators import CountAccumulator, DistinctAccumulator
from services.kernel.fold.additions import (
    Additions,
    combine_additions,
    drop_surplus,
    fold_additions,
    reserved_trait,
)
from services.kernel.fold.consents import Consent, combine_consents, fold_consent
from services.kernel.fold.events import (
    CORRECTION,
    GROUP,
    IDENTIFY,
    EventView,
    raw_members,
    read_value,
    rule_event_name,
)
from services.kernel.fold.id_sets import add_id, combine_ids, split_ids
from services.kernel.fold.predicate_index import AccumulatorBinding, PredicateIndex
from services.kernel.fold.records import RecordAccumulator
from services.kernel.fold.trait_values import canonical_value
from services.kernel.fold.traits import TraitValue, WinningTrait, combine_traits, drop_least, winner
from services.kernel.rules.filters import property_getter
from services.kernel.rules.forms.words import CONSENT_CHANGED
from services.kernel.rules.inputs import AccumulatorKind
from services.kernel.rules.names import is_reserved_trait
from services.kernel.rules.values import Json
from services.kernel.trust import Party

Accumulator: TypeAlias = CountAccumulator | DistinctAccumulator | RecordAccumulator

NOT_YET_US = 2**63 - 1
NEVER_US = -(2**63)
_NONE: frozenset[int] = frozenset()
_NOTHING: Mapping[str, Sequence[Mapping[str, Json]]] = {}
#: As a plain number, which is compared faster.
_FIRST = int(Party.FIRST)
_NEW: dict[AccumulatorKind, type[Accumulator]] = {
    AccumulatorKind.COUNT: CountAccumulator,
    AccumulatorKind.DISTINCT: DistinctAccumulator,
    AccumulatorKind.RECORDS: RecordAccumulator,
    AccumulatorKind.STATEMENTS: RecordAccumulator,
}


class LeafState(msgspec.Struct, array_like=True, gc=False, tag=1):
    """The state of one leaf. The keys of its mappings ascend, so equal states are equal bytes.

    The tag is the version of the encoding.
    """

    #: The occurred_at of the oldest event; NOT_YET_US if there is none.
    first_seen_us: int = NOT_YET_US
    #: The occurred_at of the newest event; NEVER_US if there is none.
    last_seen_us: int = NEVER_US
    event_count: int = 0
    traits: dict[str, TraitValue] = {}
    #: By accumulator id.
    accumulators: dict[int, Accumulator] = {}
    #: The leaves of the accounts that this leaf of a person belongs to; see `add_id`.
    accounts: bytes = b""
    #: The leaves of the persons that belong to this leaf of an account; see `add_id`. Never empty
    #: in a leaf of an account, always empty in a leaf of a person.
    members: bytes = b""
    #: Whether more names of traits were stated than are kept; see `trait_limit`.
    dropped_traits: bool = False
    #: What sources of the second and third party state: by the digit of the party and the name.
    party_traits: dict[str, TraitValue] = {}
    #: The type of the object that a leaf of an account is, such as `account`; else empty.
    object_type: str = ""
    #: The last answer to each purpose.
    consents: dict[str, Consent] = {}
    #: None if there are none.
    additions: Additions | None = None


class _WithoutLeaves(msgspec.Struct, array_like=True, gc=False, tag=1):
    """The fields of a state that is encoded without its last seven."""

    first_seen_us: int
    last_seen_us: int
    event_count: int
    traits: dict[str, TraitValue]
    accumulators: dict[int, Accumulator]


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(LeafState)


def encode(state: LeafState) -> bytes:
    """Return the canonical bytes of a state: equal states have equal bytes.

    The last seven fields are omitted if all are empty, as in most states.
    """
    has_last = state.accounts or state.members or state.dropped_traits or state.party_traits
    if has_last or state.consents or state.additions is not None:
        return _encoder.encode(state)
    first_us, last_us, count = state.first_seen_us, state.last_seen_us, state.event_count
    return _encoder.encode(
        _WithoutLeaves(first_us, last_us, count, state.traits, state.accumulators)
    )


def decode(data: bytes) -> LeafState:
    """Return the state of some bytes. Raises msgspec.DecodeError if they are not a state."""
    return _decoder.decode(data)


def fold_event(state: LeafState, event: EventView, index: PredicateIndex) -> frozenset[int]:
    """Fold one event into a state and return the ids of the predicates that may have changed."""
    if event.type >= CORRECTION:
        return _fold_additions(state, event, index)
    occurred_at_us = event.occurred_at_us
    if occurred_at_us < state.first_seen_us:
        state.first_seen_us = occurred_at_us
    if occurred_at_us > state.last_seen_us:
        state.last_seen_us = occurred_at_us
    state.event_count += 1
    if event.touch:
        return _fold_additions(state, event, index) | _fold_content(state, event, index)
    return _fold_content(state, event, index)


def _fold_content(state: LeafState, event: EventView, index: PredicateIndex) -> frozenset[int]:
    if event.type == IDENTIFY:
        return _fold_traits(state, event, index.affected_by_trait)
    if event.type == GROUP:
        return _fold_group(state, event, index)
    if event.name == CONSENT_CHANGED and rule_event_name(event):
        state.consents = fold_consent(state.consents, event)
    return fold_accumulators(state, event, index)


def fold_accumulators(state: LeafState, event: EventView, index: PredicateIndex) -> frozenset[int]:
    """Fold one event into the accumulators of an index, and into nothing else.

    With an index of new rules alone this back-fills a state from old events; `combine` then adds
    it to the live state.
    """
    matching = index.matching_bindings(event)
    if not matching:
        return _NONE
    accumulators, occurred_at_us = state.accumulators, event.occurred_at_us
    for binding, entry in matching:
        accumulator = accumulators.get(binding.accumulator_id)
        if accumulator is None:
            accumulators = _add_missing(state, matching)
            accumulator = accumulators[binding.accumulator_id]
        if type(accumulator) is CountAccumulator:
            accumulator.add(occurred_at_us)
        elif type(accumulator) is DistinctAccumulator or type(accumulator) is RecordAccumulator:
            accumulator.add(entry, occurred_at_us)
    if len(matching) == 1:
        return matching[0][0].predicates
    # At once: a union for each binding would copy the others' predicates again and again.
    return _NONE.union(*[binding.predicates for binding, _ in matching])


def combine(a: LeafState, b: LeafState) -> LeafState:
    """Return the state of both sets of events, which must be disjoint.

    Neither operand is changed, but the result shares parts with them: fold further events into the
    result only.
    """
    traits, party_traits = (
        combine_traits(a.traits, b.traits),
        combine_traits(a.party_traits, b.party_traits),
    )
    additions = combine_additions(a.additions, b.additions)
    dropped = [*drop_least(traits), *drop_least(party_traits), *drop_surplus(additions)]
    return LeafState(
        min(a.first_seen_us, b.first_seen_us),
        max(a.last_seen_us, b.last_seen_us),
        a.event_count + b.event_count,
        traits,
        _combine_accumulators(a.accumulators, b.accumulators),
        combine_ids(a.accounts, b.accounts),
        combine_ids(a.members, b.members),
        a.dropped_traits or b.dropped_traits or bool(dropped),
        party_traits,
        a.object_type or b.object_type,
        combine_consents(a.consents, b.consents),
        additions,
    )


class ProfileView:
    """Leaves read as one profile. It combines accumulators when they are read.

    Read it before its leaves are folded further: many predicates read one trait or one accumulator,
    so what was decoded or combined for the first of them is kept for the others.
    """

    __slots__ = (
        "_accumulators",
        "_leaves",
        "_related",
        "_traits",
        "additions",
        "event_count",
        "first_seen_us",
        "last_seen_us",
    )

    def __init__(
        self,
        leaves: tuple[LeafState, ...],
        related: Mapping[str, Sequence[Mapping[str, Json]]] = _NOTHING,
    ) -> None:
        """`related`: the traits of the related objects, by type."""
        self._leaves = leaves
        self._related = related
        #: Decoded values of traits, and combined accumulators; None before the first one.
        self._traits: dict[tuple[str, tuple[Party, ...], tuple[str, ...]], Json] | None = None
        self._accumulators: dict[int, Accumulator | None] | None = None
        #: Those of the leaves that have any.
        self.additions = [leaf.additions for leaf in leaves if leaf.additions is not None]
        if len(leaves) == 1:  # the usual case, and this runs for every event that matters
            self.first_seen_us = leaves[0].first_seen_us
            self.last_seen_us = leaves[0].last_seen_us
            self.event_count = leaves[0].event_count
            return
        self.first_seen_us = min((leaf.first_seen_us for leaf in leaves), default=NOT_YET_US)
        self.last_seen_us = max((leaf.last_seen_us for leaf in leaves), default=NEVER_US)
        self.event_count = sum(leaf.event_count for leaf in leaves)

    @property
    def is_account(self) -> bool:
        """Return whether this is an account. Rules are never evaluated for accounts."""
        has_own = False
        for leaf in self._leaves:
            if leaf.additions is None or leaf.event_count:
                if not leaf.members:  # the usual case
                    return False
                has_own = True
        return has_own

    @property
    def has_dropped_traits(self) -> bool:
        """Return whether more names of traits were stated in a leaf than are kept."""
        return any(leaf.dropped_traits for leaf in self._leaves)

    @property
    def accounts(self) -> list[bytes]:
        """Return the leaves of the accounts that the person belongs to, ascending."""
        return split_ids(reduce(combine_ids, (leaf.accounts for leaf in self._leaves), b""))

    @property
    def members(self) -> list[bytes]:
        """Return the leaves of the persons that belong to the account, ascending."""
        return split_ids(reduce(combine_ids, (leaf.members for leaf in self._leaves), b""))

    @property
    def consents(self) -> dict[str, Consent]:
        """Return the last answer to each purpose, by purpose."""
        return reduce(combine_consents, (leaf.consents for leaf in self._leaves), {})

    def trait_value(self, name: str, parties: tuple[Party, ...] = ()) -> WinningTrait | None:
        """Return the value of a trait that wins, null or not; None if it was never stated.

        `parties`: only their statements count; empty = all. A correction counts as a statement of
        the first party, and wins over all of them.
        """
        won = winner(self._leaves, self.additions, name, parties)
        return None if won is None else WinningTrait(*won[0], won[1])

    def trait(
        self, name: str, parties: tuple[Party, ...] = (), sources: tuple[str, ...] = ()
    ) -> Json:
        key = (name, parties, sources)
        if self._traits is None:
            self._traits = {}
        elif key in self._traits:
            return self._traits[key]
        if is_reserved_trait(name):
            decoded = reserved_trait(self.additions, name)
        else:
            decoded = self._stated(name, parties, sources)
        self._traits[key] = decoded
        return decoded

    def _stated(self, path: str, parties: tuple[Party, ...], sources: tuple[str, ...]) -> Json:
        """Return a stated trait, or the member of one by its path, `trait.member`; None if the
        trait is absent, or its winning statement comes from none of the sources (empty = any)."""
        name, won = path, winner(self._leaves, self.additions, path, parties)
        if won is None and "." in path:
            name = path.partition(".")[0]
            won = winner(self._leaves, self.additions, name, parties)
        if won is None or (sources and won[0][4] not in sources):
            return None
        decoded = read_value(won[0][3])
        return decoded if name == path else property_getter(path)({name: decoded})

    def with_related(self, related: Mapping[str, Sequence[Mapping[str, Json]]]) -> ProfileView:
        """Return the same profile with the traits of its related objects, by type."""
        return ProfileView(self._leaves, related)

    def with_leaves(self, leaves: tuple[LeafState, ...]) -> ProfileView:
        """Return other leaves, read as one profile with the same related objects."""
        return ProfileView(leaves, self._related)

    def related(self, object_type: str) -> Sequence[Mapping[str, Json]]:
        """Return the traits of each related object of a type."""
        return self._related.get(object_type, ())

    def traits(self) -> dict[str, WinningTrait]:
        """Return the present traits by name, ascending."""
        names = {name for leaf in self._leaves for name in leaf.traits}
        names.update(name[1:] for leaf in self._leaves for name in leaf.party_traits)
        names.update(name for own in self.additions for name in own.corrections)
        winning = ((name, self.trait_value(name)) for name in sorted(names))
        return {n: won for n, won in winning if won is not None and won.value != b"null"}

    @property
    def accumulator_ids(self) -> set[int]:
        """The accumulators that have an event."""
        return {id_ for leaf in self._leaves for id_ in leaf.accumulators}

    def accumulator(self, accumulator_id: int) -> Accumulator | None:
        if len(self._leaves) == 1:
            return self._leaves[0].accumulators.get(accumulator_id)
        if self._accumulators is None:
            self._accumulators = {}
        elif accumulator_id in self._accumulators:
            return self._accumulators[accumulator_id]
        combined = self._accumulators[accumulator_id] = self._combined(accumulator_id)
        return combined

    def _combined(self, accumulator_id: int) -> Accumulator | None:
        parts = [
            leaf.accumulators[accumulator_id]
            for leaf in self._leaves
            if accumulator_id in leaf.accumulators
        ]
        return combine_accumulators(parts) if parts else None


def view_of(states: Iterable[LeafState]) -> ProfileView:
    """Return leaves, in any order, as one profile."""
    return ProfileView(tuple(states))


def _fold_group(state: LeafState, event: EventView, index: PredicateIndex) -> frozenset[int]:
    """Fold a group event: its traits are the account's, and rules of its members read them."""
    related = index.related_predicates
    if event.member_leaf:
        state.members = add_id(state.members, event.member_leaf)
        state.object_type = event.object_type
        return _fold_traits(state, event, lambda name: related)
    accounts = add_id(state.accounts, event.account_leaf) if event.account_leaf else state.accounts
    if accounts is state.accounts:
        return _NONE
    state.accounts = accounts
    return related


def _fold_traits(
    state: LeafState, event: EventView, affected_by: Callable[[str], frozenset[int]]
) -> frozenset[int]:
    is_first, affected = event.party <= _FIRST, _NONE
    traits = state.traits if is_first else dict(state.party_traits)
    prefix, count = "" if is_first else str(int(event.party)), len(traits)
    trust, occurred_at_us, fact_id = event.trust, event.occurred_at_us, event.fact_id
    source_id = event.source_id
    for name, json in raw_members(event.traits).items():
        value = (trust, occurred_at_us, fact_id, canonical_value(json), source_id)
        key = prefix + name
        before = traits.get(key)
        if before is None or value > before:
            traits[key] = value
            affected |= affected_by(name)
    if len(traits) > count:
        for key in drop_least(traits):
            state.dropped_traits = True
            affected |= affected_by(key if is_first else key[1:])
        traits = dict(sorted(traits.items()))
    if is_first:
        state.traits = traits
    else:
        state.party_traits = traits
    return affected


def _fold_additions(state: LeafState, event: EventView, index: PredicateIndex) -> frozenset[int]:
    additions = state.additions = state.additions or Additions()
    changed, dropped = fold_additions(additions, event), drop_surplus(additions)
    state.dropped_traits = state.dropped_traits or bool(dropped)
    return _NONE.union(*map(index.affected_by_trait, [*changed, *dropped]))


def _add_missing(
    state: LeafState, matching: list[tuple[AccumulatorBinding, Any]]
) -> dict[int, Accumulator]:
    """Add the accumulators of the bindings that a state lacks, sorted once for all of them."""
    accumulators = state.accumulators
    new: dict[int, Accumulator] = {
        binding.accumulator_id: _NEW[binding.kind]()
        for binding, _ in matching
        if binding.accumulator_id not in accumulators
    }
    state.accumulators = dict(sorted((accumulators | new).items()))
    return state.accumulators


def _combine_accumulators(
    a: dict[int, Accumulator], b: dict[int, Accumulator]
) -> dict[int, Accumulator]:
    combined = dict(a)
    for id_, accumulator in b.items():
        existing = combined.get(id_)
        parts = [accumulator] if existing is None else [existing, accumulator]
        combined[id_] = combine_accumulators(parts)
    return dict(sorted(combined.items()))


def combine_accumulators(parts: Sequence[Accumulator]) -> Accumulator:
    """Combine states of one accumulator, which have the same kind, at once: at least one."""
    first, *others = parts
    if not others:
        return first
    if any(type(other) is not type(first) for other in others):
        raise TypeError("an accumulator has changed its kind")
    return first.combine(*others)  # type: ignore[arg-type]  # all have the kind of the first
