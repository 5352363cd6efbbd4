"""Chains the entries of an audit, so that an entry that is removed or edited breaks the chain.

The hash of an entry covers the hash of the entry before it. A chain that was cut at its end, or
computed again as a whole, is found by a checkpoint: a number and a hash that are stored elsewhere.
"""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import sha256
from typing import Final, NamedTuple

import msgspec

#: The hash before the first entry.
FIRST_HASH: Final = bytes(32)


class AuditEntry(NamedTuple):
    """What a key did, or read of people."""

    #: When, microseconds since 1970 by the clock of the server.
    at_us: int
    key_id: str
    #: The number of the key's role.
    role: int
    #: The path of the method, such as `/onefold.profile.v1.ProfileService/GetProfile`.
    method: str
    #: `OK`, or the reason of the error.
    outcome: str
    #: What an administrative act was about, such as `source_id:web`.
    target: str = ""
    #: The profiles that were read: 16 bytes each, one after another.
    profile_ids: bytes = b""
    #: The namespaces and names of the values that were read, sorted.
    names: tuple[str, ...] = ()
    #: How many values were read.
    value_count: int = 0
    #: The highest class of values that was shown; 0 = the call read none.
    visible: int = 0
    #: Why the caller unmasked; empty = it did not.
    reason: str = ""


class ChainedEntry(NamedTuple):
    """An entry with its place in the chain of a workspace."""

    #: Counts from 1.
    number: int
    entry: AuditEntry
    hash: bytes


class ChainEnd(NamedTuple):
    """The end of a chain at some time."""

    #: The number of the last entry; 0 = there is none.
    number: int = 0
    hash: bytes = FIRST_HASH


def next_hash(previous: bytes, chain: str, number: int, entry: AuditEntry) -> bytes:
    """Return the hash of an entry. `chain`: the service and the workspace."""
    encoded = msgspec.msgpack.encode((chain, number, *entry))
    return sha256(previous + encoded).digest()


def chained(last: ChainEnd, chain: str, entries: Iterable[AuditEntry]) -> list[ChainedEntry]:
    """Return entries that follow the last one of a chain."""
    found, (number, previous) = [], last
    for entry in entries:
        number += 1
        previous = next_hash(previous, chain, number, entry)
        found.append(ChainedEntry(number, entry, previous))
    return found


class ChainVerifier:
    """Verifies a chain from its first entry on, page by page, against checkpoints."""

    def __init__(self, chain: str, checkpoints: Iterable[ChainEnd] = ()) -> None:
        self._chain = chain
        self._expected: dict[int, set[bytes]] = {}
        for each in checkpoints:
            if each.number:
                self._expected.setdefault(each.number, set()).add(each.hash)
        self._last = ChainEnd()
        #: What is wrong, as sentences; empty = nothing so far.
        self.problems: list[str] = []

    @property
    def last(self) -> ChainEnd:
        """The last entry that was verified."""
        return self._last

    def add(self, entries: Iterable[ChainedEntry]) -> None:
        """Verify the entries that follow the last ones."""
        for number, entry, stored in entries:
            expected = self._last.number + 1
            if number != expected:
                missing = f"{expected} to {number - 1}" if number > expected else f"{number}"
                self._report(f"entries {missing} are missing or out of order")
            elif next_hash(self._last.hash, self._chain, number, entry) != stored:
                self._report(f"entry {number} was edited, or the one before it was removed")
            self._last = ChainEnd(number, stored)
            if self._expected.pop(number, {stored}) != {stored}:
                self._report(f"entry {number} is not the one of the checkpoint")

    def end(self, head: ChainEnd) -> None:
        """Verify the end of the chain. `head`: what the service stores as its end."""
        if head != self._last:
            self._report(f"the chain ends at entry {self._last.number}, not at {head.number}")
        for number in sorted(self._expected):
            self._report(f"entry {number} of a checkpoint is missing: the end was cut off")

    def _report(self, problem: str) -> None:
        self.problems.append(problem)
