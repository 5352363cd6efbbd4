"""Tests that the steps of a journey use destinations for what they do."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from contract.channels.rigs import destination_of

from services.activation.domain.journeys.receivers import receiver_problems
from services.activation.domain.message_channels import WecomRobot
from services.activation.domain.mirror_channels import Hubspot
from services.kernel.journeys.journey_form import parse_journey

DESTINATIONS = {
    "crm": replace(destination_of(Hubspot("t", "member")), destination_id="crm"),
    "group": replace(destination_of(WecomRobot("k")), destination_id="group"),
}


@pytest.mark.parametrize(
    ("step", "remedy"),
    [
        ({"send": {"id": "s", "to": "group", "template": "t"}}, ""),
        ({"send": {"id": "s", "to": "crm", "template": "t"}}, "join"),
        ({"join": "crm"}, ""),
        ({"drop": "crm"}, ""),
        ({"join": "group"}, "send"),
        ({"drop": "group"}, "send"),
        ({"join": "nowhere"}, ""),
    ],
)
def test_step_uses_a_destination_for_what_it_does(step: dict[str, Any], remedy: str) -> None:
    enter = {"event": "registered", "again": "always"}
    journey = parse_journey({"id": "j", "enter": enter, "steps": [step]})
    problems = list(receiver_problems(journey, DESTINATIONS))
    assert len(problems) == bool(remedy)
    assert all(f"`{remedy}`" in each.remedy for each in problems)
