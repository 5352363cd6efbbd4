"""A subscription that delivers the messages that a test chooses."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from services.chassis.messaging.stream import StreamMessage
from services.chassis.messaging.subscription import PullSubscription, ReceivedMessage

#: (first, next, too large for the bus), or None for a silence.
Range = tuple[int, int, bool]


class FakeSubscription(PullSubscription):
    """Delivers messages of these ranges, in this order, and then nothing."""

    def __init__(
        self, ranges: Sequence[Range | None], payload: Callable[[int, int], bytes]
    ) -> None:
        self._ranges = list(ranges)
        self._payload = payload
        #: The reply subjects of the acknowledged messages: "reply <next>".
        self.acked: list[str] = []
        #: The life of the messages to come, and how many of another one were found.
        self.life = 0
        self.other_lives = 0

    async def wait(self, timeout: float) -> ReceivedMessage | None:
        if self._ranges and self._ranges[0] is None:
            self._ranges.pop(0)
            return None
        return self.peek()

    def interrupt(self) -> None:
        """Nothing waits here."""

    def peek(self) -> ReceivedMessage | None:
        if not self._ranges or self._ranges[0] is None:
            return None
        first, end, is_claim_check = self._ranges[0]
        payload = b"" if is_claim_check else self._payload(first, end)
        message = StreamMessage(first, end, payload, self.life)
        return ReceivedMessage(message, f"reply {end}", is_claim_check)

    def high_water_mark(self, at: int) -> int:
        return max([at, *(each[1] for each in self._ranges if each)])

    def note_other_life(self) -> None:
        self.other_lives += 1

    def pop(self) -> None:
        self._ranges.pop(0)

    async def ack(self, received: ReceivedMessage) -> None:
        self.acked.append(received.reply)
