"""Translates the blocks and the consents of a profile."""

from __future__ import annotations

from collections.abc import Mapping

from onefold.profile.v1 import profile_service_pb2 as pb

from services.kernel.fold.leaf import ProfileView
from services.kernel.ids import to_hex
from services.profile.domain.blocks import BLOCKS, BlockNames, ProfileBlock


def blocks_to_proto(blocks: Mapping[ProfileBlock, BlockNames]) -> list[pb.ProfileBlockView]:
    """Return the messages of the five blocks, also of those that are empty."""
    empty = BlockNames()
    return [
        pb.ProfileBlockView(
            block=block,  # type: ignore[arg-type]  # the numbers are the enum's
            traits=own.traits,
            computed_traits=own.computed_traits,
            tags=own.tags,
        )
        for block in BLOCKS
        for own in [blocks.get(block, empty)]
    ]


def consents_to_proto(view: ProfileView) -> list[pb.Consent]:
    """Return the messages of the last answer to each purpose, by purpose."""
    return [
        pb.Consent(
            purpose=purpose,
            granted=bool(granted),
            since_us=at_us,
            fact_id=to_hex(fact_id),
            source_id=source_id,
        )
        for purpose, (at_us, granted, fact_id, source_id) in view.consents.items()
    ]
