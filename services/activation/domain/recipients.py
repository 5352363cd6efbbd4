"""Models a person as the gate and a message need it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from services.activation.domain.model import Destination
from services.activation.domain.policy.contact import StatedConsent, address_of
from services.kernel.identifiers.phone_zones import zones_of_phone
from services.kernel.ids import LeafId

#: How the tags begin among the names of what a destination includes.
TAG: Final = "tag:"


@dataclass(frozen=True)
class Recipient:
    """A person as a message needs it."""

    identifiers: Sequence[tuple[str, str]] = ()
    traits: Mapping[str, Any] = field(default_factory=dict)
    #: All leaves under which runs of the person may be: an entry by a membership is one of the leaf
    #: that the profile is named by, which may be an identifier without events of its own.
    leaf_ids: tuple[LeafId, ...] = ()
    profile_id: str = ""
    consents: Sequence[StatedConsent] = ()
    #: By id, the value of each tag and the stage of each set; true for a tag without values.
    tags: Mapping[str, str | bool] = field(default_factory=dict)

    @property
    def zones_of_phone(self) -> tuple[str, ...]:
        """The zones of the country of the phone number."""
        return zones_of_phone(address_of(self.identifiers, {}, "identifier phone"))

    def tags_for(self, destination: Destination) -> dict[str, str | bool]:
        """Return the tags that the messages of a destination include: it names them `tag:ID`."""
        named = {name.removeprefix(TAG) for name in destination.traits if name.startswith(TAG)}
        return {id_: value for id_, value in self.tags.items() if id_ in named}

    def address_for(self, destination: Destination) -> str:
        """Return the address in the channel of a destination; "" = none."""
        source = destination.address or destination.channel.contract.address
        return address_of(self.identifiers, self.traits, source)
