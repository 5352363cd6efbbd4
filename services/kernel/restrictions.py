"""Restricts the use of a key to the origins of web pages, and to network addresses."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Final, NamedTuple, TypeVar

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network
T = TypeVar("T")

#: The longest text that can be an origin: a scheme, a host name and a port.
_MAX_ORIGIN = 300
_LABEL = r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?"
_NAME = re.compile(rf"{_LABEL}(?:\.{_LABEL})*\.?")
_ORIGIN = re.compile(
    r"(?P<scheme>[a-z][a-z0-9+.-]{0,30})://(?P<wildcard>\*\.)?"
    r"(?P<host>\[[0-9a-f:.]{2,45}\]|[a-z0-9_.-]{1,253})(?::(?P<port>[0-9]{1,5}))?"
)
_DEFAULT_PORTS = {"http": 80, "https": 443}
#: A mapped IPv4 address is the IPv4 address in the last 32 bits of an address of this network.
_MAPPED = IPv6Network("::ffff:0:0/96")


class Peer(NamedTuple):
    """Where a call comes from, as far as its endpoint knows."""

    #: The network address of the caller; empty = not known.
    address: str = ""
    #: The `Origin` header of an HTTP request; empty = it has none.
    origin: str = ""
    #: When a message arrived that has waited since, such as in a stream of NATS, Unix microseconds;
    #: 0 = now. A key must not have expired then.
    arrived_at_us: int = 0


#: The peer of an endpoint that knows no address, such as NATS.
UNKNOWN_PEER: Final = Peer()


class Origin(NamedTuple):
    """The origin of a web page, or with `subdomains` the origins below a domain."""

    scheme: str
    #: In lower case, without a trailing dot; IPv6 in brackets and in its shortest form.
    host: str
    port: int
    subdomains: bool = False

    def matches(self, origin: Origin) -> bool:
        """Return whether an origin without `subdomains` is this one, or one of these."""
        if (self.scheme, self.port) != (origin.scheme, origin.port):
            return False
        if self.subdomains:
            return origin.host.endswith(f".{self.host}")
        return self.host == origin.host


def parse_origin(text: str) -> Origin:
    """Return the origin in a text such as `https://shop.example` or `https://*.shop.example`.

    Case, a default port and a trailing dot of the host do not matter. Raises ValueError, which
    states the correct form.
    """
    is_short_ascii = len(text) <= _MAX_ORIGIN and text.isascii()
    match = _ORIGIN.fullmatch(text.lower()) if is_short_ascii else None
    if match is None:
        raise ValueError(
            "write an origin as https://shop.example, https://shop.example:8443 or, for all its"
            " subdomains, https://*.shop.example; without a path, and names beyond ASCII as xn--…"
        )
    host, subdomains = _host(match["host"]), match["wildcard"] is not None
    last_label = host.rpartition(".")[2]
    if subdomains and ("." not in host or host.startswith("[") or last_label.isdigit()):
        raise ValueError(
            "a wildcard needs a domain of two parts at least, as in https://*.a.example"
        )
    port = int(match["port"] or _DEFAULT_PORTS.get(match["scheme"], 0))
    if port > 65_535:
        raise ValueError("a port is at most 65535")
    return Origin(match["scheme"], host, port, subdomains)


def _host(text: str) -> str:
    if text.startswith("["):
        try:
            return f"[{IPv6Address(text[1:-1])}]"
        except ValueError:
            raise ValueError("the address in brackets is no IPv6 address") from None
    if not _NAME.fullmatch(text):
        raise ValueError("the host is no host name")
    return text.removesuffix(".")


def parse_network(text: str) -> Network:
    """Return the network in a text such as `203.0.113.7`, `203.0.113.0/24` or `2001:db8::/32`.

    A network of mapped IPv4 addresses becomes that of the IPv4 addresses. Raises ValueError, which
    states the correct form.
    """
    try:
        network = ip_network(text)
    except ValueError:
        raise ValueError(
            "write an address or a network, such as 203.0.113.7, 203.0.113.0/24 or 2001:db8::/32;"
            " all bits behind the length are 0"
        ) from None
    if isinstance(network, IPv6Network) and network.subnet_of(_MAPPED):
        start = int(network.network_address) & 0xFFFF_FFFF
        return IPv4Network((start, network.prefixlen - 96))
    return network


def parse_address(text: str) -> Address | None:
    """Return the address in a text; None if there is none.

    A mapped IPv4 address becomes the IPv4 address, and the zone of an IPv6 address is dropped.
    """
    try:
        address = ip_address(text.partition("%")[0])
    except ValueError:
        return None
    return (isinstance(address, IPv6Address) and address.ipv4_mapped) or address


class Restrictions(NamedTuple):
    """Where the holder of a key may call from."""

    #: None = from any page, and from programs; otherwise only from pages with one of these origins.
    origins: tuple[Origin, ...] | None = None
    #: None = from any address; otherwise only from addresses in one of these networks.
    networks: tuple[Network, ...] | None = None

    @classmethod
    def load(cls, origins: Iterable[str], networks: Iterable[str]) -> Restrictions:
        """Return the restrictions that a definition lists; an empty list restricts nothing.

        An entry that cannot be parsed matches nothing: it never widens what a key may do.
        """
        origins, networks = list(origins), list(networks)
        if not origins and not networks:
            return NO_RESTRICTIONS
        return cls(
            tuple(_parsed(parse_origin, origins)) if origins else None,
            tuple(_parsed(parse_network, networks)) if networks else None,
        )

    def allow_origin(self, origin: str) -> bool:
        """Return whether the `Origin` header of a request is allowed; empty = it has none.

        `null`, which pages without an origin send (files, sandboxed frames), is no origin that can
        be allowed, because any page can send it.
        """
        if self.origins is None:
            return True
        try:
            found = parse_origin(origin)
        except ValueError:
            return False
        return not found.subdomains and any(allowed.matches(found) for allowed in self.origins)

    def allow_address(self, address: str) -> bool:
        """Return whether a network address is allowed; empty = it is not known."""
        if self.networks is None:
            return True
        found = parse_address(address)
        return found is not None and any(found in network for network in self.networks)


def _parsed(parse: Callable[[str], T], texts: Iterable[str]) -> Iterator[T]:
    for text in texts:
        try:
            yield parse(text)
        except ValueError:
            continue


NO_RESTRICTIONS: Final = Restrictions()
