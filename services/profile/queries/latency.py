"""Measures how soon a person is found, and counts what takes longer than the declared limit."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from asyncpg import Connection

from services.chassis.projection.grpc import Counts
from services.chassis.runtime.declared_latency import DeclaredLatency
from services.chassis.runtime.telemetry import Metrics


class LookupLatency:
    """The seconds from a request for a profile, by an identifier or a name, to its profile."""

    def __init__(self, metrics: Metrics, limit_s: float) -> None:
        self._found = DeclaredLatency(
            metrics,
            "profiles_found",
            "from a request for a profile, by an identifier, an id or a name, to what is found",
            limit_s,
        )

    @contextmanager
    def measured(self) -> Iterator[None]:
        """Measure the scope as one request, unless it raises an error."""
        started_us = int(time.time() * 1e6)
        yield
        self._found.measure([started_us])

    def adding_to(self, load: Counts) -> Counts:
        """Return `load` with the counts of what was measured added to what it returns."""

        async def counts(conn: Connection) -> Mapping[str, int]:
            return {**await load(conn), **self._found.counts()}

        return counts
