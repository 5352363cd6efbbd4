"""Defines the statements of traits, and combines them."""

from __future__ import annotations

from typing import NamedTuple, TypeAlias

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
