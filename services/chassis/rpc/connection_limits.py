"""Decides which connections to a gRPC endpoint give way where there are too many."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass, replace
from enum import StrEnum

#: Of the files that a process may open, connections of the gRPC endpoint use at most this part.
_PART_OF_FILES = 0.125


class CutOff(StrEnum):
    """Why a connection is closed."""

    #: Its address has made far too many calls that were refused.
    REFUSALS = "REFUSALS"
    #: Its address has too many connections.
    ADDRESS = "ADDRESS"
    #: There are too many connections in total.
    CONNECTIONS = "CONNECTIONS"


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectionLimits:
    """The limits of the connections to one endpoint."""

    #: The most connections.
    connections: int
    #: The most connections of one address; 0 = as many as there are at all.
    per_address: int

    def within_files(self, files: int) -> ConnectionLimits:
        """Return these limits, with no more connections than a process with `files` files can have.

        Where they have to be lowered, that of one address is lowered in proportion.
        """
        most = max(1, int(files * _PART_OF_FILES))
        if self.connections <= most:
            return self
        share = math.ceil(self.per_address * most / self.connections)
        return replace(self, connections=most, per_address=share)

    @property
    def lowest(self) -> int:
        """With so few connections no limit of their number is exceeded."""
        return min(self.connections, self.per_address or self.connections)


@dataclass(frozen=True, slots=True)
class OpenConnection:
    """An open connection, as far as the limits look at it."""

    #: The other end, with its port.
    peer: str
    #: The group of its address; empty = it belongs to a trusted proxy, and counts in total only.
    address: str
    #: When it was first seen, seconds of any clock that never goes back.
    since: float
    #: Whether one of its calls had a valid key.
    admitted: bool = False
    #: Whether it takes part in a flood of calls that are refused.
    floods: bool = False
    #: The bytes that have arrived, while no call was admitted.
    received: int = 0


def excess(
    connections: Collection[OpenConnection], limits: ConnectionLimits
) -> dict[OpenConnection, CutOff]:
    """Return the connections to close, with the reason of each; the rest is within the limits.

    A connection without an admitted call gives way first, the one that is open for longest before
    the others: an honest client makes its call as soon as it is connected. Of those with an
    admitted call the newest gives way, as if it had been refused.
    """
    closed: dict[OpenConnection, CutOff] = {}
    remaining = []
    for connection in sorted(connections, key=_gives_way):
        if connection.floods:
            closed[connection] = CutOff.REFUSALS
        else:
            remaining.append(connection)
    if limits.per_address:
        above = Counter(each.address for each in remaining if each.address)
        for address in above:
            above[address] -= limits.per_address
        for connection in remaining:
            if above[connection.address] > 0:
                above[connection.address] -= 1
                closed[connection] = CutOff.ADDRESS
    surplus = len(connections) - len(closed) - limits.connections
    for connection in remaining:
        if surplus <= 0:
            break
        if connection not in closed:
            surplus -= 1
            closed[connection] = CutOff.CONNECTIONS
    return closed


def far_above_share(connections: Collection[OpenConnection], limits: ConnectionLimits) -> set[str]:
    """Return the addresses that have more than twice the connections that they may have."""
    if not limits.per_address:
        return set()
    counts = Counter(each.address for each in connections if each.address)
    return {address for address, count in counts.items() if count > 2 * limits.per_address}


def _gives_way(connection: OpenConnection) -> tuple[bool, float]:
    since = connection.since
    return (True, -since) if connection.admitted else (False, since)
