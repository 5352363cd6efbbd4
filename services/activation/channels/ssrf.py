"""Prevents SSRF: only public addresses are dialled, and private ones that the operator allows."""

from __future__ import annotations

import asyncio
import socket
from concurrent.futures import ThreadPoolExecutor
from ipaddress import ip_address
from typing import Any

from aiohttp.abc import AbstractResolver, ResolveResult
from cachetools import LRUCache
from yarl import URL

from services.activation.domain.addresses import Address, address_of, is_public
from services.activation.domain.targets import AllowedTargets

#: Concurrent DNS lookups; a name server that hangs blocks one of them.
LOOKUP_THREADS = 32
#: Names with a private address that are remembered.
REMEMBERED_NAMES = 10_000


class PrivateAddressError(OSError):
    """A host is, or resolves to, an address that may not be dialled."""

    def __init__(self) -> None:
        super().__init__("the host has an address that is not public")


def host_and_port(url: str) -> tuple[str, int]:
    """Return host and port as the HTTP client sees them; it normalises full-width digits and so on.

    Raises ValueError where the URL is malformed.
    """
    parsed = URL(url)
    if not parsed.raw_host or not parsed.port:
        raise ValueError("the URL has no host or no port")
    return parsed.raw_host, parsed.port


class TargetGuard:
    """Decides which addresses may be dialled, in the three places where one becomes known.

    A definition has a URL, a lookup returns addresses, and a connection goes to one of them: a name
    may have another address at each of the three.
    """

    def __init__(self, allowed: AllowedTargets) -> None:
        self._allowed = allowed
        #: Names, with their ports, that had a private address when they were resolved last.
        self._private_names: LRUCache[tuple[str, int], bool] = LRUCache(REMEMBERED_NAMES)

    def check_url(self, url: str) -> None:
        """Check that the host of a URL is a name, or an address that may be dialled.

        Raises PrivateAddressError, or ValueError where the URL is malformed.
        """
        host, port = host_and_port(url)
        address = address_of(host)
        if address is not None and not self._may_dial(address, port):
            raise PrivateAddressError

    def check_addresses(self, host: str, port: int, found: list[ResolveResult]) -> None:
        """Check all addresses of a name. Raises PrivateAddressError."""
        addresses = [ip_address(f["host"].partition("%")[0]) for f in found]
        if not all(self._may_dial(address, port) for address in addresses):
            raise PrivateAddressError
        if all(map(is_public, addresses)):
            self._private_names.pop((host, port), None)
        else:
            self._private_names[host, port] = True

    def open_socket(self, info: Any) -> socket.socket:
        """Return a socket for an address (from getaddrinfo) that is about to be dialled.

        Raises PrivateAddressError.
        """
        family, kind, protocol, _, sockaddr = info
        if not self._may_dial(ip_address(str(sockaddr[0]).partition("%")[0]), sockaddr[1]):
            raise PrivateAddressError
        return socket.socket(family, kind, protocol)

    def is_trusted(self, host: str, port: int) -> bool:
        """Return whether the operator named this host, so that its addresses need no check."""
        return self._allowed.has_name(host, port)

    def is_allowed(self, host: str, port: int) -> bool:
        """Return whether the operator allows a host, public or not, by its name or its address."""
        address = address_of(host)
        if address is None:
            return self._allowed.has_name(host, port)
        return self._allowed.has_address(address, port)

    def hides_reasons(self, host: str, port: int) -> bool:
        """Return whether all failed deliveries to a host get one reason.

        They do where the host is private and allowed together with others: differing reasons would
        show a tenant what is there. Call it after the attempt.
        """
        address = address_of(host)
        if address is None:
            return (host, port) in self._private_names
        return not is_public(address) and not self._allowed.names_exactly(host, port)

    def _may_dial(self, address: Address, port: int) -> bool:
        return is_public(address) or self._allowed.has_address(address, port)


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


class GuardedResolver(AbstractResolver):
    """Resolves names, and rejects those with an address that may not be dialled."""

    def __init__(self, inner: AbstractResolver, guard: TargetGuard) -> None:
        self._inner = inner
        self._guard = guard

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """Return every address of the host. Raises PrivateAddressError."""
        found = await self._inner.resolve(host, port, family)
        self._guard.check_addresses(host, port, found)
        return found

    async def close(self) -> None:
        await self._inner.close()


class TargetDialer:
    """Opens connections to hosts that tenants name, for protocols other than HTTP/1."""

    def __init__(self, guard: TargetGuard, names: AbstractResolver) -> None:
        self.guard = guard
        self._names = names

    async def addresses(self, host: str, port: int) -> list[ResolveResult]:
        """Return the addresses of a host that may be dialled.

        Raises PrivateAddressError where one of them may not be, OSError.
        """
        names = self._names
        if not self.guard.is_trusted(host, port):
            self.guard.check_url(f"http://{f'[{host}]' if ':' in host else host}:{port}")
            names = GuardedResolver(names, self.guard)
        return await names.resolve(host, port)

    async def connect(self, host: str, port: int) -> socket.socket:
        """Return a connected socket. Raises PrivateAddressError, OSError."""
        loop, error = asyncio.get_running_loop(), OSError("the host has no address")
        for found in await self.addresses(host, port):
            connection = socket.socket(found["family"], socket.SOCK_STREAM, found["proto"])
            connection.setblocking(False)
            try:
                await loop.sock_connect(connection, (found["host"], port))
            except OSError as failed:
                connection.close()
                error = failed
            except BaseException:
                connection.close()
                raise
            else:
                return connection
        raise error


def _getaddrinfo(host: str, port: int, family: int) -> list[Any]:
    try:
        return socket.getaddrinfo(
            host, port, family=family, type=socket.SOCK_STREAM, flags=socket.AI_ADDRCONFIG
        )
    except UnicodeError as error:
        raise OSError("the name is not a valid host name") from error
