"""Tests which addresses count as public, in every spelling, and which private ones are allowed."""

from __future__ import annotations

import socket
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

import pytest
from aiohttp.abc import AbstractResolver, ResolveResult
from hypothesis import given
from hypothesis import strategies as st
from security.private_hosts import PRIVATE_HOSTS

from services.activation.channels.ssrf import GuardedResolver, PrivateAddressError, TargetGuard
from services.activation.domain.addresses import (
    SPECIAL_IPV4,
    SPECIAL_IPV6,
    UNICAST_IPV6,
    address_of,
    is_public,
)
from services.activation.domain.targets import AllowedTargets

#: Every special-purpose network, written here again: first and last address.
BLOCKS = [
    ("0.0.0.0", "0.255.255.255"),
    ("10.0.0.0", "10.255.255.255"),
    ("100.64.0.0", "100.127.255.255"),
    ("127.0.0.0", "127.255.255.255"),
    ("168.63.129.16", "168.63.129.16"),
    ("169.254.0.0", "169.254.255.255"),
    ("172.16.0.0", "172.31.255.255"),
    ("192.0.0.0", "192.0.0.255"),
    ("192.0.2.0", "192.0.2.255"),
    ("192.31.196.0", "192.31.196.255"),
    ("192.52.193.0", "192.52.193.255"),
    ("192.88.99.0", "192.88.99.255"),
    ("192.168.0.0", "192.168.255.255"),
    ("192.175.48.0", "192.175.48.255"),
    ("198.18.0.0", "198.19.255.255"),
    ("198.51.100.0", "198.51.100.255"),
    ("203.0.113.0", "203.0.113.255"),
    ("224.0.0.0", "239.255.255.255"),
    ("240.0.0.0", "255.255.255.255"),
    ("2001::", "2001:1ff:ffff:ffff:ffff:ffff:ffff:ffff"),
    ("2001:db8::", "2001:db8:ffff:ffff:ffff:ffff:ffff:ffff"),
    ("2002::", "2002:ffff:ffff:ffff:ffff:ffff:ffff:ffff"),
    ("2620:4f:8000::", "2620:4f:8000:ffff:ffff:ffff:ffff:ffff"),
    ("3fff::", "3fff:fff:ffff:ffff:ffff:ffff:ffff:ffff"),
]
#: The address before and the one after these are public.
ISOLATED = [
    block for block in BLOCKS if block[0] not in ("0.0.0.0", "224.0.0.0", "240.0.0.0", "2001::")
]
PRIVATE = [
    "0.1.2.3",
    "100.100.100.200",
    "127.0.0.1",
    "169.254.169.254",
    "192.0.0.8",
    "192.0.0.9",
    "192.0.0.10",
    "192.0.0.170",
    "192.0.0.192",
    "255.255.255.255",
    "::",
    "::1",
    "::7f00:1",
    "::808:808",
    "::ffff:127.0.0.1",
    "::ffff:169.254.169.254",
    "::ffff:192.0.0.192",
    "::ffff:0:127.0.0.1",
    "::ffff:0:8.8.8.8",
    "64:ff9b::7f00:1",
    "64:ff9b::a9fe:a9fe",
    "64:ff9b::c000:c0",
    "64:ff9b:0:1::808:808",
    "64:ff9b:1::1",
    "64:ff9b:1:ffff:ffff:ffff:808:808",
    "100::1",
    "100:0:0:1::1",
    "2001::1",
    "2001:0:808:808::1",
    "2001:1::1",
    "2001:2::1",
    "2001:3::1",
    "2001:4:112::1",
    "2001:10::1",
    "2001:20::1",
    "2001:30::1",
    "2002:7f00:1::",
    "2002:808:808::1",
    "2002:a9fe:a9fe::1",
    "1fff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
    "4000::",
    "5f00::1",
    "fc00::1",
    "fd00:ec2::254",
    "fdff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
    "fe80::1",
    "fe80::1%eth0",
    "::1%lo",
    "fec0::1",
    "ff02::1",
    "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
]
PUBLIC = [
    "1.0.0.0",
    "8.8.8.8",
    "168.63.129.15",
    "168.63.129.17",
    "191.255.255.255",
    "192.0.1.0",
    "223.255.255.255",
    "::ffff:8.8.8.8",
    "64:ff9b::808:808",
    "2001:200::",
    "2606:4700::1111",
    "2606:4700::1111%eth0",
    "3fff:1000::",
    "3ffe:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
]
GUARD = TargetGuard(AllowedTargets())


class FakeResolver(AbstractResolver):
    """Resolves every name to the given addresses, call by call."""

    def __init__(self, *answers: list[str]) -> None:
        self._answers = list(answers)

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        found = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        return [
            ResolveResult(hostname=host, host=a, port=port, family=family, proto=0, flags=0)
            for a in found
        ]

    async def close(self) -> None: ...


def test_list_of_special_networks_has_exactly_the_blocks() -> None:
    networks = [(str(n[0]), str(n[-1])) for n in (*SPECIAL_IPV4, *SPECIAL_IPV6)]
    assert networks == BLOCKS


@pytest.mark.parametrize(("first", "last"), BLOCKS)
def test_special_network_is_not_public_up_to_its_edges(first: str, last: str) -> None:
    middle = (int(ip_address(first)) + int(ip_address(last))) // 2
    assert not any(map(is_public, (ip_address(first), ip_address(last))))
    assert not is_public(type(ip_address(first))(middle))


@pytest.mark.parametrize(("first", "last"), ISOLATED)
def test_neighbours_of_special_network_are_public(first: str, last: str) -> None:
    assert is_public(ip_address(first) - 1)
    assert is_public(ip_address(last) + 1)


@pytest.mark.parametrize("address", PRIVATE)
def test_private_address_is_not_public(address: str) -> None:
    assert not is_public(ip_address(address))


@pytest.mark.parametrize("address", PUBLIC)
def test_public_address_is_public(address: str) -> None:
    assert is_public(ip_address(address))


@given(st.integers(0, 2**32 - 1))
def test_embedded_address_is_judged_like_itself(number: int) -> None:
    plain = is_public(IPv4Address(number))
    assert is_public(IPv6Address((0xFFFF << 32) + number)) is plain
    assert is_public(IPv6Address((0x64FF9B << 96) + number)) is plain


@given(st.integers(0, 2**128 - 1))
def test_address_outside_of_unicast_is_not_public(number: int) -> None:
    address = IPv6Address(number)
    embedding = (ip_network("::ffff:0:0/96"), ip_network("64:ff9b::/96"))
    if address not in UNICAST_IPV6 and not any(address in network for network in embedding):
        assert not is_public(address)


@given(st.integers(0, 2**32 - 1))
def test_own_list_refuses_all_that_the_library_calls_private(number: int) -> None:
    address = IPv4Address(number)
    if address.is_private or address.is_multicast or address.is_reserved:
        assert not is_public(address)


@pytest.mark.parametrize("host", PRIVATE_HOSTS)
@pytest.mark.parametrize("port", ["", ":80", ":8080"])
def test_private_address_is_rejected_in_every_spelling(host: str, port: str) -> None:
    with pytest.raises((PrivateAddressError, ValueError)):
        GUARD.check_url(f"http://{host}{port}/in")


@pytest.mark.parametrize("host", ["x.example", "8.8.8.8", "[2606:4700::1111]", "0x8.8.8.8", "1.x"])
def test_names_and_public_addresses_are_accepted(host: str) -> None:
    GUARD.check_url(f"https://{host}/in")


@pytest.mark.parametrize(
    "text", ["1.2.3.4.5", "256.1.1.1", "1.2.65536", "0x", "1..2", "", "-1", "1_0", "٣"]
)
def test_text_that_is_not_an_address_counts_as_a_name(text: str) -> None:
    assert address_of(text) is None


@given(st.integers(0, 2**32 - 1), st.integers(1, 4), st.sampled_from(["{}", "{:#x}", "0{:o}"]))
def test_loose_spellings_are_parsed_like_resolvers_do(number: int, parts: int, form: str) -> None:
    octets = number.to_bytes(4, "big")
    last = int.from_bytes(octets[parts - 1 :], "big")
    host = ".".join(form.format(n) for n in (*octets[: parts - 1], last))
    assert address_of(host) == ip_address(socket.inet_aton(host))


def guarded(*answers: list[str], allowed: str = "") -> GuardedResolver:
    return GuardedResolver(FakeResolver(*answers), TargetGuard(AllowedTargets.parse(allowed)))


async def test_name_with_one_private_address_is_rejected() -> None:
    with pytest.raises(PrivateAddressError):
        await guarded(["8.8.8.8", "10.0.0.1"]).resolve("x.example", 80)


async def test_name_is_checked_at_each_resolution() -> None:
    names = guarded(["8.8.8.8"], ["127.0.0.1"])
    assert await names.resolve("x.example", 80)
    with pytest.raises(PrivateAddressError):
        await names.resolve("x.example", 80)


async def test_name_resolves_to_an_allowed_address_with_its_port_only() -> None:
    names = guarded(["10.0.0.1"], allowed="10.0.0.0/8:8080")
    assert await names.resolve("x.example", 8080)
    with pytest.raises(PrivateAddressError):
        await names.resolve("x.example", 80)


def test_private_address_is_never_dialled() -> None:
    guard = TargetGuard(AllowedTargets.parse("127.0.0.1:8080"))
    for info in (
        (socket.AF_INET, socket.SOCK_STREAM, 0, "", ("127.0.0.1", 80)),
        (socket.AF_INET, socket.SOCK_STREAM, 0, "", ("127.0.0.2", 8080)),
        (socket.AF_INET6, socket.SOCK_STREAM, 0, "", ("fe80::1%lo", 80, 0, 1)),
        (socket.AF_INET6, socket.SOCK_STREAM, 0, "", ("::1", 8080, 0, 0)),
    ):
        with pytest.raises(PrivateAddressError):
            guard.open_socket(info)
    for address, port in (("8.8.8.8", 80), ("127.0.0.1", 8080)):
        guard.open_socket((socket.AF_INET, socket.SOCK_STREAM, 0, "", (address, port))).close()


@pytest.mark.parametrize(
    ("url", "is_allowed"),
    [
        ("http://127.0.0.1:8080/in", True),
        ("http://2130706433:8080/in", True),
        ("http://[::ffff:127.0.0.1]:8080/in", True),
        ("http://127.0.0.1:8081/in", False),
        ("http://127.0.0.1/in", False),
        ("http://127.0.0.2:8080/in", False),
        ("https://10.1.2.3/in", True),
        ("http://10.1.2.3/in", True),
        ("http://10.1.2.3:8080/in", False),
        ("http://11.0.0.1/in", True),
        ("https://[fd00::1]:8443/", True),
        ("https://[fd00::1]/", False),
        ("https://[fd01::1]:8443/", False),
        ("http://[::1]/", True),
        ("http://[::1]:8080/", False),
    ],
)
def test_private_address_is_allowed_with_its_port_only(url: str, is_allowed: bool) -> None:
    allowed = AllowedTargets.parse("127.0.0.1:8080, 10.0.0.0/8,[fd00::/16]:8443,::1")
    if is_allowed:
        TargetGuard(allowed).check_url(url)
    else:
        with pytest.raises(PrivateAddressError):
            TargetGuard(allowed).check_url(url)


def test_named_host_is_trusted_with_its_port_only() -> None:
    guard = TargetGuard(AllowedTargets.parse("Coupons.Internal.:8080,hooks"))
    assert guard.is_trusted("coupons.internal", 8080)
    assert guard.is_trusted("coupons.internal.", 8080)
    assert guard.is_trusted("hooks", 443)
    assert not guard.is_trusted("coupons.internal", 80)
    assert not guard.is_trusted("x.coupons.internal", 8080)
    assert not guard.is_trusted("hooks", 8080)


async def test_reasons_are_hidden_where_an_entry_stands_for_several_hosts() -> None:
    guard = TargetGuard(AllowedTargets.parse("10.0.0.0/8:80,10.9.9.9:80,coupons.internal:80"))
    assert guard.hides_reasons("10.1.2.3", 80)
    for host in ("10.9.9.9", "coupons.internal", "8.8.8.8", "x.example"):
        assert not guard.hides_reasons(host, 80)
    await GuardedResolver(FakeResolver(["10.9.9.9"]), guard).resolve("x.example", 80)
    assert guard.hides_reasons("x.example", 80)
    await GuardedResolver(FakeResolver(["8.8.8.8"]), guard).resolve("x.example", 80)
    assert not guard.hides_reasons("x.example", 80)


@pytest.mark.parametrize(
    "entry",
    [
        "x.example:0",
        "x.example:65536",
        "x.example:port",
        "10.0.0.0/33",
        "10.0.0.1/8",
        "[fd00::/8",
        "fd00::/129",
        "http://x.example",
        "x y",
        "*",
        "*:80",
        "a:b:c",
    ],
)
def test_malformed_entry_is_rejected_by_name(entry: str) -> None:
    with pytest.raises(ValueError, match="`") as raised:
        AllowedTargets.parse(f"127.0.0.1:80,{entry}")
    assert entry in str(raised.value)
