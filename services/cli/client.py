"""A client of the five gRPC doors, with one key for all of them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from types import TracebackType
from typing import Any, Self

import grpc
from onefold.activation.v1 import activation_service_pb2_grpc as activation_grpc
from onefold.identity.v1 import identity_service_pb2_grpc as identity_grpc
from onefold.ingest.v1 import admin_service_pb2_grpc as admin_grpc
from onefold.ingest.v1 import ingest_service_pb2_grpc as ingest_grpc
from onefold.log.v1 import log_service_pb2_grpc as log_grpc
from onefold.profile.v1 import profile_service_pb2_grpc as profile_grpc
from onefold.projection.v1 import projection_service_pb2_grpc as projection_grpc
from onefold.segment.v1 import segment_service_pb2_grpc as segment_grpc

from services.chassis.rpc.errors import from_rpc
from services.cli.endpoints import Doors

_OPTIONS = (
    ("grpc.max_receive_message_length", 64 << 20),
    ("grpc.max_send_message_length", 64 << 20),
)
PROJECTIONS = ("identity", "profile", "segment", "activation")


class Client:
    """Stubs of every service; `async with` opens and closes the channels.

    Calls raise OnefoldError where the service refuses.
    """

    def __init__(self, doors: Doors, key: str | None = None) -> None:
        self.doors = doors
        self._key = doors.key if key is None else key
        self._channels: dict[str, grpc.aio.Channel] = {}

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for channel in self._channels.values():
            await channel.close()

    @property
    def admin(self) -> Any:
        """Sources and keys."""
        return admin_grpc.AdminServiceStub(self._channel("ingest"))

    @property
    def ingest(self) -> Any:
        """The door for events."""
        return ingest_grpc.IngestServiceStub(self._channel("ingest"))

    @property
    def log(self) -> Any:
        """The event log."""
        return log_grpc.LogServiceStub(self._channel("ingest"))

    @property
    def identity(self) -> Any:
        """Who is who."""
        return identity_grpc.IdentityServiceStub(self._channel("identity"))

    @property
    def profile(self) -> Any:
        """What is true about a person."""
        return profile_grpc.ProfileServiceStub(self._channel("profile"))

    @property
    def segment(self) -> Any:
        """Who belongs where."""
        return segment_grpc.SegmentServiceStub(self._channel("segment"))

    @property
    def activation(self) -> Any:
        """What is done about it."""
        return activation_grpc.ActivationServiceStub(self._channel("activation"))

    def projection(self, service: str) -> Any:
        """The state of a service that folds the log."""
        return projection_grpc.ProjectionServiceStub(self._channel(service))

    async def call(self, method: Any, request: Any, timeout: float = 60.0) -> Any:
        """One answer to one request."""
        try:
            return await method(request, metadata=self._metadata(), timeout=timeout)
        except grpc.aio.AioRpcError as error:
            raise from_rpc(error) from None

    async def stream(
        self, method: Any, request: Any, timeout: float | None = None
    ) -> AsyncIterator[Any]:
        """Many answers to one request."""
        try:
            async for answer in method(request, metadata=self._metadata(), timeout=timeout):
                yield answer
        except grpc.aio.AioRpcError as error:
            raise from_rpc(error) from None

    def _metadata(self) -> tuple[tuple[str, str], ...]:
        return (("authorization", f"Bearer {self._key}"),)

    def _channel(self, service: str) -> grpc.aio.Channel:
        if service not in self._channels:
            address = self.doors.grpc[service]
            self._channels[service] = grpc.aio.insecure_channel(address, options=_OPTIONS)
        return self._channels[service]
