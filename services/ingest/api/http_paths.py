"""Defines the paths of the HTTP endpoint, and the responses that need no event.

The paths are those that clients of the Segment specification, of RudderStack and of Jitsu call.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import msgspec
from starlette.responses import Response

from services.chassis.runtime.http_errors import CORS
from services.ingest.domain.events import EventType, Producer

#: The calls below a prefix and the type of their events; None where each event states its own.
CALLS: Mapping[str, EventType | None] = {
    **dict.fromkeys(("batch", "import", "b")),
    **{type_.name.lower(): type_ for type_ in EventType},
    **{type_.name.lower()[0]: type_ for type_ in EventType},
}
#: The metrics of the clients themselves, which nothing here reads.
CLIENT_METRICS = "/v1/m"
#: Where RudderStack's client for browsers asks which destinations it has to load.
SOURCE_CONFIG = "/sourceConfig"

#: Where RudderStack's client sends beacons; a beacon has no headers, so its key is in the query.
BEACON_PREFIX = "/beacon/v1/"

_PREFIXES = ("/v1/", BEACON_PREFIX, "/api/s/s2s/", "/api/s/")
#: By plain path, the type of the events that are sent there; None where each states its own.
CALLS_BY_PATH: Mapping[str, EventType | None] = {
    prefix + call: type_ for prefix in _PREFIXES for call, type_ in CALLS.items()
}
_SLASHES = re.compile("//+")
#: Names of headers, separated by commas.
_HEADER_NAMES = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~, -]{1,4096}")
_USUAL_HEADERS = "Authorization, Content-Type, Content-Encoding, X-Write-Key, X-Retry-Count"


def plain_path(path: str) -> str:
    """Return a path without doubled slashes and without one at its end.

    A client whose address of the server ends in a slash writes two of them.
    """
    return path if path in CALLS_BY_PATH else _SLASHES.sub("/", path).rstrip("/")


def preflight_response(requested: str) -> Response:
    """Return the response to a preflight: a page may send every header that it asks for.

    `requested`: the header Access-Control-Request-Headers. Clients add headers with each release
    and each retry, and none of them has an effect here.
    """
    headers = {
        **CORS,
        "Access-Control-Allow-Methods": "GET, POST, OPTIONS",
        "Access-Control-Allow-Headers": requested
        if _HEADER_NAMES.fullmatch(requested)
        else _USUAL_HEADERS,
        "Access-Control-Max-Age": "86400",
        "Vary": "Access-Control-Request-Headers",
    }
    return Response(headers=headers)


def source_config_response(producer: Producer) -> Response:
    """Return the least configuration with which RudderStack's client for browsers starts.

    The source has no destinations in the browser, and sends no metrics and no reports of errors.
    """
    off = {"enabled": False}
    source = {
        "id": producer.source_id,
        "name": producer.source_id,
        "workspaceId": producer.workspace_id,
        "enabled": True,
        "config": {"statsCollection": {"errors": off, "metrics": off}},
        "destinations": [],
    }
    headers = {**CORS, "Cache-Control": "no-store"}
    body = msgspec.json.encode({"source": source})
    return Response(body, headers=headers, media_type="application/json")
