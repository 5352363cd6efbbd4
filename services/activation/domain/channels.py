"""Defines the channels: the settings of each, and its contract."""

# ruff: noqa: RUF009 - the defaults are calls of `field`, which hides behind what is declared

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, TypeAlias

from services.activation.domain.contracts import (
    HTML,
    PROVIDER_TEMPLATE,
    SUBJECT,
    TEXT,
    ChannelContract,
    Deduplication,
    Pace,
)

#: By the name of its form: the expression of a setting, and what it says.
FORMS: dict[str, tuple[re.Pattern[str], str]] = {
    "text": (re.compile(r"[^\x00-\x1f\x7f]{1,2048}"), "is a text without line breaks"),
    "word": (re.compile(r"[!-~]{1,512}"), "has letters, digits and signs without spaces"),
    "url": (re.compile(r"https?://[!-~]{1,2000}"), "is an http or https URL with a host"),
    "https": (re.compile(r"https://[!-~]{1,2000}"), "is an https URL"),
    "host": (re.compile(r"[A-Za-z0-9._:-]{1,253}"), "is a host name, such as smtp.x.example"),
    "email": (
        re.compile(r"[!-?A-~]{1,64}@[A-Za-z0-9.-]{1,253}"),
        "is an e-mail address, such as shop@x.example",
    ),
    "security": (re.compile("starttls|tls|none"), "is starttls, tls or none"),
    "pem": (
        re.compile(
            r"-----BEGIN [A-Z ]{0,20}PRIVATE KEY-----[A-Za-z0-9+/=\s]{1,8000}-----END"
            r" [A-Z ]{0,20}PRIVATE KEY-----\s{0,9}"
        ),
        "is a private key as PEM",
    ),
    "secret": (re.compile(r"[!-~]{1,4096}"), "has letters, digits and signs without spaces"),
}


@dataclass(frozen=True, slots=True)
class SealedSecret:
    """A secret, encrypted under a key that the database does not have."""

    #: The version of that key.
    key_version: int
    #: 12 bytes.
    nonce: bytes = field(repr=False)
    ciphertext: bytes = field(repr=False)


#: Sealed, as it is stored and published; plain text only between a request and its sealing.
#: Excluded from every text that is made of a channel.
Secret: TypeAlias = SealedSecret | str


def _needed(form: str = "word", *, target: bool = False) -> Any:
    return field(default="", metadata={"form": form, "needed": True, "target": target})


def _optional(form: str = "word", *, target: bool = False) -> Any:
    return field(default="", metadata={"form": form, "target": target})


def _secret(form: str = "secret", *, needed: bool = True, used_with: str = "") -> Any:
    """Declare a secret; `used_with`: the setting without which it is of no use."""
    metadata = {"form": form, "needed": needed, "secret": True, "used_with": used_with}
    return field(default="", repr=False, metadata=metadata)


def _endpoint() -> Any:
    return _optional("url", target=True)


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

    host: str = _needed("host", target=True)
    port: int = field(default=0, metadata={"target": True})
    security: str = _optional("security", target=True)
    username: str = _optional("text", target=True)
    password: Secret = _secret("text", needed=False, used_with="username")
    from_address: str = _needed("email")
    from_name: str = _optional("text")
    reply_to: str = _optional("email")
    return_path: str = _optional("email")
    unsubscribe_url: str = _optional("https")
    dkim_domain: str = _optional("host")
    dkim_selector: str = _optional("host")
    dkim_private_key: Secret = _secret("pem", needed=False, used_with="dkim_domain")


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

    access_key_id: str = _needed()
    access_key_secret: Secret = _secret()
    sign_name: str = _needed("text")
    endpoint: str = _endpoint()


@dataclass(frozen=True, slots=True)
class TencentSms:
    """SMS by Tencent Cloud."""

    contract: ClassVar = ChannelContract(
        Deduplication.NONE,
        address="identifier phone",
        is_addressed=True,
        parts=((PROVIDER_TEMPLATE,),),
    )

    secret_id: str = _needed()
    secret_key: Secret = _secret()
    sdk_app_id: str = _needed()
    sign_name: str = _optional("text")
    region: str = _optional()
    endpoint: str = _endpoint()


@dataclass(frozen=True, slots=True)
class TwilioSms:
    """SMS by Twilio."""

    contract: ClassVar = ChannelContract(
        Deduplication.NONE, address="identifier phone", is_addressed=True, parts=((TEXT,),)
    )

    account_sid: str = _needed()
    auth_token: Secret = _secret()
    sender: str = _needed()
    status_callback: str = _optional("url")
    endpoint: str = _endpoint()


@dataclass(frozen=True, slots=True)
class DingtalkRobot:
    """A robot in a group of DingTalk."""

    #: Above 20 in a minute the robot is blocked for 10 minutes.
    contract: ClassVar = ChannelContract(Deduplication.NONE, pace=Pace(18, 60.0), parts=((TEXT,),))

    access_token: Secret = _secret()
    signing_secret: Secret = _secret(needed=False)
    endpoint: str = _endpoint()


@dataclass(frozen=True, slots=True)
class WecomRobot:
    """A robot in a group of WeCom."""

    contract: ClassVar = ChannelContract(Deduplication.NONE, pace=Pace(18, 60.0), parts=((TEXT,),))

    key: Secret = _secret()
    endpoint: str = _endpoint()


@dataclass(frozen=True, slots=True)
class FeishuRobot:
    """A robot in a group of Feishu."""

    #: The provider allows 5 a second and 100 a minute; this is below both.
    contract: ClassVar = ChannelContract(Deduplication.NONE, pace=Pace(4, 4.0), parts=((TEXT,),))

    hook_id: Secret = _secret()
    signing_secret: Secret = _secret(needed=False)
    endpoint: str = _endpoint()


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

    app_id: str = _needed()
    app_secret: Secret = _secret()
    url: str = _optional("url")
    endpoint: str = _endpoint()


@dataclass(frozen=True, slots=True)
class WechatSubscribe:
    """Subscribe messages of a WeChat mini-program."""

    contract: ClassVar = ChannelContract(
        Deduplication.NONE,
        address="identifier wechat_openid",
        is_addressed=True,
        parts=((PROVIDER_TEMPLATE,),),
    )

    app_id: str = _needed()
    app_secret: Secret = _secret()
    page: str = _optional()
    endpoint: str = _endpoint()


@dataclass(frozen=True, slots=True)
class Fcm:
    """Pushes by Firebase Cloud Messaging."""

    contract: ClassVar = ChannelContract(
        Deduplication.NONE,
        address="identifier fcm_token",
        is_addressed=True,
        parts=((SUBJECT,), (TEXT,)),
    )

    project_id: str = _needed()
    client_email: str = _needed("email")
    private_key: Secret = _secret("pem")
    endpoint: str = _endpoint()
    token_endpoint: str = _endpoint()


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

    app_id: str = _needed()
    app_key: str = _needed()
    master_secret: Secret = _secret()
    endpoint: str = _endpoint()


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
