"""NATS as the fast tail: streams, what is published, what is heard. Never the truth."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self


@dataclass(frozen=True, slots=True)
class StreamLimits:
    """How much a stream keeps."""

    #: Seconds.
    max_age: float = 86_400.0
    #: Bytes a stream.
    max_bytes: int = 1 << 30
    #: Copies in a cluster.
    replicas: int = 1


class Bus:
    """A connection to NATS that lives as long as the service, whether NATS is there or not.

    `async with Bus(url, name="profile") as bus:` answers at once; it connects behind the scenes and
    again after every loss. Credentials are in the url.
    """

    def __init__(self, url: str, *, name: str, limits: StreamLimits = StreamLimits()) -> None:
        raise NotImplementedError

    @property
    def connected(self) -> bool:
        """Whether NATS can be reached now."""
        raise NotImplementedError

    async def __aenter__(self) -> Self:
        raise NotImplementedError

    async def __aexit__(self, *_: object) -> None:
        raise NotImplementedError
