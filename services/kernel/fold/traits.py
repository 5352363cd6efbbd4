"""Defines the statements of traits, and combines them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol, TypeAlias

from services.kernel.fold.additions import Additions, correction_of
from services.kernel.fold.trait_limit import least_traits
from services.kernel.trust import Party, SourceTrust

#: A stated trait: the trust of its source, occurred_at in Unix microseconds, the fact's id, the
#: JSON value in canonical form, the source. The greatest one wins: the statement of most trust, and
#: of these the last one by (occurred_at, fact id). A value of `null` removes the trait and is
#: stored, as it must win over older values that arrive later. A plain tuple, as the hot path makes
#: one for every trait of an event.
TraitValue: TypeAlias = tuple[int, int, bytes, bytes, str]
#: The trust of a value that a person corrected: no source has more.
CORRECTED = max(SourceTrust) + 1


_ALL_PARTIES = tuple(Party)


class StatedTraits(Protocol):
    """What the sources of one leaf state; see `LeafState`."""

    traits: dict[str, TraitValue]
    party_traits: dict[str, TraitValue]


class WinningTrait(NamedTuple):
    """The statement of a trait that counts: a `TraitValue` and its party.

    Of a correction the trust is CORRECTED, and there is no source.
    """

    trust: int
    occurred_at_us: int
    fact_id: bytes
    #: The JSON value in canonical form.
    value: bytes
    source_id: str
    party: Party


def winner(
    leaves: Sequence[StatedTraits],
    additions: Sequence[Additions],
    name: str,
    parties: tuple[Party, ...],
) -> tuple[TraitValue, Party] | None:
    """Return the statement of a trait that wins among some leaves, and its party; see
    `ProfileView.trait_value`. `additions`: those of the leaves that have any."""
    if additions and (not parties or Party.FIRST in parties):
        correction = correction_of(additions, name)
        if correction is not None:
            return (CORRECTED, *correction[:3], ""), Party.FIRST
    last: TraitValue | None = None
    if not parties or Party.FIRST in parties:
        for leaf in leaves:
            value = leaf.traits.get(name)
            if value is not None and (last is None or value > last):
                last = value
    if last is not None:  # the usual case
        return last, Party.FIRST
    others = [leaf.party_traits for leaf in leaves if leaf.party_traits]
    if not others:
        return None
    for party in parties or _ALL_PARTIES:
        key = f"{party}{name}"
        stated = [traits[key] for traits in others if key in traits]
        if stated:
            return max(stated), party
    return None


def drop_least(traits: dict[str, TraitValue]) -> set[str]:
    """Remove the traits beyond the limit and return their names."""
    dropped = least_traits(traits)
    for name in dropped:
        del traits[name]
    return set(dropped)


def combine_traits(a: dict[str, TraitValue], b: dict[str, TraitValue]) -> dict[str, TraitValue]:
    """Return the statements that win, by name, ascending."""
    combined = dict(a)
    for name, value in b.items():
        combined[name] = max(value, combined.get(name, value))
    return dict(sorted(combined.items()))
