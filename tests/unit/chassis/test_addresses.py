"""The address of a client behind proxies, and the part of it that limits count."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.chassis.runtime.addresses import address_group, client_address, parse_networks

PROXIES = parse_networks("10.0.0.0/8, fd00::/8")


@pytest.mark.parametrize(
    ("address", "group"),
    [
        ("203.0.113.7", "203.0.113.7"),
        ("::ffff:203.0.113.7", "203.0.113.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::"),
        ("fe80::1%eth0", "fe80::"),
        ("unix:", ""),
        ("", ""),
    ],
)
def test_group_of_an_address_is_what_one_host_has(address: str, group: str) -> None:
    assert address_group(address) == group


@pytest.mark.parametrize(
    ("peer", "forwarded_for", "client"),
    [
        ("203.0.113.7", "198.51.100.1", "203.0.113.7"),
        ("10.0.0.1", "198.51.100.1", "198.51.100.1"),
        ("10.0.0.1", "192.0.2.9, 198.51.100.1", "198.51.100.1"),
        ("10.0.0.1", "198.51.100.1, 10.2.3.4", "198.51.100.1"),
        ("::ffff:10.0.0.1", "198.51.100.1, fd00::7", "198.51.100.1"),
        ("10.0.0.1", "", "10.0.0.1"),
        ("10.0.0.1", "198.51.100.1, nonsense", "10.0.0.1"),
        ("10.0.0.1", "198.51.100.1, nonsense, 10.0.0.9", "10.0.0.9"),
    ],
)
def test_client_is_the_last_address_that_no_proxy_has(
    peer: str, forwarded_for: str, client: str
) -> None:
    assert client_address(peer, forwarded_for, PROXIES) == client


@given(st.text())
def test_header_is_ignored_without_trusted_proxies(forwarded_for: str) -> None:
    assert client_address("10.0.0.1", forwarded_for, ()) == "10.0.0.1"
    assert client_address("203.0.113.7", forwarded_for, PROXIES) == "203.0.113.7"


@given(st.text(), st.ip_addresses(network="203.0.113.0/24").map(str))
def test_client_cannot_choose_its_address(stated: str, real: str) -> None:
    assert client_address("10.0.0.1", f"{stated},{real}", PROXIES) == real
