"""Bounds how many things each holder has at once."""

from __future__ import annotations


class Slots:
    """Counts what each holder holds; a holder that holds nothing takes no memory."""

    def __init__(self) -> None:
        self._held: dict[str, int] = {}

    def __len__(self) -> int:
        """Return the number of holders."""
        return len(self._held)

    def held(self, holder: str) -> int:
        """Return how many slots a holder has."""
        return self._held.get(holder, 0)

    def take(self, holder: str, limit: int) -> bool:
        """Give a holder one more slot; False if it has `limit` already."""
        held = self._held.get(holder, 0)
        if held >= limit:
            return False
        self._held[holder] = held + 1
        return True

    def give_back(self, holder: str) -> None:
        """Take one slot from a holder. Raises KeyError if it has none."""
        held = self._held[holder]
        if held == 1:
            del self._held[holder]
        else:
            self._held[holder] = held - 1
