"""Tests that the response for a profile stays small, however many identifiers it has."""

from __future__ import annotations

from services.kernel.fold.leaf import ProfileView
from services.kernel.identifiers.model import Identifier
from services.kernel.ids import LeafId, ProfileId
from services.profile.codec.api import MAX_LISTED, profile_to_proto
from services.profile.domain.profile import Profile


def profile_with(devices: int) -> Profile:
    identifiers = [Identifier("anonymous_id", f"{number:036}") for number in range(devices)]
    return Profile(
        profile_id=ProfileId(bytes(16)),
        identifiers=(*identifiers, Identifier("user_id", "u1")),
        leaf_ids=[LeafId(number.to_bytes(16, "big")) for number in range(devices)],
        view=ProfileView([]),
        tags=(),
    )


def test_profile_with_many_devices_lists_the_first_identifiers_by_priority() -> None:
    message = profile_to_proto(profile_with(150_000))
    assert len(message.identifiers) == len(message.leaf_ids) == MAX_LISTED
    assert message.identifiers[0].namespace == "user_id"
    assert message.identifier_count == 150_001
    assert message.ByteSize() < 200_000


def test_profile_with_few_identifiers_lists_all() -> None:
    message = profile_to_proto(profile_with(3))
    assert (len(message.identifiers), message.identifier_count) == (4, 4)
