"""Addresses of the servers of a NATS cluster."""

from __future__ import annotations

import pytest

from services.chassis.runtime.nats_servers import NatsServers


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("nats://one:4222", NatsServers(("nats://one:4222",))),
        ("one", NatsServers(("nats://one",))),
        ("nats://u:p@one:4222", NatsServers(("nats://one:4222",), "u", "p")),
        (
            "nats://u:p@one:4222, two:4222,nats://three:4223",
            NatsServers(("nats://one:4222", "nats://two:4222", "nats://three:4223"), "u", "p"),
        ),
        (
            "tls://u:p@one:4222,tls://u:p@two:4222",
            NatsServers(("tls://one:4222", "tls://two:4222"), "u", "p"),
        ),
        ("nats://u:a%2Cb%40c@[::1]:4222", NatsServers(("nats://[::1]:4222",), "u", "a,b@c")),
        ("nats://secret@one:4222", NatsServers(("nats://one:4222",), "secret")),
    ],
)
def test_addresses_are_parsed_with_one_login_for_all(text: str, expected: NatsServers) -> None:
    assert NatsServers.parse(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        "nats://u:sesame@alpha:4222,",
        "nats://u:sesame,word@alpha:4222",
        "nats://u:sesame/word@alpha:4222",
        "http://u:sesame@alpha:4222",
        "nats://u:sesame@alpha:99999",
        "nats://u:sesame@alpha:port",
        "nats://u:sesame@alpha:4222,nats://v:word@beta:4222",
        "nats://alpha:4222,nats://u:sesame@beta:4222",
        "ws://u:sesame@alpha:80,nats://beta:4222",
    ],
)
def test_malformed_addresses_are_refused_without_quoting_them(text: str) -> None:
    with pytest.raises(ValueError, match="NATS") as error:
        NatsServers.parse(text)
    assert not any(part in str(error.value) for part in ("sesame", "word@", "alpha"))


@pytest.mark.parametrize(
    ("text", "login"),
    [
        ("nats://one", {}),
        ("nats://u:p@one", {"user": "u", "password": "p"}),
        ("nats://secret@one", {"token": "secret"}),
    ],
)
def test_options_hold_the_login_beside_the_servers(text: str, login: dict[str, str]) -> None:
    # A server that the cluster names later has no login in its address.
    assert NatsServers.parse(text).as_options() == {"servers": ["nats://one"], **login}
