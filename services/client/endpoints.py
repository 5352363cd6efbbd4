"""Holds the addresses of a running system and the key that opens it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from services import SERVICES

#: The services that fold the log, in the order in which an event passes them.
PROJECTIONS = SERVICES[1:]


@dataclass(frozen=True, slots=True)
class ApiEndpoints:
    """The endpoints of a system."""

    #: By service: `host:port`.
    grpc: Mapping[str, str]
    #: The key that calls carry.
    key: str
    #: By service: `http://host:port`; empty where only the gRPC addresses are known.
    http: Mapping[str, str] = field(default_factory=dict)
