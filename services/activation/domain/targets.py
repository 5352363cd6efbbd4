"""Defines which private targets of webhooks the operator allows."""

from __future__ import annotations

import re
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import Self, TypeAlias

from services.activation.domain.addresses import Address, address_of, unmapped

Network: TypeAlias = IPv4Network | IPv6Network

#: The ports of an entry that names none.
WEB_PORTS = frozenset({80, 443})
_ENTRY = re.compile(
    r"(?:\[(?P<v6>[0-9a-f:.]+(?:/\d{1,3})?)\]|(?P<host>[a-z0-9._-]+(?:/\d{1,2})?))"
    r"(?::(?P<port>\d{1,5}))?"
)
_BARE_IPV6 = re.compile(r"[0-9a-f.]*:[0-9a-f.]*:[0-9a-f:.]*(?:/\d{1,3})?")


@dataclass(frozen=True, slots=True)
class AllowedTargets:
    """Private hosts and ports that webhooks may reach; public ones need no entry."""

    #: Host names in lower case, each with a port.
    names: frozenset[tuple[str, int]] = frozenset()
    #: Networks, of one address or more, each with its ports.
    networks: tuple[tuple[Network, frozenset[int]], ...] = ()

    @classmethod
    def parse(cls, text: str) -> Self:
        """Parse entries separated by commas: `HOST`, `ADDRESS` or `NETWORK/BITS`, and `:PORT`.

        IPv6 with a port is written in brackets. An entry without a port stands for 80 and 443.
        Raises ValueError, which names the wrong entry.
        """
        names: set[tuple[str, int]] = set()
        networks: list[tuple[Network, frozenset[int]]] = []
        for entry in filter(None, (part.strip() for part in text.split(","))):
            host, ports = _split(entry)
            network = _network(host, entry)
            if network is None:
                names.update((host.rstrip("."), port) for port in ports)
            else:
                networks.append((network, ports))
        return cls(frozenset(names), tuple(networks))

    def has_name(self, host: str, port: int) -> bool:
        """Return whether the operator named a host, so that its addresses need no check."""
        return (host.lower().rstrip("."), port) in self.names

    def has_address(self, address: Address, port: int) -> bool:
        """Return whether an entry includes an address with this port."""
        return any(port in ports for _, ports in self._including(address))

    def names_exactly(self, host: str, port: int) -> bool:
        """Return whether an entry stands for this one host with this port, and for no other host.

        Only then may a tenant see why a delivery failed: a wider entry would let one scan it.
        """
        address = address_of(host)
        if address is None:
            return self.has_name(host, port)
        return any(
            network.num_addresses == 1 and port in ports
            for network, ports in self._including(address)
        )

    def _including(self, address: Address) -> list[tuple[Network, frozenset[int]]]:
        plain = unmapped(address)
        return [
            (network, ports)
            for network, ports in self.networks
            if network.version == plain.version and plain in network
        ]


def _split(entry: str) -> tuple[str, frozenset[int]]:
    lower = entry.lower()
    if _BARE_IPV6.fullmatch(lower):
        return lower, WEB_PORTS
    match = _ENTRY.fullmatch(lower)
    if match is None:
        raise ValueError(
            f"`{entry}` is no allowed target: write host:port, address:port, 10.0.0.0/8:port or"
            " [fd00::/8]:port"
        )
    if match["port"] is None:
        return match["v6"] or match["host"], WEB_PORTS
    port = int(match["port"])
    if not 0 < port < 65_536:
        raise ValueError(f"`{entry}` has no port from 1 to 65535")
    return match["v6"] or match["host"], frozenset({port})


def _network(host: str, entry: str) -> Network | None:
    """Return the network of an address or of `ADDRESS/BITS`; None for a name."""
    address = address_of(host)
    if address is not None:
        return ip_network(str(unmapped(address)))
    if "/" not in host and ":" not in host:
        return None
    try:
        return ip_network(host)
    except ValueError:
        raise ValueError(
            f"`{entry}` is no network: write its first address, a slash and the number of bits,"
            " such as 10.0.0.0/8"
        ) from None
