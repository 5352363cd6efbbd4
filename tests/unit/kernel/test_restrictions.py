"""Keys can be restricted to origins of web pages and to network addresses."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.kernel.restrictions import (
    NO_RESTRICTIONS,
    Restrictions,
    parse_address,
    parse_network,
    parse_origin,
)

LABELS = st.from_regex(r"[a-z0-9]([a-z0-9-]{0,8}[a-z0-9])?", fullmatch=True)
NAMES = st.lists(LABELS, min_size=2, max_size=4).map(lambda parts: ".".join([*parts, "example"]))
PORTS = st.one_of(st.none(), st.integers(1, 65_535))


def origin(scheme: str, host: str, port: int | None) -> str:
    return f"{scheme}://{host}" + (f":{port}" if port else "")


def only(*origins: str) -> Restrictions:
    return Restrictions.load(origins, ())


def only_from(*networks: str) -> Restrictions:
    return Restrictions.load((), networks)


def test_key_without_restrictions_is_allowed_from_everywhere() -> None:
    assert Restrictions.load((), ()) == NO_RESTRICTIONS
    for text in ("", "null", "https://shop.example", "\0"):
        assert NO_RESTRICTIONS.allow_origin(text)
    for text in ("", "10.0.0.1", "nonsense"):
        assert NO_RESTRICTIONS.allow_address(text)


@given(st.sampled_from(["http", "https", "capacitor"]), NAMES, PORTS)
def test_origin_matches_itself_in_any_case_and_with_a_trailing_dot(
    scheme: str, host: str, port: int | None
) -> None:
    allowed = only(origin(scheme, host, port))
    assert allowed.allow_origin(origin(scheme, host, port))
    assert allowed.allow_origin(origin(scheme, host, port).upper())
    assert allowed.allow_origin(origin(scheme, host + ".", port))
    assert only(origin(scheme, host + ".", port).upper()).allow_origin(origin(scheme, host, port))


@given(NAMES, NAMES, PORTS, PORTS)
def test_origin_with_another_part_is_not_allowed(
    host: str, other: str, port: int | None, other_port: int | None
) -> None:
    allowed = only(origin("https", host, port))
    assert not allowed.allow_origin(origin("http", host, port or 443))
    assert allowed.allow_origin(origin("https", other, port)) == (host == other)
    same_port = (port or 443) == (other_port or 443)
    assert allowed.allow_origin(origin("https", host, other_port)) == same_port
    assert not allowed.allow_origin(origin("https", f"a.{host}", port))
    assert not allowed.allow_origin(origin("https", f"{host}.attacker.example", port))
    assert not allowed.allow_origin(origin("https", f"attacker-{host}", port))


@given(NAMES, LABELS, st.lists(LABELS, max_size=2))
def test_wildcard_matches_all_subdomains_and_not_the_domain(
    host: str, label: str, more: list[str]
) -> None:
    allowed = only(f"https://*.{host}")
    assert allowed.allow_origin("https://" + ".".join([*more, label, host]))
    assert not allowed.allow_origin(f"https://{host}")
    assert not allowed.allow_origin(f"https://{label}-{host}")
    assert not allowed.allow_origin(f"http://{label}.{host}")
    assert not allowed.allow_origin(f"https://{label}.{host}.attacker.example")
    assert not allowed.allow_origin(f"https://*.{host}")


@pytest.mark.parametrize(
    ("pattern", "default"),
    [("https://a.example", "https://a.example:443"), ("http://a.example", "http://a.example:80")],
)
def test_default_port_equals_no_port(pattern: str, default: str) -> None:
    assert only(pattern).allow_origin(default)
    assert only(default).allow_origin(pattern)


def test_origins_of_addresses_are_compared_in_their_shortest_form() -> None:
    assert only("http://[::1]:3000").allow_origin("http://[0:0:0:0:0:0:0:1]:3000")
    assert only("http://127.0.0.1:3000").allow_origin("http://127.0.0.1:3000")
    assert not only("http://[::1]").allow_origin("http://[::2]")


@pytest.mark.parametrize(
    "header",
    [
        *("", "null", "NULL", "*", "https://", "https://a.example/", "https://a.example/path"),
        *(
            "https://user@a.example",
            "https://a.example?",
            "https://a.example#x",
            " https://a.example",
        ),
        *("https://a.example https://b.example", "https://a.example,null", "https://a..example"),
        *("https://a.example:99999", "https://a.example:", "https://[::1", "https://a.example\0"),
        *(
            "//a.example",
            "a.example",
            "https://*.a.example",
            "https://\u212a.example",
            "x" * 10_000,
        ),
    ],
)
def test_header_that_is_no_allowed_origin_is_refused(header: str) -> None:
    allowed = only("https://a.example", "https://*.a.example", "https://k.example")
    assert not allowed.allow_origin(header)


@pytest.mark.parametrize(
    "text",
    [
        *(
            "",
            "*",
            "null",
            "https://*",
            "https://*.example",
            "https://*.10.0.0.1",
            "https://*.[::1]",
        ),
        *("https://a.*.example", "https://a.example/", "a.example", "https://例子.example"),
        *("https://a.example:0x50", "https://a.example:70000", "https://-a.example"),
    ],
)
def test_origin_that_cannot_be_allowed_raises_value_error(text: str) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        parse_origin(text)


@given(st.text())
def test_any_text_as_origin_or_address_is_refused_or_parsed(text: str) -> None:
    assert isinstance(only("https://a.example").allow_origin(text), bool)
    assert isinstance(only_from("10.0.0.0/8").allow_address(text), bool)


V4 = st.integers(0, 2**32 - 1).map(IPv4Address)
V6 = st.integers(0, 2**128 - 1).map(IPv6Address)


@given(V4, st.integers(0, 32), V4)
def test_address_is_allowed_exactly_in_its_network(
    address: IPv4Address, length: int, other: IPv4Address
) -> None:
    network = IPv4Network((address, length), strict=False)
    allowed = only_from(str(network))
    assert allowed.allow_address(str(address))
    assert allowed.allow_address(f"::ffff:{address}")
    assert allowed.allow_address(str(other)) == (other in network)


@given(V4, st.integers(0, 32))
def test_network_of_mapped_addresses_is_that_of_the_ipv4_addresses(
    address: IPv4Address, length: int
) -> None:
    network = IPv4Network((address, length), strict=False)
    mapped = f"::ffff:{network.network_address}/{96 + length}"
    assert parse_network(mapped) == network
    assert only_from(mapped).allow_address(str(address))


@given(V6, st.integers(0, 128), V6)
def test_ipv6_address_is_allowed_exactly_in_its_network(
    address: IPv6Address, length: int, other: IPv6Address
) -> None:
    network = IPv6Network((address, length), strict=False)
    if address.ipv4_mapped or other.ipv4_mapped:
        return
    allowed = only_from(str(network))
    assert allowed.allow_address(str(address))
    assert allowed.allow_address(f"{address}%eth0")
    assert allowed.allow_address(str(other)) == (other in network)


@pytest.mark.parametrize(
    "address", ["", "unknown", "10.0.0.1:80", "[::1]", "localhost", "010.0.0.1", "10.0.0", "::1"]
)
def test_address_that_is_not_known_or_foreign_is_refused(address: str) -> None:
    assert not only_from("10.0.0.0/8").allow_address(address)


@pytest.mark.parametrize(
    "text", ["", "10.0.0.1/8", "10.0.0.0/33", "10.*", "shop.example", "10.0.0"]
)
def test_network_that_cannot_be_parsed_raises_value_error(text: str) -> None:
    with pytest.raises(ValueError, match=r"write an address"):
        parse_network(text)


def test_entries_that_cannot_be_parsed_match_nothing() -> None:
    broken = Restrictions.load(["nonsense"], ["nonsense"])
    assert not broken.allow_origin("https://a.example")
    assert not broken.allow_origin("")
    assert not broken.allow_address("10.0.0.1")
    assert not broken.allow_address("")


def test_zone_of_an_address_is_dropped() -> None:
    assert parse_address("fe80::1%eth0") == IPv6Address("fe80::1")
