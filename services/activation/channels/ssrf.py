"""Which addresses are of the open internet: the others are not reached for those who may not."""

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

#: Names that are looked up at once: a name server that hangs holds one, and not the others.
LOOKUPS = 32

#: All of IPv6 that is given out to hosts of the internet.
_UNICAST = IPv6Network("2000::/3")
#: IPv6 forms of an IPv4 address, which tells where they lead: translated, and behind a relay.
_TRANSLATED = IPv6Network("64:ff9b::/96")
#: Answers inside a cloud's network with what its machines may know, though it looks public.
_OF_CLOUDS = frozenset({IPv4Address("168.63.129.16")})
_RELAYS = IPv4Network("192.88.99.0/24")
#: One part of an IPv4 address as resolvers take it: decimal, octal, hexadecimal.
_PART = re.compile(r"0[xX][0-9a-fA-F]+|[0-9]+")


class PrivateAddress(OSError):
    """A host is, or resolves to, an address that is not to be reached."""

    def __init__(self) -> None:
        super().__init__("the host has an address that is not public")


def is_public(address: Address) -> bool:
    """Whether an address is of the open internet, seen through IPv4 inside IPv6."""
    if isinstance(address, IPv4Address):
        odd = address.is_multicast or address in _OF_CLOUDS or address in _RELAYS
        return address.is_global and not odd
    inner = address.ipv4_mapped or address.sixtofour
    if inner is None and address in _TRANSLATED:
        inner = IPv4Address(int(address) & 0xFFFF_FFFF)
    if inner is not None:
        return is_public(inner)
    return address.is_global and address in _UNICAST


def address_of(host: str) -> Address | None:
    """The address that a host spells out, in any form that a resolver takes; None for a name."""
    bare = host.rstrip(".").partition("%")[0]
    try:
        return ip_address(bare)
    except ValueError:
        return _loose_ipv4(bare)


def refuse_private(url: str) -> None:
    """Raises PrivateAddress where the host of a URL is an address that is not public.

    Raises ValueError where the URL cannot be read.
    """
    # As the client reads it: with full-width digits and the like made plain.
    address = address_of(URL(url).raw_host or "")
    if address is not None and not is_public(address):
        raise PrivateAddress


def public_socket(info: Any) -> socket.socket:
    """A socket for an address (as of getaddrinfo) that is about to be dialled.

    Raises PrivateAddress. It is the last door: what a name or a spelling meant before tells
    nothing, this is where the connection goes.
    """
    family, kind, protocol, _, place = info
    if not is_public(ip_address(str(place[0]).partition("%")[0])):
        raise PrivateAddress
    return socket.socket(family, kind, protocol)


def _loose_ipv4(host: str) -> IPv4Address | None:
    """Such as 2130706433, 0x7f.1, 0177.0.0.1: every part but the last is one byte."""
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
    """Looks names up in threads of its own, so that a slow name holds up nobody else."""

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(LOOKUPS, thread_name_prefix="lookup")

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """Every address of the host. Raises OSError."""
        found = await asyncio.get_running_loop().run_in_executor(
            self._threads, _look_up, host, port, family
        )
        return [_result(host, port, entry) for entry in found]

    async def close(self) -> None:
        """Give the threads up, whatever they still wait for."""
        self._threads.shutdown(wait=False, cancel_futures=True)


class PublicResolver(AbstractResolver):
    """Resolves names, and refuses those with an address that is not public."""

    def __init__(self, inner: AbstractResolver) -> None:
        self._inner = inner

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """Every address of the host. Raises PrivateAddress."""
        found = await self._inner.resolve(host, port, family)
        if not all(is_public(ip_address(f["host"].partition("%")[0])) for f in found):
            raise PrivateAddress
        return found

    async def close(self) -> None:
        """Close the resolver."""
        await self._inner.close()


def _look_up(host: str, port: int, family: int) -> list[Any]:
    try:
        return socket.getaddrinfo(
            host, port, family=family, type=socket.SOCK_STREAM, flags=socket.AI_ADDRCONFIG
        )
    except UnicodeError as error:
        raise OSError("the name cannot be looked up") from error


def _result(host: str, port: int, entry: Any) -> ResolveResult:
    family, _, protocol, _, place = entry
    return ResolveResult(
        hostname=host,
        host=place[0],
        port=port,
        family=family,
        proto=protocol,
        flags=socket.AI_NUMERICHOST | socket.AI_NUMERICSERV,
    )
