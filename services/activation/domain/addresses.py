"""Decides which IP addresses are public, from an own list of special-purpose networks."""

from __future__ import annotations

import re
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import TypeAlias

Address: TypeAlias = IPv4Address | IPv6Address

#: The IANA IPv4 special-purpose registry, multicast, and one address of a cloud. The list is our
#: own, as the answer of `ipaddress` depends on the version of Python. Networks that the registry
#: calls globally reachable (AS112, AMT, anycast of PCP and TURN) are included: none has webhooks.
SPECIAL_IPV4 = tuple(
    map(
        IPv4Network,
        (
            "0.0.0.0/8",  # this network
            "10.0.0.0/8",  # private
            "100.64.0.0/10",  # shared by carriers; metadata of a cloud
            "127.0.0.0/8",  # loopback
            "168.63.129.16/32",  # looks public, but serves metadata inside a cloud
            "169.254.0.0/16",  # link-local; metadata of most clouds
            "172.16.0.0/12",  # private
            "192.0.0.0/24",  # protocol assignments; metadata of a cloud
            "192.0.2.0/24",  # documentation
            "192.31.196.0/24",  # AS112
            "192.52.193.0/24",  # AMT
            "192.88.99.0/24",  # relays of 6to4
            "192.168.0.0/16",  # private
            "192.175.48.0/24",  # AS112
            "198.18.0.0/15",  # benchmarks
            "198.51.100.0/24",  # documentation
            "203.0.113.0/24",  # documentation
            "224.0.0.0/4",  # multicast
            "240.0.0.0/4",  # reserved, and broadcast
        ),
    )
)
#: The only part of IPv6 that is assigned to hosts of the internet.
UNICAST_IPV6 = IPv6Network("2000::/3")
#: The special-purpose networks within that part.
SPECIAL_IPV6 = tuple(
    map(
        IPv6Network,
        (
            "2001::/23",  # protocol assignments: Teredo, ORCHID, benchmarks, AMT, AS112, drones
            "2001:db8::/32",  # documentation
            "2002::/16",  # 6to4: leads to an IPv4 address that no resolver checks
            "2620:4f:8000::/48",  # AS112
            "3fff::/20",  # documentation
        ),
    )
)
#: Networks whose addresses end with the IPv4 address that they lead to: mapped, and NAT64.
EMBEDDING_IPV6 = (IPv6Network("::ffff:0:0/96"), IPv6Network("64:ff9b::/96"))

#: One part of an IPv4 address as resolvers accept it: decimal, octal or hexadecimal.
_PART = re.compile(r"0[xX][0-9a-fA-F]+|[0-9]+")


def is_public(address: Address) -> bool:
    """Return whether hosts of the internet may have an address.

    An address that embeds an IPv4 address is judged by it. A zone (`%eth0`) changes nothing.
    """
    if isinstance(address, IPv4Address):
        return not any(address in network for network in SPECIAL_IPV4)
    plain = IPv6Address(int(address))
    if any(plain in network for network in EMBEDDING_IPV6):
        return is_public(IPv4Address(int(plain) & 0xFFFF_FFFF))
    return plain in UNICAST_IPV6 and not any(plain in network for network in SPECIAL_IPV6)


def unmapped(address: Address) -> Address:
    """Return the IPv4 address of a mapped one (`::ffff:1.2.3.4`), and others without their zone."""
    if isinstance(address, IPv6Address):
        plain = IPv6Address(int(address))
        return plain if plain.ipv4_mapped is None else plain.ipv4_mapped
    return address


def address_of(host: str) -> Address | None:
    """Return the address that a host spells out in any form resolvers accept; None for a name."""
    bare = host.rstrip(".").partition("%")[0]
    try:
        return ip_address(bare)
    except ValueError:
        return _loose_ipv4(bare)


def _loose_ipv4(host: str) -> IPv4Address | None:
    """Parse forms such as 2130706433, 0x7f.1 and 0177.0.0.1; each part but the last is a byte."""
    parts = host.split(".")
    if len(parts) > 4 or not all(map(_PART.fullmatch, parts)):
        return None
    # Leading zeros apart, no part of an address is longer; int() of a long text is expensive.
    if any(len(part.lstrip("0xX")) > 11 for part in parts):
        return None
    *heads, last = map(_number, parts)
    if any(n > 255 for n in heads) or last >= 256 ** (4 - len(heads)):
        return None
    return IPv4Address(sum(n << (24 - 8 * i) for i, n in enumerate(heads)) + last)


def _number(part: str) -> int:
    if part[:2] in ("0x", "0X"):
        return int(part[2:], 16)
    is_octal = part.startswith("0") and not set(part) & set("89")
    return int(part, 8 if is_octal else 10)
