"""Tokens: a state of the event log as one offset per shard."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import zip_longest


@dataclass(frozen=True, slots=True)
class Token:
    """Everything before `offsets[shard]` in each shard; missing shards stand at 0."""

    offsets: tuple[int, ...] = ()

    def includes(self, other: Token) -> bool:
        """Whether this state includes the other one."""
        return all(a >= b for a, b in zip_longest(self.offsets, other.offsets, fillvalue=0))

    def union(self, other: Token) -> Token:
        """The smallest state that includes both."""
        pairs = zip_longest(self.offsets, other.offsets, fillvalue=0)
        return Token(tuple(max(a, b) for a, b in pairs))

    def offset(self, shard: int) -> int:
        """The offset of a shard."""
        return self.offsets[shard] if shard < len(self.offsets) else 0

    @staticmethod
    def from_offsets(by_shard: dict[int, int]) -> Token:
        """The token of these offsets by shard."""
        if not by_shard:
            return Token()
        return Token(tuple(by_shard.get(s, 0) for s in range(max(by_shard) + 1)))

    def __str__(self) -> str:
        return ".".join(map(str, self.offsets)) or "0"

    @staticmethod
    def parse(text: str) -> Token:
        """The token that `str` wrote.

        Raises ValueError where the text is no token.
        """
        offsets = tuple(int(part) for part in text.split("."))
        if any(offset < 0 for offset in offsets):
            raise ValueError("a token has offsets from 0 on")
        return Token(offsets)
