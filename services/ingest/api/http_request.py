"""Reads what the head of a request says about its sender, from the scope of ASGI."""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import parse_qs

from starlette.types import Scope

from services.chassis.access.keys import key_from_authorization
from services.chassis.runtime.addresses import Network, client_address
from services.ingest.api.http_paths import BEACON_PREFIX, plain_path
from services.kernel.errors import InvalidField
from services.kernel.restrictions import Peer

_KEY_HEADERS = frozenset({b"authorization", b"x-write-key"})


class HttpRequest:
    """The head of one request. Its headers are read once, and only those that have an effect."""

    __slots__ = ("_headers", "method", "path", "scope")

    def __init__(self, scope: Scope) -> None:
        self.scope = scope
        self.method: str = scope["method"]
        self.path = plain_path(scope["path"])
        self._headers: Sequence[tuple[bytes, bytes]] = scope["headers"]

    def first(self, name: bytes) -> str:
        """Return the first header of a name in lower case; empty without one."""
        for each, value in self._headers:
            if each == name:
                return value.decode("latin-1")
        return ""

    def peer(self, proxies: Sequence[Network]) -> Peer:
        """Return where the request comes from. `proxies`: whose X-Forwarded-For is believed."""
        address, _ = self.scope["client"] or ("", 0)
        if proxies:
            values = [value for name, value in self._headers if name == b"x-forwarded-for"]
            address = client_address(address, b",".join(values).decode("latin-1"), proxies)
        return Peer(address, self.first(b"origin"))

    def key(self) -> str | None:
        """Return the key in the headers, or in the query of a beacon; None if there is none.

        Raises InvalidField where there are two: a proxy on the way may have read the other one.
        """
        given: dict[bytes, str] = {}
        for name, value in self._headers:
            if name in _KEY_HEADERS:
                if name in given:
                    raise InvalidField(f"the header {name.decode()} is there twice: send it once")
                given[name] = value.decode("latin-1")
        # Some clients send `key:secret`; a key of Onefold has no colon.
        write_key = given.get(b"x-write-key", "").partition(":")[0]
        authorization = key_from_authorization(given.get(b"authorization"))
        found = {key for key in (authorization, write_key, *self._beacon_keys()) if key}
        if len(found) > 1:
            raise InvalidField("the request has two keys: send one of them")
        return found.pop() if found else None

    def _beacon_keys(self) -> list[str]:
        """Return the keys in the query of a beacon.

        A beacon has no headers. Any other query is ignored, because proxies log it.
        """
        if not self.path.startswith(BEACON_PREFIX):
            return []
        return parse_qs(self.scope["query_string"].decode("latin-1")).get("writeKey", [])
