"""The channels: each sends a message and returns the result of the attempt."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from services.activation.domain.model import Destination
from services.activation.domain.transitions import AttemptResult


@dataclass(frozen=True, slots=True)
class Message:
    """The message of one attempt."""

    #: The idempotency key: 32 hexadecimal digits, the same in every attempt.
    key: str
    #: A JSON object (UTF-8), the same in every attempt.
    payload: bytes
    #: The number of the attempt, from 1.
    attempt: int


class Sender(Protocol):
    """One kind of channel."""

    async def send(self, destination: Destination, message: Message) -> AttemptResult:
        """Make one attempt. Errors of the channel become a result; they are not raised."""
