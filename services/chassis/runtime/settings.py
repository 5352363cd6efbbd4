"""Reads the settings of a service from the environment.

Every field has two names: `ONEFOLD_<SERVICE>_<FIELD>` for one service and `ONEFOLD_<FIELD>` for
all. The first wins, so one environment configures all five processes::

    ONEFOLD_SHARDS=4                  every service
    ONEFOLD_INGEST_GRPC_PORT=9090     only ingest

A secret may stand in a file, which the name with `_FILE` after it names::

    ONEFOLD_INTERNAL_KEY_FILE=/run/secrets/internal_key

A service adds its own fields in its `settings.py`::

    class IngestSettings(ServiceSettings):
        service: ClassVar[str] = "ingest"
        #: The longest time an append waits for others to share its commit, seconds.
        group_wait_s: float = 0.002
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, ClassVar, Literal

from pydantic import (
    AfterValidator,
    Field,
    FilePath,
    SecretStr,
    StringConstraints,
    ValidationInfo,
    field_validator,
)
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

from services.chassis.runtime.addresses import parse_networks
from services.chassis.runtime.nats_servers import NatsServers
from services.chassis.runtime.secret_files import SecretFileSource
from services.kernel.index_key import IndexKey

PREFIX = "ONEFOLD_"


def _valid_index_key(text: SecretStr) -> SecretStr:
    IndexKey.parse(text.get_secret_value())
    return text


def _valid_nats_url(text: SecretStr) -> SecretStr:
    NatsServers.parse(text.get_secret_value())
    return text


def _valid_networks(text: str) -> str:
    parse_networks(text)
    return text


#: The text of an IndexKey.
IndexKeyText = Annotated[SecretStr, AfterValidator(_valid_index_key)]

Port = Annotated[int, Field(ge=0, le=65535)]
#: `host:port`; empty = the service is not needed.
Address = Annotated[str, StringConstraints(pattern=r"^([^\s:/]+|\[[0-9a-fA-F:]+\]):\d{1,5}$|^$")]


def _with_certificate(file: Path | None, info: ValidationInfo) -> Path | None:
    if file is not None and info.data.get("tls_certificate_file") is None:
        raise ValueError("set ONEFOLD_TLS_CERTIFICATE_FILE, too")
    return file


class ProcessSettings(BaseSettings):
    """The settings of every process. Raises pydantic.ValidationError, which quotes no value."""

    #: The name of the process, and its second prefix.
    service: ClassVar[str] = "service"

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, frozen=True, extra="forbid", hide_input_in_errors=True
    )

    #: The address that the endpoints for clients of other systems listen on.
    host: str = "127.0.0.1"
    #: The address that the internal endpoints listen on. Only the other services and operators may
    #: reach it.
    internal_host: str = "127.0.0.1"
    #: The port of the internal HTTP endpoint, for health and metrics; 0 = any free port.
    internal_http_port: Port = 0
    #: The certificate (PEM, with those that lead to the authority) of the endpoints: with it, gRPC
    #: and HTTP are served over TLS only. A changed file is read again.
    tls_certificate_file: FilePath | None = None
    #: The private key (PEM) of the certificate.
    tls_key_file: FilePath | None = None
    #: The authority (PEM) of the certificates of the other services: with it, they are called over
    #: TLS, by names that their certificates have.
    tls_ca_file: FilePath | None = None
    #: The internal gRPC address of ingest, `host:port`.
    ingest_url: Address = ""
    #: The internal gRPC address of identity, `host:port`.
    identity_url: Address = ""
    #: The internal gRPC address of profile, `host:port`.
    profile_url: Address = ""
    #: The internal gRPC address of segment, `host:port`.
    segment_url: Address = ""
    #: The internal gRPC address of activation, `host:port`.
    activation_url: Address = ""
    #: The folder for files of the service; it writes its ports to `<data_dir>/run/<service>.json`.
    #: None = it writes no files.
    data_dir: Path | None = None
    #: The timeout of a call to another service if its caller set no deadline, seconds.
    call_timeout_s: Annotated[float, Field(gt=0)] = 10.0
    #: How long calls in flight may continue after a stop signal, seconds.
    drain_s: Annotated[float, Field(ge=0)] = 10.0
    #: The lowest level of log lines that are written.
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    #: The proxies in front of the endpoints for clients, as addresses or networks separated by
    #: commas, such as `10.0.0.0/8`. Only their `X-Forwarded-For` is believed, and their connections
    #: are not limited by address; empty = none.
    trusted_proxies: Annotated[str, AfterValidator(_valid_networks)] = ""

    @field_validator("tls_key_file")
    @classmethod
    def _is_that_of_certificate(cls, file: Path | None, info: ValidationInfo) -> Path | None:
        if file is None and info.data.get("tls_certificate_file") is not None:
            raise ValueError("the certificate needs its key: set this, too")
        return _with_certificate(file, info)

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Read arguments first, then the service's own names, then the shared names.

        Raises SecretFileError.
        """
        own = f"{PREFIX}{cls.service.upper()}_"
        return (
            init_settings,
            SecretFileSource(settings_cls, own, os.environ),
            EnvSettingsSource(settings_cls, env_prefix=own),
            SecretFileSource(settings_cls, PREFIX, os.environ),
            env_settings,
        )


class ServiceSettings(ProcessSettings):
    """The settings of every service that has a database and the bus."""

    #: The name of the service, of its schema and of its second prefix.
    service: ClassVar[str] = "service"

    #: PostgreSQL, such as `postgresql://onefold:password@host:5432/onefold`. Its user is the prefix
    #: of the roles that the service logs in as. Required.
    postgres_dsn: SecretStr
    #: `separate`: the service logs in as its own roles, which `./onefold database roles` creates.
    #: `single`: it does everything as the user of `postgres_dsn`. That needs no preparation and is
    #: for a quick try only: the database then does not hold workspaces and services apart.
    postgres_roles: Literal["separate", "single"] = "separate"
    #: NATS with JetStream, such as `nats://user:password@host:4222`. Further servers of its cluster
    #: follow after commas: `nats://user:password@one:4222,two:4222`. Required.
    nats_url: Annotated[SecretStr, AfterValidator(_valid_nats_url)]
    #: The number of servers that have each stream, in a cluster of NATS: 3 for one that outlives
    #: the loss of a server. It holds for streams that are created afterwards.
    nats_replicas: Annotated[int, Field(ge=1, le=5)] = 1
    #: The key that services call each other with; at least 16 characters. Required.
    internal_key: Annotated[SecretStr, Field(min_length=16)]
    #: The internal key before the present one. While services are given another key, one after the
    #: other, both are accepted, and tokens made with either are; each service sends `internal_key`.
    internal_key_previous: Annotated[SecretStr, Field(min_length=16)] | None = None
    #: The secret that authenticates the messages of the services on NATS; at least 32 characters.
    #: Required. All services have the same one.
    bus_key: Annotated[SecretStr, Field(min_length=32)]
    #: The bus key before this one. Its messages are accepted as well, while the services change.
    bus_key_previous: Annotated[SecretStr, Field(min_length=32)] | None = None
    #: The number of shards of the log. It is fixed with the first start.
    shards: Annotated[int, Field(ge=1, le=1024)] = 4
    #: The port of the gRPC endpoint for clients of other systems; 0 = any free port.
    grpc_port: Port = 0
    #: The port of the internal gRPC endpoint, for the other services, for operators and for gRPC
    #: health; 0 = any free port.
    internal_grpc_port: Port = 0
    #: The gRPC endpoints that answer reflection to callers with a key: only the internal one
    #: (`internal`), both (`public`), or none (`off`).
    reflection: Literal["internal", "public", "off"] = "internal"
    #: The authority (PEM) of the clients that may connect to the internal gRPC endpoint. Services
    #: show `tls_certificate_file` to each other.
    tls_client_ca_file: FilePath | None = None
    #: `allowed` lets an administrator move the log's clock ahead; for demos and tests only.
    clock_advance: Literal["refused", "allowed"] = "refused"
    #: The log appends a clock tick after this long without one, seconds.
    tick_interval_s: Annotated[float, Field(gt=0)] = 5.0
    #: The most connections to the gRPC endpoint for clients. Above it, those without a call with a
    #: valid key are closed first.
    max_grpc_connections: Annotated[int, Field(ge=1)] = 2_000
    #: The most of these from one address that is no trusted proxy; 0 = no limit of its own.
    max_grpc_connections_per_address: Annotated[int, Field(ge=0)] = 100
    #: The most gRPC calls that one key may have open at once.
    max_calls_per_key: Annotated[int, Field(ge=1)] = 1_000
    #: The most of these that may be streams, which can stay open.
    max_streams_per_key: Annotated[int, Field(ge=1)] = 100
    #: The largest gRPC message that is accepted, bytes.
    max_message_bytes: Annotated[int, Field(ge=1024)] = 4 * 1024 * 1024
    #: The most connections that one process has in its pools to PostgreSQL: half of them are for
    #: calls, half for everything else.
    postgres_connections: Annotated[int, Field(ge=4)] = 12
    #: How long a key that was looked up is cached, seconds. A disabled key may stay valid in other
    #: replicas for as long.
    key_cache_s: Annotated[float, Field(ge=0)] = 5.0
    #: The calls a second of one address that may be refused for their keys, ten times as many at
    #: once; further ones are slowed down. 0 = no limit.
    refused_calls_per_s: Annotated[float, Field(ge=0)] = 10.0

    @field_validator("tls_client_ca_file")
    @classmethod
    def _goes_with_certificate(cls, file: Path | None, info: ValidationInfo) -> Path | None:
        return _with_certificate(file, info)


def internal_keys(settings: ServiceSettings) -> list[str]:
    """Return the internal keys that a service accepts; the first is the one that it sends."""
    keys = [settings.internal_key, settings.internal_key_previous]
    return [key.get_secret_value() for key in keys if key is not None]
