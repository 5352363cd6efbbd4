"""Tests the zones of phone numbers."""

from __future__ import annotations

import pytest

from services.kernel.identifiers.phone_zones import zones_of_phone
from services.kernel.journeys.contact_policy import ZonePolicy, zone_of


@pytest.mark.parametrize(
    ("number", "zone"),
    [
        ("+8613812345678", "Asia/Shanghai"),
        ("+819012345678", "Asia/Tokyo"),
        # Two zones with one clock.
        ("+4915112345678", "Europe/Berlin"),
        # Several clocks do not decide.
        ("+12025550123", "Asia/Kathmandu"),
        ("12345", "Asia/Kathmandu"),
        ("", "Asia/Kathmandu"),
    ],
)
def test_phone_of_a_country_with_one_clock_gives_the_zone(number: str, zone: str) -> None:
    policy = ZonePolicy("Asia/Kathmandu", from_phone=True)
    assert zone_of(policy, {}, zones_of_phone(number)) == zone


def test_phone_of_a_country_with_several_clocks_has_several_zones() -> None:
    assert len(zones_of_phone("+12025550123")) > 1
    assert zones_of_phone("no number") == ()
