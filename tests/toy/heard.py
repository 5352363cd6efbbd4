"""A tail that has heard what a test wants it to have heard."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from services.chassis.messaging.stream import StreamMessage
from services.chassis.messaging.subscription import PullSubscription, ReceivedMessage

#: (first, next, too large for the bus), or None for a silence.
Range = tuple[int, int, bool]


class HeardTail(PullSubscription):
    """Gives messages of these ranges, in this order, and then silence."""

    def __init__(
        self, ranges: Sequence[Range | None], payload: Callable[[int, int], bytes]
    ) -> None:
        self._ranges = list(ranges)
        self._payload = payload
        #: Where was acknowledged: "reply <next>".
        self.acked: list[str] = []

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
        first, until, absent = self._ranges[0]
        payload = b"" if absent else self._payload(first, until)
        return ReceivedMessage(StreamMessage(first, until, payload), f"reply {until}", absent)

    def high_water_mark(self, at: int) -> int:
        return max([at, *(heard[1] for heard in self._ranges if heard)])

    def pop(self) -> None:
        self._ranges.pop(0)

    async def ack(self, heard: ReceivedMessage) -> None:
        self.acked.append(heard.reply)
