"""Defines what a rule means where its form omits something."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple

from services.kernel.rules.features import OrderDefinition

#: The cleaners of the traits of a workspace that has none.
NO_CLEANERS: Final[Mapping[str, str]] = {}


class Defaults(NamedTuple):
    """What a rule means where it omits something: properties of the workspace."""

    #: The IANA name of the zone of calendar windows and dates; empty = a form has it always.
    zone: str = ""
    orders: OrderDefinition | None = None
    #: The cleaner of each trait that has one, by name.
    cleaners: Mapping[str, str] = NO_CLEANERS
