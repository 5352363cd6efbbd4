"""Parses the addresses of the NATS servers that a service connects to."""

from __future__ import annotations

from typing import Any, NamedTuple, Self
from urllib.parse import SplitResult, unquote, urlsplit

_FORM = "nats://USER:PASSWORD@HOST:4222,HOST:4222"
_WEB_SCHEMES = frozenset(["ws", "wss"])
_SCHEMES = frozenset(["nats", "tls"]) | _WEB_SCHEMES


class NatsServers(NamedTuple):
    """The servers of one cluster, in the order in which they are tried, and one login for all."""

    #: Without credentials, each with a scheme.
    urls: tuple[str, ...]
    #: Empty where the servers ask for no login.
    user: str = ""
    #: Empty where `user` is a token.
    password: str = ""

    @classmethod
    def parse(cls, text: str) -> Self:
        """Return the servers of a text such as `nats://user:password@one:4222,two:4222`.

        The login stands in the first address and holds for all of them, also for those that the
        servers name to their clients. Raises ValueError, which quotes no part of the text.
        """
        parts = [_split(entry.strip()) for entry in text.split(",")]
        logins = {_login(part) for part in parts if "@" in part.netloc}
        if len(logins) > 1 or (logins and "@" not in parts[0].netloc):
            raise ValueError(f"NATS takes one login, in the first address: {_FORM}")
        schemes = {part.scheme for part in parts}
        if schemes & _WEB_SCHEMES and schemes - _WEB_SCHEMES:
            raise ValueError("addresses of NATS are either all ws:// or wss://, or none of them is")
        urls = tuple(f"{part.scheme}://{part.netloc.rpartition('@')[2]}" for part in parts)
        return cls(urls, *(logins.pop() if logins else ()))

    def as_options(self) -> dict[str, Any]:
        """Return the options of a client that connects to one of them."""
        if self.user and not self.password:
            return {"servers": [*self.urls], "token": self.user}
        login = {"user": self.user, "password": self.password} if self.user else {}
        return {"servers": [*self.urls], **login}


def _split(entry: str) -> SplitResult:
    try:
        part = urlsplit(entry if "://" in entry else f"nats://{entry}")
        is_address = bool(part.hostname) and (part.port is None or part.port > 0)
    except ValueError:
        is_address = False
    if not is_address or part.scheme not in _SCHEMES or part.path.strip("/"):
        raise ValueError(
            "the addresses of NATS are hosts separated by commas; a comma, `@` or `/` in the"
            f" password is written as %2C, %40 or %2F: {_FORM}"
        )
    return part


def _login(part: SplitResult) -> tuple[str, str]:
    return unquote(part.username or ""), unquote(part.password or "")
