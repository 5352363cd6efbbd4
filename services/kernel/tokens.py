"""Represents a state of the event log as one offset per shard."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import zip_longest


@dataclass(frozen=True, slots=True)
class Token:
    """All facts before `offsets[shard]` in each shard; a missing shard has the offset 0."""

    offsets: tuple[int, ...] = ()

    def includes(self, other: Token) -> bool:
        """Return whether this state includes the other one."""
        return all(a >= b for a, b in zip_longest(self.offsets, other.offsets, fillvalue=0))

    def union(self, other: Token) -> Token:
        """Return the smallest state that includes both."""
        pairs = zip_longest(self.offsets, other.offsets, fillvalue=0)
        return Token(tuple(max(a, b) for a, b in pairs))

    def offset(self, shard: int) -> int:
        """Return the offset of a shard."""
        return self.offsets[shard] if shard < len(self.offsets) else 0

    @staticmethod
    def from_offsets(by_shard: dict[int, int]) -> Token:
        """Return the token of offsets by shard."""
        if not by_shard:
            return Token()
        return Token(tuple(by_shard.get(s, 0) for s in range(max(by_shard) + 1)))

    def __str__(self) -> str:
        """Return the only text form of a token, such as `12.0.7.31`; `parse` reads it."""
        return ".".join(map(str, self.offsets)) or "0"

    @staticmethod
    def parse(text: str) -> Token:
        """Return the token of a text. Raises ValueError if it is none."""
        offsets = text.split(".")
        if not all(part.isascii() and part.isdecimal() for part in offsets):
            raise ValueError("a token has one offset a shard, such as 12.0.7.31")
        return Token(tuple(map(int, offsets)))
