"""Decodes profiles into the persons that messages go to."""

from __future__ import annotations

import msgspec
from onefold.profile.v1 import profile_service_pb2 as pb

from services.activation.domain.policy.contact import StatedConsent
from services.activation.domain.recipients import Recipient
from services.kernel.ids import LeafId, from_hex


def ids_of(profile: pb.Profile) -> frozenset[bytes]:
    """Return the ids by which the services name a person: of the profile, also old ones, and of
    leaves."""
    others = profile.other_identifier_ids
    return frozenset(map(from_hex, (profile.profile_id, *profile.leaf_ids, *others)))


def recipient_of(profile: pb.Profile) -> Recipient:
    """Return the person of a profile."""
    return Recipient(
        [(i.namespace, i.value) for i in profile.identifiers],
        {trait.name: msgspec.json.decode(trait.value) for trait in profile.traits},
        tuple(map(LeafId, sorted(ids_of(profile)))),
        profile.profile_id,
        [
            StatedConsent(c.purpose, c.granted, c.since_us, from_hex(c.fact_id), c.source_id)
            for c in profile.consents
        ],
        {tag.tag_id: tag.value or True for tag in profile.tags},
    )
