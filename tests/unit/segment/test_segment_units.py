"""Tests which units of the messages of profile are of a person."""

from __future__ import annotations

import pytest
from onefold.log.v1.log_pb2 import Fact
from onefold.profile.v1.profile_stream_pb2 import (
    LeafMove,
    MatchedEvent,
    ProfileChange,
    ProfilesChanged,
)

from services.segment.codec.units import UNITS

OWN, OTHER = b"a" * 16, b"b" * 16


@pytest.mark.parametrize(
    ("unit", "expected"),
    [
        (ProfilesChanged(changes=[ProfileChange(profile_id=OWN)]), True),
        (ProfilesChanged(changes=[ProfileChange(profile_id=OTHER, merged_into=OWN)]), False),
        (ProfilesChanged(matched_events=[MatchedEvent(leaf_id=OWN, profile_id=OTHER)]), True),
        (ProfilesChanged(matched_events=[MatchedEvent(leaf_id=OTHER, profile_id=OWN)]), False),
        (ProfilesChanged(leaf_moves=[LeafMove(leaf_id=OWN)]), True),
        (ProfilesChanged(broadcast_facts=[Fact(fact_id=OWN)]), False),
    ],
    ids=["profile", "merged into it", "event", "event of another leaf", "move", "fact"],
)
def test_unit_is_of_a_person_by_its_profile_or_its_leaf(
    unit: ProfilesChanged, expected: bool
) -> None:
    assert UNITS.names(unit.SerializeToString(), {OWN}) is expected
