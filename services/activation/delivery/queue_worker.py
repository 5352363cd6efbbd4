"""Works for one destination: follows its versions, is woken, and is stopped."""

from __future__ import annotations

import asyncio

import structlog

from services.activation.domain.circuit_breaker import CircuitBreaker
from services.activation.domain.model import Destination
from services.activation.store.effects import DestinationKey

log = structlog.get_logger(__name__)


class QueueWorker:
    """Works for one destination until it is stopped."""

    def __init__(self, destination: Destination) -> None:
        self._destination = destination
        self._key = DestinationKey(destination.workspace_id, destination.destination_id)
        self._breaker = CircuitBreaker()
        self._wakeup = asyncio.Event()
        self._is_stopping = False
        self._log = log.bind(workspace=self._key.workspace_id, destination=self._key.destination_id)

    @property
    def destination(self) -> Destination:
        """The version that new attempts use."""
        return self._destination

    @destination.setter
    def destination(self, destination: Destination) -> None:
        if destination.version != self._destination.version:
            # It may have other credentials, or another receiver.
            self._breaker = CircuitBreaker()
            self.wake()
        self._destination = destination

    def wake(self, delay_s: float = 0.0) -> None:
        """Check for work; `delay_s`: in how many seconds at the latest."""
        self._wakeup.set()

    def stop(self) -> None:
        """Begin nothing more; `run` returns when what has begun has ended."""
        self._is_stopping = True
        self._wakeup.set()

    async def run(self) -> None:
        """Work until stopped. Errors are logged and retried."""
        raise NotImplementedError
