"""Defines the settings of the console."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, ClassVar, Literal

from pydantic import AfterValidator, Field, FilePath
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

from services.chassis.runtime.addresses import parse_networks
from services.chassis.runtime.settings import PREFIX, Address, Port


def _valid_networks(text: str) -> str:
    parse_networks(text)
    return text


class ConsoleSettings(BaseSettings):
    """The settings of the console. It holds no key and no database."""

    service: ClassVar[str] = "console"

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, frozen=True, extra="forbid", hide_input_in_errors=True
    )

    #: The address that the HTTP endpoint listens on.
    host: str = "127.0.0.1"
    #: The port of the HTTP endpoint; 0 = any free port.
    http_port: Port = 0
    #: The address that the internal endpoint listens on.
    internal_host: str = "127.0.0.1"
    #: The port of the internal HTTP endpoint, for health and metrics; 0 = any free port.
    internal_http_port: Port = 0
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
    #: The authority (PEM) of the certificates of the services: with it, they are called over TLS.
    tls_ca_file: FilePath | None = None
    #: The certificate (PEM) of the HTTP endpoint: with it, it is served over TLS only.
    tls_certificate_file: FilePath | None = None
    #: The private key (PEM) of the certificate.
    tls_key_file: FilePath | None = None
    #: The folder for files of the service; it writes its ports to `<data_dir>/run/console.json`.
    data_dir: Path | None = None
    #: The lowest level of log lines that are written.
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    #: The proxies in front of the console, as addresses or networks separated by commas. Only their
    #: `X-Forwarded-For` is believed; empty = none.
    trusted_proxies: Annotated[str, AfterValidator(_valid_networks)] = ""
    #: The largest message of a call, bytes.
    max_message_bytes: Annotated[int, Field(ge=1024)] = 4 * 1024 * 1024
    #: The timeout of a call with one response whose caller names none, seconds.
    call_timeout_s: Annotated[float, Field(gt=0)] = 60.0

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Read arguments first, then the names of the console, then the shared names."""
        own = EnvSettingsSource(settings_cls, env_prefix=f"{PREFIX}{cls.service.upper()}_")
        return (init_settings, own, env_settings)
