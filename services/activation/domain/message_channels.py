"""Declares the channels that send messages to people and groups: their settings and contracts."""

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
from services.activation.domain.contracts import (
    HTML,
    PROVIDER_TEMPLATE,
    SUBJECT,
    TEXT,
    ChannelContract,
    Deduplication,
    Pace,
)


@dataclass(frozen=True, slots=True)
class Smtp:
    """A server that takes e-mail over SMTP."""

    contract: ClassVar = ChannelContract(
        Deduplication.NONE,
        address="identifier email",
        is_addressed=True,
        reports=True,
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
    tracking_url: str = optional("url")
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
        reports=True,
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
        reports=True,
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
        Deduplication.NONE,
        address="identifier phone",
        is_addressed=True,
        reports=True,
        parts=((TEXT,),),
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


@dataclass(frozen=True, slots=True)
class Apns:
    """Pushes by the Apple Push Notification service."""

    contract: ClassVar = ChannelContract(
        Deduplication.NONE,
        address="identifier apns_token",
        is_addressed=True,
        parts=((SUBJECT,), (TEXT,)),
    )

    team_id: str = needed("name")
    auth_key_id: str = needed("name")
    private_key: Secret = secret("pem")
    topic: str = needed("name")
    endpoint: str = endpoint_url()


@dataclass(frozen=True, slots=True)
class WecomApp:
    """Messages of an application of WeCom."""

    #: The provider drops a repeat of the same text to the same person for 30 minutes.
    contract: ClassVar = ChannelContract(
        Deduplication.KEYED_FOR_A_WHILE,
        window_s=1_800.0,
        address="identifier wecom_userid",
        is_addressed=True,
        parts=((TEXT,),),
    )

    corp_id: str = needed()
    corp_secret: Secret = secret()
    agent_id: str = needed("number")
    endpoint: str = endpoint_url()
