"""The channels: each sends a message and returns the result of the attempt."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Protocol

from services.activation.domain.contracts import position_at
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
    #: What `Sender.position` returned before the first attempt.
    position: bytes = b""


class Sender(Protocol):
    """One kind of channel; its contract is declared beside its settings."""

    async def position(self, destination: Destination) -> bytes:
        """Return where the messages of attempts that are made from now on begin.

        A channel that finds the message of an interrupted attempt itself searches from there; of
        the others it is the present instant. Errors of the channel are not raised.
        """
        return position_at(time.time())

    async def send(self, destination: Destination, message: Message) -> AttemptResult:
        """Make one attempt. Errors of the channel become a result; they are not raised."""

    async def find(self, destination: Destination, message: Message) -> AttemptResult | None:
        """Return what became of an earlier attempt without an answer; None = nothing was sent.

        Called only for channels that can be queried.
        """
        return None
