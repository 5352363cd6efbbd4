"""Sets up each channel with its fake, so that one suite runs over all of them."""

from __future__ import annotations

import hashlib
import os
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from ipaddress import ip_network
from typing import Any

import msgspec
from contract.channels import fakes
from contract.channels.fake_apns import FakeApns, serving_http2
from contract.channels.fake_s3 import FakeS3
from contract.channels.fakes import Fake
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from services.activation.channels import Message
from services.activation.channels.change import (
    ChangeData,
    ChangedIdentifier,
    ChangedProfile,
    MembershipMessage,
)
from services.activation.channels.http import HttpClient
from services.activation.channels.http2 import Http2Client
from services.activation.channels.provider import ProviderSender
from services.activation.channels.providers import PROVIDERS
from services.activation.channels.ssrf import Resolver, TargetDialer, TargetGuard
from services.activation.domain import message_channels as channels
from services.activation.domain import system_channels
from services.activation.domain.channels import Channel, name_of, secrets_of, with_secrets
from services.activation.domain.contracts import position_at
from services.activation.domain.model import Destination, Trigger
from services.activation.domain.sealing import SecretKeys, SecretPlace
from services.activation.domain.targets import AllowedTargets
from services.activation.domain.templates import RenderedMessage
from services.kernel.ids import WorkspaceId

W = WorkspaceId("school")
KEYS = SecretKeys({1: bytes(32)})
#: Lets channels reach every port of this machine.
LOOPBACK = AllowedTargets(networks=((ip_network("127.0.0.1"), frozenset(range(65_536))),))
_KEY = rsa.generate_private_key(public_exponent=65_537, key_size=2_048)
_EC_KEY = ec.generate_private_key(ec.SECP256R1())
PEM, EC_PEM = (
    key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()
    for key in (_KEY, _EC_KEY)
)
SMS = RenderedMessage(
    to="+8613800138000",
    text="您好，李雷",
    provider_template="SMS_1",
    parameters=(("name", "李雷 & co"), ("code", "A+1 ~*")),
)


def change(email: str, *, entered: bool = True) -> MembershipMessage:
    """Return the description of a change of the person with an address."""
    identifiers = (ChangedIdentifier("email", email), ChangedIdentifier("phone", "+8613800138000"))
    profile = ChangedProfile(hashlib.md5(email.encode()).hexdigest(), identifiers, {"city": "x"})
    kind = "segment.entered" if entered else "segment.left"
    return MembershipMessage(kind, ChangeData(profile))


@dataclass(frozen=True)
class Rig:
    """A channel, what it sends, and the fake of its provider."""

    fake: Callable[[dict[str, Any]], Fake]
    #: Returns the settings for the URL of a fake.
    channel: Callable[[str], Channel]
    message: Any
    #: What the fake knows besides the secrets of the channel.
    known: Mapping[str, Any] = field(default_factory=dict)


RIGS: dict[str, Rig] = {
    "aliyun_sms": Rig(
        fakes.FakeAliyun, lambda url: channels.AliyunSms("AKID", "ak-secret", "签名 一", url), SMS
    ),
    "tencent_sms": Rig(
        fakes.FakeTencent,
        lambda url: channels.TencentSms("SID", "sk-secret", "1400006666", "签名", "", url),
        SMS,
    ),
    "twilio_sms": Rig(
        fakes.FakeTwilio,
        lambda url: channels.TwilioSms(
            "AC1", "tw-secret", "+12025550123", "https://x.example/receipts/{key}", url
        ),
        SMS,
    ),
    "dingtalk_robot": Rig(
        fakes.FakeDingtalk,
        lambda url: channels.DingtalkRobot("dt-token", "SEC-secret", url),
        RenderedMessage(text="有新线索", subject="提醒"),
    ),
    "wecom_robot": Rig(
        fakes.FakeWecom,
        lambda url: channels.WecomRobot("wc-key", url),
        RenderedMessage(text="线" * 3_000, subject="提醒"),
    ),
    "feishu_robot": Rig(
        fakes.FakeFeishu,
        lambda url: channels.FeishuRobot("fs-hook", "fs-secret", url),
        RenderedMessage(text="有新线索"),
    ),
    "wechat_template": Rig(
        fakes.FakeWechat,
        lambda url: channels.WechatTemplate("wx1", "wx-secret", "https://x.example/", url),
        msgspec.structs.replace(SMS, to="oABC"),
    ),
    "wechat_subscribe": Rig(
        fakes.FakeWechat,
        lambda url: channels.WechatSubscribe("wx1", "wx-secret", "pages/index", url),
        msgspec.structs.replace(SMS, to="oABC"),
    ),
    "fcm": Rig(
        fakes.FakeFcm,
        lambda url: channels.Fcm("p", "push@p.example", PEM, url, f"{url}/token"),
        RenderedMessage(to="device-1", subject="你好", text="文本", parameters=(("a", "1"),)),
        {"public_key": _KEY.public_key()},
    ),
    "getui": Rig(
        fakes.FakeGetui,
        lambda url: channels.Getui("app", "gt-key", "gt-secret", url),
        RenderedMessage(to="C1", subject="你好", text="文本"),
    ),
    "s3": Rig(
        FakeS3,
        lambda url: system_channels.S3(
            "bucket", "eu-central-1", "AKIA", "s3-secret", "onefold/", url
        ),
        change("li.lei@x.example"),
    ),
    "apns": Rig(
        FakeApns,
        lambda url: channels.Apns("TEAM1", "KEY1", EC_PEM, "example.x.app", url),
        RenderedMessage(to="device-1", subject="你好", text="文本", parameters=(("a", "1"),)),
        {"public_key": _EC_KEY.public_key()},
    ),
    "wecom_app": Rig(
        fakes.FakeWecomApp,
        lambda url: channels.WecomApp("ww1", "wc-secret", "1000002", url),
        RenderedMessage(to="li.lei", text="有新线索"),
    ),
}


def sealed(channel: Channel, destination_id: str = "d") -> Channel:
    """Return a channel with its secrets sealed for a destination of the tests."""
    return with_secrets(
        channel,
        {
            name: KEYS.seal(
                SecretPlace(W, destination_id, f"{name_of(channel)}.{name}"),
                str(secret),
                os.urandom(12),
            )
            for name, secret in secrets_of(channel).items()
        },
    )


def destination_of(channel: Channel, version: int = 1) -> Destination:
    """Return a destination with a channel whose secrets are sealed."""
    return Destination(
        W, "d", version, "", sealed(channel), ("s",), frozenset(Trigger), b"{}", (), False, "t"
    )


def message_of(rendered: Any, *, attempt: int = 1, now_s: float = 0.0) -> Message:
    """Return the message of an attempt, whose key is new."""
    return Message(os.urandom(16).hex(), msgspec.json.encode(rendered), attempt, position_at(now_s))


@dataclass
class OpenRig:
    """A channel whose fake listens."""

    sender: ProviderSender
    fake: Fake
    channel: Channel
    message: Any

    @property
    def destination(self) -> Destination:
        return destination_of(self.channel)


@asynccontextmanager
async def opened(name: str, *, timeout_s: float = 20.0) -> AsyncIterator[OpenRig]:
    """Run the fake of a channel, and a sender that may reach it."""
    rig = RIGS[name]
    fake = rig.fake({})
    guard = TargetGuard(LOOPBACK)
    serving: Any = serving_http2(fake) if isinstance(fake, FakeApns) else fakes.serving(fake)
    async with (
        serving,
        HttpClient(guard, timeout_s=timeout_s) as http,
        Http2Client(TargetDialer(guard, Resolver()), timeout_s=timeout_s) as http2,
    ):
        channel = rig.channel(fake.url)
        fake.secrets |= {**secrets_of(channel), **rig.known}
        provider = PROVIDERS[type(channel)]
        sender = ProviderSender(provider, http2 if provider.http2 else http, KEYS)
        yield OpenRig(sender, fake, channel, rig.message)
