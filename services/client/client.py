"""Opens one channel per service of a running system, and gives their calls, all with one key."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Self

from onefold.activation.v1.activation_service_pb2_grpc import ActivationServiceStub
from onefold.activation.v1.dashboard_service_pb2_grpc import DashboardServiceStub
from onefold.activation.v1.decision_service_pb2_grpc import DecisionServiceStub
from onefold.activation.v1.desk_service_pb2_grpc import DeskServiceStub
from onefold.activation.v1.journey_service_pb2_grpc import JourneyServiceStub
from onefold.audit.v1.audit_service_pb2_grpc import AuditServiceStub
from onefold.identity.v1.identity_service_pb2_grpc import IdentityServiceStub
from onefold.ingest.v1.admin_service_pb2_grpc import AdminServiceStub
from onefold.ingest.v1.ingest_service_pb2_grpc import IngestServiceStub
from onefold.log.v1.log_service_pb2_grpc import LogServiceStub
from onefold.profile.v1.profile_service_pb2_grpc import ProfileServiceStub
from onefold.projection.v1.projection_service_pb2 import AwaitTokenRequest
from onefold.projection.v1.projection_service_pb2_grpc import ProjectionServiceStub
from onefold.segment.v1.segment_service_pb2_grpc import SegmentServiceStub
from onefold.type.v1.token_pb2 import Token

from services import SERVICES
from services.chassis.rpc.channel import ServiceChannel, open_channel
from services.chassis.rpc.tls import channel_credentials
from services.chassis.runtime.tls import TlsFiles
from services.client import api

TIMEOUT_S = 60.0
#: The services that fold the log, in the order in which an event passes them.
PROJECTIONS = SERVICES[1:]


@dataclass(frozen=True, slots=True)
class ApiEndpoints:
    """The endpoints of a system."""

    #: By service: the internal gRPC endpoint, `host:port`, which serves every call.
    grpc: Mapping[str, str]
    #: The key that calls carry.
    key: str
    #: By service: the gRPC endpoint for clients, `host:port`; empty where it is not known.
    public_grpc: Mapping[str, str] = field(default_factory=dict)
    #: The HTTP endpoint for events, `http://host:port`; empty where it is not known.
    events_url: str = ""
    #: The HTTP endpoint for all calls, `http://host:port`; empty where it is not known.
    calls_url: str = ""
    #: By service: the HTTP endpoint for health and metrics; empty where they are not known.
    operations_urls: Mapping[str, str] = field(default_factory=dict)
    #: The authority of the services' certificates (PEM); None = they are called without TLS.
    tls_ca: Path | None = None
    #: The certificate of the caller, for services that require one.
    tls_own: TlsFiles | None = None
    #: Why calls show sensitive values, which the audit keeps; empty = they are masked.
    unmask_reason: str = ""


class Client:
    """The calls of every service; `async with` closes the channels. Calls raise OnefoldError."""

    def __init__(self, endpoints: ApiEndpoints, *, timeout_s: float = TIMEOUT_S) -> None:
        """`timeout_s`: how long a call with one response may take where it names no timeout."""
        self.endpoints = endpoints
        self._timeout_s = timeout_s
        self._channels: dict[str, ServiceChannel] = {}

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_error: object) -> None:
        await self.close()

    async def close(self) -> None:
        await asyncio.gather(*(channel.close() for channel in self._channels.values()))

    @cached_property
    def admin(self) -> api.AdminApi:
        return AdminServiceStub(self._channel("ingest"))

    @cached_property
    def ingest(self) -> api.IngestApi:
        return IngestServiceStub(self._channel("ingest"))

    @cached_property
    def log(self) -> api.LogApi:
        return LogServiceStub(self._channel("ingest"))

    @cached_property
    def identity(self) -> api.IdentityApi:
        return IdentityServiceStub(self._channel("identity"))

    @cached_property
    def profile(self) -> api.ProfileApi:
        return ProfileServiceStub(self._channel("profile"))

    @cached_property
    def segment(self) -> api.SegmentApi:
        return SegmentServiceStub(self._channel("segment"))

    @cached_property
    def activation(self) -> api.ActivationApi:
        return ActivationServiceStub(self._channel("activation"))

    @cached_property
    def journeys(self) -> api.JourneyApi:
        return JourneyServiceStub(self._channel("activation"))

    @cached_property
    def decisions(self) -> api.DecisionApi:
        return DecisionServiceStub(self._channel("activation"))

    @cached_property
    def desk(self) -> api.DeskApi:
        return DeskServiceStub(self._channel("activation"))

    @cached_property
    def dashboards(self) -> api.DashboardApi:
        return DashboardServiceStub(self._channel("activation"))

    def projection(self, service: str) -> api.ProjectionApi:
        """Return the calls about the state of a service that folds the log."""
        return ProjectionServiceStub(self._channel(service))

    def audit(self, service: str) -> api.AuditApi:
        """Return the calls about the audit of a service."""
        return AuditServiceStub(self._channel(service))

    async def await_token(self, token: Token, timeout: float = TIMEOUT_S) -> None:
        """Wait until every service has folded the log up to `token`. Raises TokenNotReached."""
        request = AwaitTokenRequest(token=token)
        for service in PROJECTIONS:
            await self.projection(service).AwaitToken(request, timeout=timeout)

    def _channel(self, service: str) -> ServiceChannel:
        if service not in self._channels:
            self._channels[service] = open_channel(
                self.endpoints.grpc[service],
                self.endpoints.key,
                unmask_reason=self.endpoints.unmask_reason,
                timeout_s=self._timeout_s,
                credentials=channel_credentials(self.endpoints.tls_ca, self.endpoints.tls_own),
            )
        return self._channels[service]
