"""Prevents SSRF: only public addresses may be dialled unless private targets are allowed."""

from __future__ import annotations

import asyncio
import re
import socket
from concurrent.futures import ThreadPoolExecutor
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import Any

from aiohttp.abc import AbstractResolver, ResolveResult
from yarl import URL

Address = IPv4Address | IPv6Address

#: Concurrent DNS lookups; a name server that hangs blocks one of them.
LOOKUP_THREADS = 32

#: The part of IPv6 that is assigned to hosts of the internet.
_UNICAST = IPv6Network("2000::/3")
#: NAT64: an IPv6 address that contains the IPv4 address it leads to.
_TRANSLATED = IPv6Network("64:ff9b::/96")
#: Looks public but serves metadata inside the network of a cloud.
_CLOUD_METADATA = frozenset({IPv4Address("168.63.129.16")})
#: Anycast relays of 6to4.
_RELAYS = IPv4Network("192.88.99.0/24")
#: One part of an IPv4 address as resolvers accept it: decimal, octal or hexadecimal.
_PART = re.compile(r"0[xX][0-9a-fA-F]+|[0-9]+")


class PrivateAddressError(OSError):
    """A host is, or resolves to, an address that is not public."""

    def __init__(self) -> None:
        super().__init__("the host has an address that is not public")


def is_public(address: Address) -> bool:
    """Return whether an address is public; an IPv6 address that embeds IPv4 is judged by it."""
    if isinstance(address, IPv4Address):
        special = address.is_multicast or address in _CLOUD_METADATA or address in _RELAYS
        return address.is_global and not special
    embedded = address.ipv4_mapped or address.sixtofour
    if embedded is None and address in _TRANSLATED:
        embedded = IPv4Address(int(address) & 0xFFFF_FFFF)
    if embedded is not None:
        return is_public(embedded)
    return address.is_global and address in _UNICAST


def address_of(host: str) -> Address | None:
    """Return the address that a host spells out in any form resolvers accept; None for a name."""
    bare = host.rstrip(".").partition("%")[0]
    try:
        return ip_address(bare)
    except ValueError:
        return _loose_ipv4(bare)


def reject_private(url: str) -> None:
    """Check that the host of a URL is a name or a public address.

    Raises PrivateAddressError, or ValueError where the URL is malformed.
    """
    # Parses like the HTTP client, which normalises full-width digits and the like.
    address = address_of(URL(url).raw_host or "")
    if address is not None and not is_public(address):
        raise PrivateAddressError


def connect_public(info: Any) -> socket.socket:
    """Return a socket for an address (from getaddrinfo) that is about to be dialled.

    Raises PrivateAddressError. This is the last check: a name may resolve to another address than
    it did before, and this is the address that the connection goes to.
    """
    family, kind, protocol, _, sockaddr = info
    if not is_public(ip_address(str(sockaddr[0]).partition("%")[0])):
        raise PrivateAddressError
    return socket.socket(family, kind, protocol)


def _loose_ipv4(host: str) -> IPv4Address | None:
    """Parse forms such as 2130706433, 0x7f.1 and 0177.0.0.1; each part but the last is a byte."""
    parts = host.split(".")
    if len(parts) > 4 or not all(map(_PART.fullmatch, parts)):
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


class Resolver(AbstractResolver):
    """Looks names up in its own threads, so that a slow lookup blocks no other work."""

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(LOOKUP_THREADS, thread_name_prefix="lookup")

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """Return every address of the host. Raises OSError."""
        entries = await asyncio.get_running_loop().run_in_executor(
            self._threads, _getaddrinfo, host, port, family
        )
        flags = socket.AI_NUMERICHOST | socket.AI_NUMERICSERV
        return [
            ResolveResult(
                hostname=host, host=address[0], port=port, family=found, proto=proto, flags=flags
            )
            for found, _, proto, _, address in entries
        ]

    async def close(self) -> None:
        """Shut down without waiting for running lookups."""
        self._threads.shutdown(wait=False, cancel_futures=True)


class PublicResolver(AbstractResolver):
    """Resolves names, and rejects those with an address that is not public."""

    def __init__(self, inner: AbstractResolver) -> None:
        self._inner = inner

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """Return every address of the host. Raises PrivateAddressError."""
        found = await self._inner.resolve(host, port, family)
        if not all(is_public(ip_address(f["host"].partition("%")[0])) for f in found):
            raise PrivateAddressError
        return found

    async def close(self) -> None:
        await self._inner.close()


def _getaddrinfo(host: str, port: int, family: int) -> list[Any]:
    try:
        return socket.getaddrinfo(
            host, port, family=family, type=socket.SOCK_STREAM, flags=socket.AI_ADDRCONFIG
        )
    except UnicodeError as error:
        raise OSError("the name is not a valid host name") from error
