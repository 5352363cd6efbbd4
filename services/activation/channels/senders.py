"""Opens the senders of all channels."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from services.activation.channels import Sender
from services.activation.channels.file import FileSender
from services.activation.channels.fxiaoke import FxiaokeMirror
from services.activation.channels.http import HttpClient
from services.activation.channels.http2 import Http2Client
from services.activation.channels.kafka import KafkaSender
from services.activation.channels.mirrors import MirrorSender, ProviderMirror
from services.activation.channels.nats import NatsSender
from services.activation.channels.postgres import PostgresSender, PostgresServers
from services.activation.channels.postgres_mirror import PostgresMirrorSender
from services.activation.channels.provider import ProviderSender
from services.activation.channels.providers import MIRROR_PROVIDERS, PROVIDERS
from services.activation.channels.sftp import SftpSender
from services.activation.channels.smtp import SmtpSender
from services.activation.channels.ssrf import Resolver, TargetDialer, TargetGuard
from services.activation.channels.webhook import WebhookSender
from services.activation.domain.message_channels import Smtp
from services.activation.domain.mirror_channels import Fxiaoke, PostgresMirror
from services.activation.domain.sealing import SecretKeys
from services.activation.domain.subjects import AllowedSubjects
from services.activation.domain.system_channels import (
    Kafka,
    NatsSubject,
    NdjsonFile,
    PostgresTable,
    Sftp,
    Webhook,
)
from services.chassis.messaging.jetstream import JetStreamBus


@dataclass(frozen=True, slots=True)
class Senders:
    """The senders, by the type of the channel."""

    messages: Mapping[type, Sender]
    mirrors: Mapping[type, MirrorSender]


@asynccontextmanager
async def open_senders(
    bus: JetStreamBus,
    data_dir: Path | None,
    targets: TargetGuard,
    keys: SecretKeys,
    subjects: AllowedSubjects,
) -> AsyncIterator[Senders]:
    """Open the senders until the scope ends.

    `data_dir`: the folder of the service, in which files are written below `out`; None = none are.
    """
    dialer = TargetDialer(targets, Resolver())
    async with (
        HttpClient(targets) as http,
        Http2Client(dialer) as http2,
        SmtpSender(dialer, keys) as mails,
        SftpSender(dialer, keys) as sftp,
        KafkaSender(targets, keys) as kafka,
        PostgresServers(dialer, keys) as servers,
    ):
        with FileSender(data_dir and data_dir / "out") as files:
            messages: dict[type, Sender] = {
                Webhook: WebhookSender(http, keys),
                NatsSubject: NatsSender(bus, subjects),
                NdjsonFile: files,
                Smtp: mails,
                Sftp: sftp,
                Kafka: kafka,
                PostgresTable: PostgresSender(servers),
            }
            for kind, provider in PROVIDERS.items():
                caller = http2 if provider.http2 else http
                messages[kind] = ProviderSender(provider, caller, keys)
            mirrors: dict[type, MirrorSender] = {
                PostgresMirror: PostgresMirrorSender(servers),
                Fxiaoke: FxiaokeMirror(http, keys),
            }
            for kind, each in MIRROR_PROVIDERS.items():
                mirrors[kind] = ProviderMirror(each, http, keys)
            yield Senders(messages, mirrors)
