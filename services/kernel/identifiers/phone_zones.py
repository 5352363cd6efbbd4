"""Finds the time zones of the country of a phone number."""

from __future__ import annotations

from collections import defaultdict
from datetime import UTC, datetime
from functools import cache, lru_cache
from importlib.resources import files
from typing import Final

from services.kernel.calendar import zone_info

#: Where a country has one legal time, whatever the table says.
_LEGAL: Final = {"CN": ("Asia/Shanghai",)}
#: Zones that agree in winter and in summer are one.
_SAMPLES: Final = tuple(datetime(2026, month, 1, tzinfo=UTC) for month in (1, 7))


@lru_cache(maxsize=1 << 14)
def zones_of_phone(number: str) -> tuple[str, ...]:
    """Return the zones of the country of a number such as `+8613812345678`; () = unknown.

    Zones with the same clock are one, so several say that the number does not decide.
    """
    from phonenumbers import NumberParseException, parse, region_code_for_number

    try:
        region = region_code_for_number(parse(number)) or ""
    except NumberParseException:
        return ()
    return _LEGAL.get(region) or _zones().get(region, ())


@cache
def _zones() -> dict[str, tuple[str, ...]]:
    """Return the zones by country, of the table that comes with the rules of the zones."""
    table = files("tzdata").joinpath("zoneinfo", "zone.tab").read_text("utf-8")
    found: dict[str, dict[tuple[object, ...], str]] = defaultdict(dict)
    for line in table.splitlines():
        if line and not line.startswith("#"):
            region, _, zone, *_ = line.split("\t")
            clock = tuple(instant.astimezone(zone_info(zone)).utcoffset() for instant in _SAMPLES)
            found[region].setdefault(clock, zone)
    return {region: tuple(zones.values()) for region, zones in found.items()}
