"""Decodes profiles into the persons that messages go to."""

from __future__ import annotations

import msgspec
from onefold.profile.v1 import profile_service_pb2 as pb

from services.activation.domain.policy.contact import StatedConsent
from services.activation.domain.recipients import Recipient
from services.kernel.ids import LeafId, from_hex


def recipient_of(profile: pb.Profile) -> Recipient:
    """Return the person of a profile."""
    return Recipient(
        [(i.namespace, i.value) for i in profile.identifiers],
        {trait.name: msgspec.json.decode(trait.value) for trait in profile.traits},
        tuple(LeafId(from_hex(leaf_id)) for leaf_id in profile.leaf_ids),
        profile.profile_id,
        [
            StatedConsent(c.purpose, c.granted, c.since_us, from_hex(c.fact_id), c.source_id)
            for c in profile.consents
        ],
        {tag.tag_id: tag.value or True for tag in profile.tags},
    )
