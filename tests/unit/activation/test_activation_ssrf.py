"""Tests which addresses count as public, in every spelling."""

from __future__ import annotations

import socket
from ipaddress import ip_address

import pytest
from aiohttp.abc import AbstractResolver, ResolveResult
from hypothesis import given
from hypothesis import strategies as st

from services.activation.channels.ssrf import (
    PrivateAddressError,
    PublicResolver,
    address_of,
    connect_public,
    is_public,
    reject_private,
)

PRIVATE = [
    "127.0.0.1",
    "127.255.255.254",
    "0.0.0.0",
    "0.1.2.3",
    "10.0.0.1",
    "172.16.0.1",
    "192.168.1.1",
    "169.254.169.254",
    "100.64.0.1",
    "100.100.100.200",
    "192.0.0.1",
    "192.0.2.1",
    "198.18.0.1",
    "192.88.99.1",
    "224.0.0.1",
    "240.0.0.1",
    "255.255.255.255",
    "168.63.129.16",
    "::",
    "::1",
    "::7f00:1",
    "::ffff:127.0.0.1",
    "::ffff:169.254.169.254",
    "::ffff:0:127.0.0.1",
    "64:ff9b::7f00:1",
    "64:ff9b::a9fe:a9fe",
    "64:ff9b:1::1",
    "2002:7f00:1::",
    "2002:a9fe:a9fe::1",
    "2001::1",
    "2001:db8::1",
    "fc00::1",
    "fd00:ec2::254",
    "fe80::1",
    "fec0::1",
    "ff02::1",
    "100::1",
    "5f00::1",
    "4000::1",
]
PUBLIC = [
    "8.8.8.8",
    "1.1.1.1",
    "2606:4700::1111",
    "::ffff:8.8.8.8",
    "64:ff9b::808:808",
    "2002:808:808::1",
]
SPELLINGS = [
    "127.0.0.1",
    "127.0.0.1.",
    "127.1",
    "127.0.1",
    "2130706433",
    "0x7f000001",
    "0X7F.0x0.0x0.0x1",
    "0x7f.1",
    "017700000001",
    "0177.0.0.01",
    "0177.1",
    "127.0.0.0x1",
    "0",
    "00.0.0.0",
    "①②⑦.⓪.⓪.①",
    "１２７.０.０.１",
    "127。0。0。1",
    "[::1]",
    "[0:0:0:0:0:0:0:1]",
    "[::ffff:127.0.0.1]",
    "[::ffff:7f00:1]",
    "[64:ff9b::127.0.0.1]",
    "[fe80::1%25eth0]",
    "2852039166",
    "0xa9fea9fe",
    "0251.0376.0251.0376",
]


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


@pytest.mark.parametrize("address", PRIVATE)
def test_private_address_is_not_public(address: str) -> None:
    assert not is_public(ip_address(address))


@pytest.mark.parametrize("address", PUBLIC)
def test_public_address_is_public(address: str) -> None:
    assert is_public(ip_address(address))


@pytest.mark.parametrize("host", SPELLINGS)
@pytest.mark.parametrize("port", ["", ":80"])
def test_private_address_is_rejected_in_every_spelling(host: str, port: str) -> None:
    with pytest.raises(PrivateAddressError):
        reject_private(f"http://{host}{port}/in")


@pytest.mark.parametrize("host", ["x.example", "8.8.8.8", "[2606:4700::1111]", "0x8.8.8.8", "1.x"])
def test_names_and_public_addresses_are_accepted(host: str) -> None:
    reject_private(f"https://{host}/in")


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


async def test_name_with_one_private_address_is_rejected() -> None:
    names = PublicResolver(FakeResolver(["8.8.8.8", "10.0.0.1"]))
    with pytest.raises(PrivateAddressError):
        await names.resolve("x.example", 80)


async def test_name_is_checked_at_each_resolution() -> None:
    names = PublicResolver(FakeResolver(["8.8.8.8"], ["127.0.0.1"]))
    assert await names.resolve("x.example", 80)
    with pytest.raises(PrivateAddressError):
        await names.resolve("x.example", 80)


def test_private_address_is_never_dialled() -> None:
    with pytest.raises(PrivateAddressError):
        connect_public((socket.AF_INET, socket.SOCK_STREAM, 0, "", ("127.0.0.1", 80)))
    with pytest.raises(PrivateAddressError):
        connect_public((socket.AF_INET6, socket.SOCK_STREAM, 0, "", ("fe80::1%lo", 80, 0, 1)))
    connect_public((socket.AF_INET, socket.SOCK_STREAM, 0, "", ("8.8.8.8", 80))).close()
