"""Defines the pools that the coupons of journeys come from."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from services.kernel.rules.filters import EventFilter


@dataclass(frozen=True, slots=True)
class CouponUse:
    """The event that says that a coupon was used."""

    events: EventFilter
    #: The property of the event that has the code.
    code_property: str


@dataclass(frozen=True, slots=True)
class CouponPool:
    """Where the codes of coupons come from."""

    pool_id: str
    title: str = ""
    #: What each generated code begins with; empty = the codes are loaded.
    prefix: str = ""
    #: None = no event says that a coupon was used.
    used: CouponUse | None = None
    version: int = 0
    #: Whether it issues no more coupons.
    retired: bool = False

    def at_version(self, version: int) -> CouponPool:
        """Return the same pool with another version."""
        return replace(self, version=version)


#: Codes in one call.
MAX_CODES: Final = 1_000
MAX_CODE: Final = 64
