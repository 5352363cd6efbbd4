"""Models a person as the gate and a message need it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from services.activation.domain.model import Destination
from services.activation.domain.policy.contact import StatedConsent, address_of
from services.kernel.identifiers.phone_zones import zones_of_phone
from services.kernel.ids import LeafId


@dataclass(frozen=True)
class Recipient:
    """A person as a message needs it."""

    identifiers: Sequence[tuple[str, str]] = ()
    traits: Mapping[str, Any] = field(default_factory=dict)
    #: All leaves of the person.
    leaf_ids: tuple[LeafId, ...] = ()
    profile_id: str = ""
    consents: Sequence[StatedConsent] = ()

    @property
    def zones_of_phone(self) -> tuple[str, ...]:
        """The zones of the country of the phone number."""
        return zones_of_phone(address_of(self.identifiers, {}, "identifier phone"))

    def address_for(self, destination: Destination) -> str:
        """Return the address in the channel of a destination; "" = none."""
        source = destination.address or destination.channel.contract.address
        return address_of(self.identifiers, self.traits, source)
