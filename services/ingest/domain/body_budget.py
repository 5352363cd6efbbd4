"""Shares the memory for bodies in flight, so that no caller starves another one of it."""

from __future__ import annotations

from collections import Counter

#: Of the whole budget, what senders without a known key have together, and what one key may have.
STRANGERS_PART, KEY_PART = 1 / 8, 1 / 2
#: Holds the bytes of all senders whose key is not known yet.
STRANGERS = ""


class BodyBudget:
    """Counts the bytes of the bodies that are received, decompressed or handled.

    Senders without a known key share a small part, and one key has at most half: so neither of
    them leaves another key without memory.
    """

    def __init__(self, size_bytes: int) -> None:
        self._size = size_bytes
        self._held: Counter[str] = Counter()
        #: The bytes that all senders hold together.
        self.held_bytes = 0

    def take(self, holder: str, size: int) -> bool:
        """Take bytes for a key or for STRANGERS; return whether there were enough."""
        part = KEY_PART if holder else STRANGERS_PART
        is_free = (
            self.held_bytes + size <= self._size and self._held[holder] + size <= self._size * part
        )
        if is_free:
            self.held_bytes += size
            self._held[holder] += size
        return is_free

    def give(self, holder: str, size: int) -> None:
        """Return bytes that were taken."""
        self.held_bytes -= size
        self._held[holder] -= size
        if not self._held[holder]:
            del self._held[holder]


class Reservation:
    """The bytes that one request has taken of a budget."""

    def __init__(self, budget: BodyBudget, holder: str = STRANGERS) -> None:
        self._budget = budget
        self._holder = holder
        self.size = 0

    def add(self, size: int) -> bool:
        """Take further bytes; return whether there were enough."""
        has_taken = self._budget.take(self._holder, size)
        if has_taken:
            self.size += size
        return has_taken

    def move_to(self, holder: str) -> bool:
        """Let another holder have the bytes; return whether its part is large enough for them."""
        if self.size:
            if not self._budget.take(holder, self.size):
                return False
            self._budget.give(self._holder, self.size)
        self._holder = holder
        return True

    def end(self) -> None:
        """Return all bytes."""
        if self.size:
            self._budget.give(self._holder, self.size)
            self.size = 0
