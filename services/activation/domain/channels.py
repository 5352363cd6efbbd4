"""Defines the channels: the settings of each, and its contract."""

# ruff: noqa: RUF009 - the defaults are calls of `field`, which hides behind what is declared

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, TypeAlias

from services.activation.domain.channel_settings import (
    Secret,
    endpoint_url,
    needed,
    optional,
    secret,
)
from services.activation.domain.contracts import (
    HTML,
    PROVIDER_TEMPLATE,
    SUBJECT,
    TEXT,
    ChannelContract,
    ChannelKind,
    Deduplication,
    Pace,
)


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
class Smtp:
    """A server that takes e-mail over SMTP."""

    contract: ClassVar = ChannelContract(
        Deduplication.NONE,
        address="identifier email",
        is_addressed=True,
        parts=((SUBJECT,), (TEXT, HTML)),
    )

    host: str = needed("host", target=True)
    port: int = field(default=0, metadata={"target": True})
    security: str = optional("security", target=True)
    username: str = optional("text", target=True)
    password: Secret = secret("text", needed=False, used_with="username")
    from_address: str = needed("email")
    from_name: str = optional("text")
    reply_to: str = optional("email")
    return_path: str = optional("email")
    unsubscribe_url: str = optional("https")
    dkim_domain: str = optional("host")
    dkim_selector: str = optional("host")
    dkim_private_key: Secret = secret("pem", needed=False, used_with="dkim_domain")


@dataclass(frozen=True, slots=True)
class AliyunSms:
    """SMS by Alibaba Cloud."""

    contract: ClassVar = ChannelContract(
        Deduplication.QUERYABLE,
        known_after_s=60.0,
        address="identifier phone",
        is_addressed=True,
        parts=((PROVIDER_TEMPLATE,),),
    )

    access_key_id: str = needed()
    access_key_secret: Secret = secret()
    sign_name: str = needed("text")
    endpoint: str = endpoint_url()


@dataclass(frozen=True, slots=True)
class TencentSms:
    """SMS by Tencent Cloud."""

    contract: ClassVar = ChannelContract(
        Deduplication.NONE,
        address="identifier phone",
        is_addressed=True,
        parts=((PROVIDER_TEMPLATE,),),
    )

    secret_id: str = needed()
    secret_key: Secret = secret()
    sdk_app_id: str = needed()
    sign_name: str = optional("text")
    region: str = optional()
    endpoint: str = endpoint_url()


@dataclass(frozen=True, slots=True)
class TwilioSms:
    """SMS by Twilio."""

    contract: ClassVar = ChannelContract(
        Deduplication.NONE, address="identifier phone", is_addressed=True, parts=((TEXT,),)
    )

    account_sid: str = needed()
    auth_token: Secret = secret()
    sender: str = needed()
    status_callback: str = optional("url")
    endpoint: str = endpoint_url()


@dataclass(frozen=True, slots=True)
class DingtalkRobot:
    """A robot in a group of DingTalk."""

    #: Above 20 in a minute the robot is blocked for 10 minutes.
    contract: ClassVar = ChannelContract(Deduplication.NONE, pace=Pace(18, 60.0), parts=((TEXT,),))

    access_token: Secret = secret()
    signing_secret: Secret = secret(needed=False)
    endpoint: str = endpoint_url()


@dataclass(frozen=True, slots=True)
class WecomRobot:
    """A robot in a group of WeCom."""

    contract: ClassVar = ChannelContract(Deduplication.NONE, pace=Pace(18, 60.0), parts=((TEXT,),))

    key: Secret = secret()
    endpoint: str = endpoint_url()


@dataclass(frozen=True, slots=True)
class FeishuRobot:
    """A robot in a group of Feishu."""

    #: The provider allows 5 a second and 100 a minute; this is below both.
    contract: ClassVar = ChannelContract(Deduplication.NONE, pace=Pace(4, 4.0), parts=((TEXT,),))

    hook_id: Secret = secret()
    signing_secret: Secret = secret(needed=False)
    endpoint: str = endpoint_url()


@dataclass(frozen=True, slots=True)
class WechatTemplate:
    """Template messages of a WeChat official account."""

    #: The provider drops a repeat of `client_msg_id` for 10 minutes.
    contract: ClassVar = ChannelContract(
        Deduplication.KEYED_FOR_A_WHILE,
        window_s=600.0,
        address="identifier wechat_openid",
        is_addressed=True,
        parts=((PROVIDER_TEMPLATE,),),
    )

    app_id: str = needed()
    app_secret: Secret = secret()
    url: str = optional("url")
    endpoint: str = endpoint_url()


@dataclass(frozen=True, slots=True)
class WechatSubscribe:
    """Subscribe messages of a WeChat mini-program."""

    contract: ClassVar = ChannelContract(
        Deduplication.NONE,
        address="identifier wechat_openid",
        is_addressed=True,
        parts=((PROVIDER_TEMPLATE,),),
    )

    app_id: str = needed()
    app_secret: Secret = secret()
    page: str = optional()
    endpoint: str = endpoint_url()


@dataclass(frozen=True, slots=True)
class Fcm:
    """Pushes by Firebase Cloud Messaging."""

    contract: ClassVar = ChannelContract(
        Deduplication.NONE,
        address="identifier fcm_token",
        is_addressed=True,
        parts=((SUBJECT,), (TEXT,)),
    )

    project_id: str = needed()
    client_email: str = needed("email")
    private_key: Secret = secret("pem")
    endpoint: str = endpoint_url()
    token_endpoint: str = endpoint_url()


@dataclass(frozen=True, slots=True)
class Getui:
    """Pushes by Getui."""

    #: The provider drops a repeat of `request_id`; it does not say for how long.
    contract: ClassVar = ChannelContract(
        Deduplication.KEYED_FOR_A_WHILE,
        window_s=600.0,
        address="identifier getui_cid",
        is_addressed=True,
        parts=((SUBJECT,), (TEXT,)),
    )

    app_id: str = needed()
    app_key: str = needed()
    master_secret: Secret = secret()
    endpoint: str = endpoint_url()


_MIRROR = ChannelContract(Deduplication.KEYED, kind=ChannelKind.MIRROR)


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
class MetaAudience:
    """A custom audience of Meta."""

    contract: ClassVar = _MIRROR

    audience_id: str = needed("name")
    access_token: Secret = secret()
    endpoint: str = endpoint_url()


@dataclass(frozen=True, slots=True)
class GoogleAudience:
    """An audience of Google by the Data Manager API."""

    contract: ClassVar = _MIRROR

    account_id: str = needed("name")
    audience_id: str = needed("name")
    client_email: str = needed("email")
    private_key: Secret = secret("pem")
    endpoint: str = endpoint_url()
    token_endpoint: str = endpoint_url()


@dataclass(frozen=True, slots=True)
class Salesforce:
    """Records of Salesforce, found by an external id."""

    contract: ClassVar = _MIRROR

    endpoint: str = needed("url", target=True)
    client_id: str = needed()
    client_secret: Secret = secret()
    object: str = optional("name")
    external_id: str = needed("name")
    member_field: str = needed("name")


@dataclass(frozen=True, slots=True)
class Hubspot:
    """Contacts of HubSpot, found by their e-mail address."""

    contract: ClassVar = _MIRROR

    access_token: Secret = secret()
    member_property: str = needed("name")
    endpoint: str = endpoint_url()


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
    """Yield each URL that a channel dials, with the name of its setting."""
    if isinstance(channel, Smtp):
        host = f"[{channel.host}]" if ":" in channel.host else channel.host
        yield "host", f"http://{host}:{smtp_port(channel)}"
        return
    # The `url` of other channels is for people who click it.
    names = ("url",) if isinstance(channel, Webhook) else ("endpoint", "token_endpoint")
    settings: dict[str, str] = {
        f.name: getattr(channel, f.name) for f in dataclasses.fields(channel)
    }
    for name in names:
        if url := settings.get(name):
            yield name, url


def smtp_port(channel: Smtp) -> int:
    """Return the port of a mail server, which by default depends on how it is secured."""
    return channel.port or (465 if channel.security == "tls" else 587)
