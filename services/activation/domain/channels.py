"""Lists the channels, and reads their settings, secrets and targets."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any, TypeAlias

from services.activation.domain.channel_settings import Secret
from services.activation.domain.message_channels import (
    AliyunSms,
    Apns,
    DingtalkRobot,
    Fcm,
    FeishuRobot,
    Getui,
    Smtp,
    TencentSms,
    TwilioSms,
    WechatSubscribe,
    WechatTemplate,
    WecomApp,
    WecomRobot,
)
from services.activation.domain.mirror_channels import (
    Fxiaoke,
    GoogleAudience,
    Hubspot,
    MetaAudience,
    PostgresMirror,
    Salesforce,
    TencentAudience,
)
from services.activation.domain.system_channels import (
    S3,
    Kafka,
    NatsSubject,
    NdjsonFile,
    PostgresTable,
    Sftp,
    Webhook,
)

Channel: TypeAlias = (
    Webhook
    | NatsSubject
    | NdjsonFile
    | Smtp
    | AliyunSms
    | TencentSms
    | TwilioSms
    | DingtalkRobot
    | WecomRobot
    | FeishuRobot
    | WechatTemplate
    | WechatSubscribe
    | Fcm
    | Getui
    | S3
    | MetaAudience
    | GoogleAudience
    | Salesforce
    | Hubspot
    | Apns
    | WecomApp
    | Kafka
    | Sftp
    | PostgresTable
    | PostgresMirror
    | TencentAudience
    | Fxiaoke
)
#: By the name of its field in DestinationDefined.
CHANNELS: dict[str, type[Channel]] = {
    "webhook": Webhook,
    "nats": NatsSubject,
    "file": NdjsonFile,
    "smtp": Smtp,
    "aliyun_sms": AliyunSms,
    "tencent_sms": TencentSms,
    "twilio_sms": TwilioSms,
    "dingtalk_robot": DingtalkRobot,
    "wecom_robot": WecomRobot,
    "feishu_robot": FeishuRobot,
    "wechat_template": WechatTemplate,
    "wechat_subscribe": WechatSubscribe,
    "fcm": Fcm,
    "getui": Getui,
    "s3": S3,
    "meta_audience": MetaAudience,
    "google_audience": GoogleAudience,
    "salesforce": Salesforce,
    "hubspot": Hubspot,
    "apns": Apns,
    "wecom_app": WecomApp,
    "kafka": Kafka,
    "sftp": Sftp,
    "postgres_table": PostgresTable,
    "postgres_mirror": PostgresMirror,
    "tencent_audience": TencentAudience,
    "fxiaoke": Fxiaoke,
}
_NAMES = {kind: name for name, kind in CHANNELS.items()}
_SECRETS = {
    kind: tuple(f.name for f in dataclasses.fields(kind) if f.metadata.get("secret"))
    for kind in CHANNELS.values()
}


def name_of(channel: Channel) -> str:
    """Return the name of a channel's kind, such as `aliyun_sms`."""
    return _NAMES[type(channel)]


def secret_names(kind: type[Channel]) -> tuple[str, ...]:
    """Return the names of the settings that are secrets."""
    return _SECRETS[kind]


def secrets_of(channel: Channel) -> dict[str, Secret]:
    """Return the secrets that a channel has, by the names of their settings."""
    named = {name: getattr(channel, name) for name in secret_names(type(channel))}
    return {name: secret for name, secret in named.items() if secret}


def retained_secrets(channel: Channel, current: Channel) -> dict[str, Secret]:
    """Return the secrets of the current channel that a definition of the same kind keeps."""
    own, retained = secrets_of(channel), secrets_of(current)
    for field_ in dataclasses.fields(channel):
        used_with: str = field_.metadata.get("used_with", "")
        is_unused = bool(used_with) and not getattr(channel, used_with, "")
        if field_.name in own or is_unused:
            retained.pop(field_.name, None)
    return retained


def with_secrets(channel: Channel, secrets: Mapping[str, Secret]) -> Channel:
    """Return a channel with other secrets, by the names of their settings."""
    changed: dict[str, Any] = dict(secrets)
    return dataclasses.replace(channel, **changed)


def receiver_of(channel: Channel) -> tuple[object, ...]:
    """Return what decides who receives the secrets of a channel when they are used."""
    if isinstance(channel, Webhook):
        return (channel.url,)
    fields = dataclasses.fields(channel)
    return tuple(getattr(channel, f.name) for f in fields if f.metadata.get("target"))


def targets_of(channel: Channel) -> Iterator[tuple[str, str]]:
    """Yield a URL for each host that a channel dials, with the name of its setting."""
    if isinstance(channel, Kafka):
        for host, port in brokers_of(channel):
            yield "brokers", _url_of(host, port)
        return
    if isinstance(channel, (Smtp, Sftp, PostgresTable, PostgresMirror)):
        yield "host", _url_of(channel.host, port_of(channel))
        return
    # The `url` of other channels is for people who click it.
    names = ("url",) if isinstance(channel, Webhook) else ("endpoint", "token_endpoint")
    settings: dict[str, str] = {
        f.name: getattr(channel, f.name) for f in dataclasses.fields(channel)
    }
    for name in names:
        if url := settings.get(name):
            yield name, url


def port_of(channel: Smtp | Sftp | PostgresTable | PostgresMirror) -> int:
    """Return the port of a server, by default that of its protocol."""
    if channel.port:
        return channel.port
    match channel:
        case Smtp():
            return 465 if channel.security == "tls" else 587
        case Sftp():
            return 22
        case _:
            return 5_432


def brokers_of(channel: Kafka) -> list[tuple[str, int]]:
    """Return host and port of each broker of Kafka that connections begin with."""
    parts = (each.strip().rpartition(":") for each in channel.brokers.split(","))
    return [(host.strip("[]"), int(port)) for host, _, port in parts]


def _url_of(host: str, port: int) -> str:
    return f"http://{f'[{host}]' if ':' in host else host}:{port}"
