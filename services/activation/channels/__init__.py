"""The ways out: each takes a message and tells how the attempt ended."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from services.activation.domain.model import Destination
from services.activation.domain.transitions import Outcome


@dataclass(frozen=True, slots=True)
class Message:
    """What is sent in one attempt."""

    #: The idempotency key: 32 hexadecimal digits, the same in every attempt.
    key: str
    #: A JSON object (UTF-8), the same in every attempt.
    body: bytes
    #: Which attempt it is, from 1.
    attempt: int


class Sender(Protocol):
    """One kind of channel."""

    async def send(self, destination: Destination, message: Message) -> Outcome:
        """Make one attempt. What goes wrong on the way is an outcome, not an exception."""
        ...
