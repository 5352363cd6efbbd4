"""Opens what every service needs: database, bus, access, metrics, endpoints."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass

import asyncpg
import structlog
from onefold.audit.v1.audit_service_pb2_grpc import add_AuditServiceServicer_to_server
from onefold.projection.v1 import projection_service_pb2_grpc as projection_grpc

from services.chassis.access.authenticator import Authenticator
from services.chassis.access.index_key import check_index_key
from services.chassis.access.reconcile import AccessReconciler
from services.chassis.access.tables import ACCESS_KINDS, key_loader, region_loader
from services.chassis.audit import grpc as audit_grpc
from services.chassis.audit.log import AuditLog
from services.chassis.messaging.envelope import MessageAuthenticator
from services.chassis.messaging.jetstream import JetStreamBus
from services.chassis.postgres.database import Database, acquire
from services.chassis.postgres.isolation import check_isolation
from services.chassis.postgres.migrate import migrate
from services.chassis.postgres.roles import ServiceRoles
from services.chassis.projection.checkpoint import load_checkpoint
from services.chassis.projection.erased_rows import ErasureReports
from services.chassis.projection.grpc import Counts, ProjectionRpc
from services.chassis.projection.rebuild import RebuildRunner
from services.chassis.projection.runner import ProjectionRunner
from services.chassis.rpc.channel import ServiceChannel, open_channel
from services.chassis.rpc.clients import LogClient, use_recorder
from services.chassis.rpc.server import Allowed, RpcServer
from services.chassis.rpc.tls import channel_credentials
from services.chassis.runtime.run import Endpoints
from services.chassis.runtime.settings import ServiceSettings, internal_keys
from services.chassis.runtime.tasks import background
from services.chassis.runtime.telemetry import Check, Metrics, OperationsServer
from services.chassis.runtime.tls import public_files
from services.kernel.index_key import IndexKey
from services.kernel.rate_limit import RateLimit

log = structlog.get_logger(__name__)

#: The refused calls that an address may make at once, in seconds of their rate.
_REFUSALS_BURST_S = 10.0


@dataclass(frozen=True, slots=True)
class ServiceContext:
    """The parts of a running service, open as long as the scope of `open_service` lasts."""

    settings: ServiceSettings
    database: Database
    bus: JetStreamBus
    authenticator: Authenticator
    metrics: Metrics
    audit: AuditLog

    def channel(self, url: str) -> ServiceChannel:
        """Return a channel to another service, with the internal key; enter it to close it."""
        key = self.settings.internal_key.get_secret_value()
        return open_channel(
            url,
            key,
            timeout_s=self.settings.call_timeout_s,
            credentials=channel_credentials(self.settings.tls_ca_file, public_files(self.settings)),
        )

    def rpc(self, allowed: Allowed) -> RpcServer:
        """Return the gRPC endpoints, with the audit; add the services, then enter it."""
        everything = {**allowed, **audit_grpc.ALLOWED}
        rpc = RpcServer(self.settings, self.authenticator, everything, self.metrics, self.audit)
        rpc.add(add_AuditServiceServicer_to_server, audit_grpc.AuditRpc(self.audit))
        return rpc

    def operations(self, runner: ProjectionRunner | None = None) -> OperationsServer:
        """Return the internal HTTP endpoint, for health and metrics."""
        checks: dict[str, Check] = {"postgres": self._check_postgres}
        notes: Callable[[], Mapping[str, object]] = dict
        if runner is not None:
            checks["shards"] = runner.check
            notes = runner.notes
        host, port = self.settings.internal_host, self.settings.internal_http_port
        return OperationsServer(
            self.metrics,
            host=host,
            port=port,
            checks=checks,
            notes=notes,
            tls=public_files(self.settings),
        )

    @asynccontextmanager
    async def serving(
        self,
        rpc: RpcServer,
        runner: ProjectionRunner,
        *,
        counts: Counts,
        rebuild: RebuildRunner | None = None,
    ) -> AsyncIterator[Endpoints]:
        """Run a projection and serve `rpc`, with the rpcs of a projection, in the scope."""
        operations = self.operations(runner)
        async with self.channel(self.settings.ingest_url) as ingest:
            access = self._access_reconciler(ingest)
            servicer = ProjectionRpc(
                runner, self.database, counts=counts, rebuild=rebuild, access=access
            )
            rpc.add(projection_grpc.add_ProjectionServiceServicer_to_server, servicer)
            uses = self.authenticator.uses.run(use_recorder(ingest))
            log_client = LogClient(ingest, self.settings.service)
            own = (self.database.pool, log_client, self.settings.service, runner.shards)
            async with background(access.run(), runner.run(), uses, ErasureReports(*own).run()):
                await access.wait_compared()
                async with rpc, operations.serving():
                    yield Endpoints(rpc.port, rpc.internal_port, operations.port)

    def _access_reconciler(self, ingest: ServiceChannel) -> AccessReconciler:
        log_client = LogClient(ingest, self.settings.service)
        kinds = sorted(ACCESS_KINDS)

        async def load_offset(conn: asyncpg.Connection) -> int:
            checkpoint = await load_checkpoint(conn, 0)
            return checkpoint.log_offset if checkpoint else 0

        return AccessReconciler(
            self.database.pool,
            # Every shard has the facts that define access.
            lambda: log_client.read(0, 0, 0, kinds=kinds),
            load_offset,
            repaired=self.metrics.access_rows_repaired,
            on_repaired=self.authenticator.invalidate,
        )

    async def _check_postgres(self) -> None:
        async with acquire(self.database.pool) as conn:
            await conn.fetchval("SELECT 1")


@asynccontextmanager
async def open_service(
    settings: ServiceSettings,
    *,
    has_state: bool = True,
    index_key: IndexKey | None = None,
    point_lookups: bool = False,
) -> AsyncIterator[ServiceContext]:
    """Migrate and connect; close everything at the end of the scope. Raises StoreUnavailable.

    `has_state`: whether the service folds the log into state that can be rebuilt. `index_key`: the
    key that it derives ids with. `point_lookups`: see `Database`. Raises IndexKeyMismatch where its
    stored ids have another one, and RoleRefused or IsolationMissing where PostgreSQL lacks the
    roles of the service.
    """
    metrics = Metrics(settings.service)
    async with (
        _database(settings, metrics, has_state, point_lookups) as database,
        _bus(settings, metrics) as bus,
    ):
        if index_key is not None:
            await check_index_key(database.pool, settings.service, index_key)
        authenticator = Authenticator(
            key_loader(database.pool),
            *internal_keys(settings),
            load_region=region_loader(database.pool),
            ttl_s=settings.key_cache_s,
            refusals=RateLimit(
                settings.refused_calls_per_s,
                max(1.0, settings.refused_calls_per_s * _REFUSALS_BURST_S),
            ),
        )
        audit = AuditLog(database.pool, database.api_pool, settings.service)
        async with background(audit.run()):
            yield ServiceContext(settings, database, bus, authenticator, metrics, audit)


@asynccontextmanager
async def _database(
    settings: ServiceSettings, metrics: Metrics, has_state: bool, point_lookups: bool
) -> AsyncIterator[Database]:
    dsn, service = settings.postgres_dsn.get_secret_value(), settings.service
    is_isolated = settings.postgres_roles == "separate"
    roles = ServiceRoles.from_dsn(dsn, service) if is_isolated else None
    await migrate(dsn, service, shards=settings.shards if has_state else 0, roles=roles)
    async with Database(
        dsn,
        service,
        max_size=settings.postgres_connections,
        roles=roles,
        point_lookups=point_lookups,
    ) as database:
        metrics.database_isolated.set(is_isolated)
        if is_isolated:
            await check_isolation(database)
        else:
            log.warning(
                "database_not_isolated",
                reason="one role does everything, so the database does not hold workspaces apart",
                remedy="run `./onefold database roles`, and set ONEFOLD_POSTGRES_ROLES=separate",
            )
        yield database


def _bus(settings: ServiceSettings, metrics: Metrics) -> JetStreamBus:
    previous = settings.bus_key_previous
    authenticator = MessageAuthenticator(
        settings.bus_key.get_secret_value(), previous.get_secret_value() if previous else ""
    )
    url = settings.nats_url.get_secret_value()
    return JetStreamBus(
        url,
        name=settings.service,
        authenticator=authenticator,
        metrics=metrics,
        replicas=settings.nats_replicas,
    )
