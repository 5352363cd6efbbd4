"""Finds the address of a client, also behind proxies, and the group that its limits count."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import TypeAlias

Network: TypeAlias = IPv4Network | IPv6Network

#: A host has this much of IPv6 for itself, so addresses within it count as one.
_HOST_PREFIX = 64
#: The most entries of an X-Forwarded-For header that are read, from its end.
_MAX_HOPS = 16


def parse_networks(text: str) -> tuple[Network, ...]:
    """Return addresses and networks such as `10.0.0.0/8, ::1`. Raises ValueError."""
    return tuple(ip_network(part.strip()) for part in text.split(",") if part.strip())


@lru_cache(maxsize=4096)
def address_group(address: str) -> str:
    """Return the part of an address that limits count: IPv4 whole, IPv6 its first 64 bits.

    Empty where the text is no address, as for a Unix socket.
    """
    try:
        parsed = ip_address(address.partition("%")[0])
    except ValueError:
        return ""
    if isinstance(parsed, IPv6Address):
        if parsed.ipv4_mapped is not None:
            return str(parsed.ipv4_mapped)
        network = IPv6Network((int(parsed) >> _HOST_PREFIX << _HOST_PREFIX, _HOST_PREFIX))
        return str(network.network_address)
    return str(parsed)


def client_address(peer: str, forwarded_for: str, proxies: Sequence[Network]) -> str:
    """Return the address of the client that sent a request through any number of proxies.

    `peer` is the address of the connection. `forwarded_for`, the header X-Forwarded-For, counts
    only where `peer` is in `proxies`: its last entry that is not one of them is the client.
    Everything before that entry is the client's own statement, and ignored.
    """
    if not proxies or not is_within(peer, proxies):
        return peer
    client = peer
    for entry in reversed(forwarded_for.split(",")[-_MAX_HOPS:]):
        address = entry.strip()
        if not address_group(address):
            break
        client = address
        if not is_within(address, proxies):
            break
    return client


def is_within(address: str, networks: Sequence[Network]) -> bool:
    """Return whether an address lies in one of some networks; False for a text that is none."""
    try:
        parsed = ip_address(address)
    except ValueError:
        return False
    if isinstance(parsed, IPv6Address) and parsed.ipv4_mapped is not None:
        parsed = parsed.ipv4_mapped
    return any(parsed in network for network in networks)
