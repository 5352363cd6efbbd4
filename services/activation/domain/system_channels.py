"""Declares the channels that pass messages to other systems: their settings and contracts."""

# ruff: noqa: RUF009 - the defaults are calls of `field`, which hides behind what is declared

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

from services.activation.domain.channel_settings import (
    Secret,
    endpoint_url,
    needed,
    optional,
    secret,
)
from services.activation.domain.contracts import ChannelContract, Deduplication


@dataclass(frozen=True, slots=True)
class Webhook:
    """An HTTP endpoint, signed as Standard Webhooks."""

    contract: ClassVar = ChannelContract(Deduplication.KEYED)

    url: str
    secret: Secret = field(repr=False, metadata={"secret": True})


@dataclass(frozen=True, slots=True)
class NatsSubject:
    """A NATS subject."""

    contract: ClassVar = ChannelContract(Deduplication.KEYED)

    subject: str


@dataclass(frozen=True, slots=True)
class NdjsonFile:
    """A file with one JSON object a line."""

    contract: ClassVar = ChannelContract(Deduplication.KEYED)

    name: str


@dataclass(frozen=True, slots=True)
class S3:
    """Objects of a bucket: one a message, created once under its key."""

    contract: ClassVar = ChannelContract(Deduplication.KEYED)

    bucket: str = needed("name")
    region: str = needed("name")
    access_key_id: str = needed()
    secret_access_key: Secret = secret()
    prefix: str = optional("path")
    endpoint: str = endpoint_url()


@dataclass(frozen=True, slots=True)
class Kafka:
    """A topic of Kafka; consumers drop repeats by the header `effect-id`."""

    contract: ClassVar = ChannelContract(Deduplication.KEYED)

    brokers: str = needed("brokers", target=True)
    topic: str = needed("topic")
    security: str = optional("tls_or_none", target=True)
    username: str = optional("text", target=True)
    password: Secret = secret("text", needed=False, used_with="username")
    mechanism: str = optional("mechanism", target=True)


@dataclass(frozen=True, slots=True)
class Sftp:
    """A folder of an SFTP server: one file a message, named by its key."""

    contract: ClassVar = ChannelContract(Deduplication.KEYED)

    host: str = needed("host", target=True)
    port: int = field(default=0, metadata={"target": True})
    host_key: str = needed("ssh_key", target=True)
    username: str = needed("text", target=True)
    password: Secret = secret("text", needed=False)
    private_key: Secret = secret("pem", needed=False)
    folder: str = optional("folder")


@dataclass(frozen=True, slots=True)
class PostgresTable:
    """A table of PostgreSQL that gets one row a message, exactly once."""

    contract: ClassVar = ChannelContract(Deduplication.KEYED)

    host: str = needed("host", target=True)
    port: int = field(default=0, metadata={"target": True})
    database: str = needed("text", target=True)
    username: str = needed("text", target=True)
    password: Secret = secret("text", needed=False)
    table: str = needed("table")
    security: str = optional("tls_or_none", target=True)
